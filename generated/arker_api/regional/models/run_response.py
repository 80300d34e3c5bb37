from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="RunResponse")


@_attrs_define
class RunResponse:
    """The result of a command."""

    stdout: str
    """ Standard output, in `stdout_encoding`. """
    stderr: str
    """ Standard error, in `stderr_encoding`. """
    exit_code: int
    """ The exit status, 128 + n after signal n, 124 when the timeout ended it. """
    stdout_encoding: str | Unset = UNSET
    """ `utf-8`, or `base64` for bytes that are not valid UTF-8. """
    stderr_encoding: str | Unset = UNSET
    """ `utf-8` or `base64`. """
    completed: bool | Unset = UNSET
    """ False when the timeout ended it. """
    duration_ms: float | Unset = UNSET
    """ Wall time of the command, in milliseconds. """
    session_id: int | str | Unset = UNSET
    """ The session it ran in. """
    cwd: str | Unset = UNSET
    """ The current folder of the session after the command. """
    stdout_truncated: bool | Unset = UNSET
    """ True if standard output exceeded the deployment's limit and its end was dropped. """
    stderr_truncated: bool | Unset = UNSET
    """ True if standard error exceeded the deployment's limit and its end was dropped. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        stdout = self.stdout

        stderr = self.stderr

        exit_code = self.exit_code

        stdout_encoding = self.stdout_encoding

        stderr_encoding = self.stderr_encoding

        completed = self.completed

        duration_ms = self.duration_ms

        session_id: int | str | Unset
        if isinstance(self.session_id, Unset):
            session_id = UNSET
        else:
            session_id = self.session_id

        cwd = self.cwd

        stdout_truncated = self.stdout_truncated

        stderr_truncated = self.stderr_truncated

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "stdout": stdout,
                "stderr": stderr,
                "exit_code": exit_code,
            }
        )
        if stdout_encoding is not UNSET:
            field_dict["stdout_encoding"] = stdout_encoding
        if stderr_encoding is not UNSET:
            field_dict["stderr_encoding"] = stderr_encoding
        if completed is not UNSET:
            field_dict["completed"] = completed
        if duration_ms is not UNSET:
            field_dict["duration_ms"] = duration_ms
        if session_id is not UNSET:
            field_dict["session_id"] = session_id
        if cwd is not UNSET:
            field_dict["cwd"] = cwd
        if stdout_truncated is not UNSET:
            field_dict["stdout_truncated"] = stdout_truncated
        if stderr_truncated is not UNSET:
            field_dict["stderr_truncated"] = stderr_truncated

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        stdout = d.pop("stdout")

        stderr = d.pop("stderr")

        exit_code = d.pop("exit_code")

        stdout_encoding = d.pop("stdout_encoding", UNSET)

        stderr_encoding = d.pop("stderr_encoding", UNSET)

        completed = d.pop("completed", UNSET)

        duration_ms = d.pop("duration_ms", UNSET)

        def _parse_session_id(data: object) -> int | str | Unset:
            if isinstance(data, Unset):
                return data
            return cast(int | str | Unset, data)

        session_id = _parse_session_id(d.pop("session_id", UNSET))

        cwd = d.pop("cwd", UNSET)

        stdout_truncated = d.pop("stdout_truncated", UNSET)

        stderr_truncated = d.pop("stderr_truncated", UNSET)

        run_response = cls(
            stdout=stdout,
            stderr=stderr,
            exit_code=exit_code,
            stdout_encoding=stdout_encoding,
            stderr_encoding=stderr_encoding,
            completed=completed,
            duration_ms=duration_ms,
            session_id=session_id,
            cwd=cwd,
            stdout_truncated=stdout_truncated,
            stderr_truncated=stderr_truncated,
        )

        run_response.additional_properties = d
        return run_response

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
