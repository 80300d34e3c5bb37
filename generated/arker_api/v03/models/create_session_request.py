from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.create_session_request_env_type_0 import CreateSessionRequestEnvType0


T = TypeVar("T", bound="CreateSessionRequest")


@_attrs_define
class CreateSessionRequest:
    """The initial state of a session. A null is the same as a missing field."""

    env: CreateSessionRequestEnvType0 | None | Unset = UNSET
    """ Variables. """
    cwd: None | str | Unset = UNSET
    """ Its folder; by default the user's home. """
    pty: bool | None | Unset = UNSET
    """ Hint: the session is for a terminal. """
    cols: int | None | Unset = UNSET
    """ Hint: columns of the terminal. """
    rows: int | None | Unset = UNSET
    """ Hint: rows of the terminal. """
    command: None | str | Unset = UNSET
    """ Hint: the command of the terminal. """

    def to_dict(self) -> dict[str, Any]:
        from ..models.create_session_request_env_type_0 import (
            CreateSessionRequestEnvType0,  # noqa: PLC0415
        )

        env: dict[str, Any] | None | Unset
        if isinstance(self.env, Unset):
            env = UNSET
        elif isinstance(self.env, CreateSessionRequestEnvType0):
            env = self.env.to_dict()
        else:
            env = self.env

        cwd: None | str | Unset
        if isinstance(self.cwd, Unset):
            cwd = UNSET
        else:
            cwd = self.cwd

        pty: bool | None | Unset
        if isinstance(self.pty, Unset):
            pty = UNSET
        else:
            pty = self.pty

        cols: int | None | Unset
        if isinstance(self.cols, Unset):
            cols = UNSET
        else:
            cols = self.cols

        rows: int | None | Unset
        if isinstance(self.rows, Unset):
            rows = UNSET
        else:
            rows = self.rows

        command: None | str | Unset
        if isinstance(self.command, Unset):
            command = UNSET
        else:
            command = self.command

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if env is not UNSET:
            field_dict["env"] = env
        if cwd is not UNSET:
            field_dict["cwd"] = cwd
        if pty is not UNSET:
            field_dict["pty"] = pty
        if cols is not UNSET:
            field_dict["cols"] = cols
        if rows is not UNSET:
            field_dict["rows"] = rows
        if command is not UNSET:
            field_dict["command"] = command

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.create_session_request_env_type_0 import (
            CreateSessionRequestEnvType0,  # noqa: PLC0415
        )

        d = dict(src_dict)

        def _parse_env(data: object) -> CreateSessionRequestEnvType0 | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                env_type_0 = CreateSessionRequestEnvType0.from_dict(data)

                return env_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(CreateSessionRequestEnvType0 | None | Unset, data)

        env = _parse_env(d.pop("env", UNSET))

        def _parse_cwd(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        cwd = _parse_cwd(d.pop("cwd", UNSET))

        def _parse_pty(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        pty = _parse_pty(d.pop("pty", UNSET))

        def _parse_cols(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        cols = _parse_cols(d.pop("cols", UNSET))

        def _parse_rows(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        rows = _parse_rows(d.pop("rows", UNSET))

        def _parse_command(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        command = _parse_command(d.pop("command", UNSET))

        create_session_request = cls(
            env=env,
            cwd=cwd,
            pty=pty,
            cols=cols,
            rows=rows,
            command=command,
        )

        return create_session_request
