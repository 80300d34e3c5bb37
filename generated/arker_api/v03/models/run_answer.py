from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="RunAnswer")


@_attrs_define
class RunAnswer:
    """The output of a run that ended, or the id of one that continues."""

    run_id: None | str | Unset = UNSET
    """ The id of the run. """
    session_id: None | str | Unset = UNSET
    """ The session of the run. """
    state: str | Unset = UNSET
    """ `completed` or `cancelled`; `running` if it continues. """
    stdout: str | Unset = UNSET
    """ The standard output of the command. """
    stdout_encoding: str | Unset = UNSET
    """ `utf-8` or `base64`. """
    stderr: str | Unset = UNSET
    """ The standard error of the command. """
    stderr_encoding: str | Unset = UNSET
    """ `utf-8` or `base64`. """
    exit_code: int | None | Unset = UNSET
    """ The exit code; null if there is none. """
    fail_reason: None | str | Unset = UNSET
    """ Why the service could not finish the run. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        run_id: None | str | Unset
        if isinstance(self.run_id, Unset):
            run_id = UNSET
        else:
            run_id = self.run_id

        session_id: None | str | Unset
        if isinstance(self.session_id, Unset):
            session_id = UNSET
        else:
            session_id = self.session_id

        state = self.state

        stdout = self.stdout

        stdout_encoding = self.stdout_encoding

        stderr = self.stderr

        stderr_encoding = self.stderr_encoding

        exit_code: int | None | Unset
        if isinstance(self.exit_code, Unset):
            exit_code = UNSET
        else:
            exit_code = self.exit_code

        fail_reason: None | str | Unset
        if isinstance(self.fail_reason, Unset):
            fail_reason = UNSET
        else:
            fail_reason = self.fail_reason

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if run_id is not UNSET:
            field_dict["run_id"] = run_id
        if session_id is not UNSET:
            field_dict["session_id"] = session_id
        if state is not UNSET:
            field_dict["state"] = state
        if stdout is not UNSET:
            field_dict["stdout"] = stdout
        if stdout_encoding is not UNSET:
            field_dict["stdout_encoding"] = stdout_encoding
        if stderr is not UNSET:
            field_dict["stderr"] = stderr
        if stderr_encoding is not UNSET:
            field_dict["stderr_encoding"] = stderr_encoding
        if exit_code is not UNSET:
            field_dict["exit_code"] = exit_code
        if fail_reason is not UNSET:
            field_dict["fail_reason"] = fail_reason

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_run_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        run_id = _parse_run_id(d.pop("run_id", UNSET))

        def _parse_session_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        session_id = _parse_session_id(d.pop("session_id", UNSET))

        state = d.pop("state", UNSET)

        stdout = d.pop("stdout", UNSET)

        stdout_encoding = d.pop("stdout_encoding", UNSET)

        stderr = d.pop("stderr", UNSET)

        stderr_encoding = d.pop("stderr_encoding", UNSET)

        def _parse_exit_code(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        exit_code = _parse_exit_code(d.pop("exit_code", UNSET))

        def _parse_fail_reason(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        fail_reason = _parse_fail_reason(d.pop("fail_reason", UNSET))

        run_answer = cls(
            run_id=run_id,
            session_id=session_id,
            state=state,
            stdout=stdout,
            stdout_encoding=stdout_encoding,
            stderr=stderr,
            stderr_encoding=stderr_encoding,
            exit_code=exit_code,
            fail_reason=fail_reason,
        )

        run_answer.additional_properties = d
        return run_answer

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
