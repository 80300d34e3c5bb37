from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="RunRequest")


@_attrs_define
class RunRequest:
    """A command for a session's shell."""

    command: str
    """ The command, in bash. """
    session_id: int | str
    """ The session to run it in; `0` is the default one. """
    timeout: int | Unset = UNSET
    """ Seconds after which the command and all processes that it started are killed; 0 or absent for no limit. """

    def to_dict(self) -> dict[str, Any]:
        command = self.command

        session_id: int | str
        session_id = self.session_id

        timeout = self.timeout

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "command": command,
                "session_id": session_id,
            }
        )
        if timeout is not UNSET:
            field_dict["timeout"] = timeout

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        command = d.pop("command")

        def _parse_session_id(data: object) -> int | str:
            return cast(int | str, data)

        session_id = _parse_session_id(d.pop("session_id"))

        timeout = d.pop("timeout", UNSET)

        run_request = cls(
            command=command,
            session_id=session_id,
            timeout=timeout,
        )

        return run_request
