from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="RunSummary")


@_attrs_define
class RunSummary:
    """A run without its output."""

    run_id: str
    """ Its id. """
    state: str
    """ `pending`, `running`, `completed`, `failed` or `cancelled`. """
    started_at: datetime.datetime
    """ When it was started. """
    exit_code: int | None
    """ The exit code; null until the run ends. """
    session_id: None | str | Unset = UNSET
    """ The session of the run. """
    command: None | str | Unset = UNSET
    """ The command. """
    completed_at: datetime.datetime | None | Unset = UNSET
    """ When it ended. """
    fail_reason: None | str | Unset = UNSET
    """ Why the service could not finish the run. """
    vm_id: None | str | Unset = UNSET
    """ The computer. """
    vm_name: None | str | Unset = UNSET
    """ The computer's name. """
    source_org_id: None | str | Unset = UNSET
    """ The computer's organization. """
    region: None | str | Unset = UNSET
    """ The computer's region. """
    provider: None | str | Unset = UNSET
    """ The computer's provider. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        run_id = self.run_id

        state = self.state

        started_at = self.started_at.isoformat()

        exit_code: int | None
        exit_code = self.exit_code

        session_id: None | str | Unset
        if isinstance(self.session_id, Unset):
            session_id = UNSET
        else:
            session_id = self.session_id

        command: None | str | Unset
        if isinstance(self.command, Unset):
            command = UNSET
        else:
            command = self.command

        completed_at: None | str | Unset
        if isinstance(self.completed_at, Unset):
            completed_at = UNSET
        elif isinstance(self.completed_at, datetime.datetime):
            completed_at = self.completed_at.isoformat()
        else:
            completed_at = self.completed_at

        fail_reason: None | str | Unset
        if isinstance(self.fail_reason, Unset):
            fail_reason = UNSET
        else:
            fail_reason = self.fail_reason

        vm_id: None | str | Unset
        if isinstance(self.vm_id, Unset):
            vm_id = UNSET
        else:
            vm_id = self.vm_id

        vm_name: None | str | Unset
        if isinstance(self.vm_name, Unset):
            vm_name = UNSET
        else:
            vm_name = self.vm_name

        source_org_id: None | str | Unset
        if isinstance(self.source_org_id, Unset):
            source_org_id = UNSET
        else:
            source_org_id = self.source_org_id

        region: None | str | Unset
        if isinstance(self.region, Unset):
            region = UNSET
        else:
            region = self.region

        provider: None | str | Unset
        if isinstance(self.provider, Unset):
            provider = UNSET
        else:
            provider = self.provider

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "run_id": run_id,
                "state": state,
                "started_at": started_at,
                "exit_code": exit_code,
            }
        )
        if session_id is not UNSET:
            field_dict["session_id"] = session_id
        if command is not UNSET:
            field_dict["command"] = command
        if completed_at is not UNSET:
            field_dict["completed_at"] = completed_at
        if fail_reason is not UNSET:
            field_dict["fail_reason"] = fail_reason
        if vm_id is not UNSET:
            field_dict["vm_id"] = vm_id
        if vm_name is not UNSET:
            field_dict["vm_name"] = vm_name
        if source_org_id is not UNSET:
            field_dict["source_org_id"] = source_org_id
        if region is not UNSET:
            field_dict["region"] = region
        if provider is not UNSET:
            field_dict["provider"] = provider

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        run_id = d.pop("run_id")

        state = d.pop("state")

        started_at = datetime.datetime.fromisoformat(d.pop("started_at"))

        def _parse_exit_code(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        exit_code = _parse_exit_code(d.pop("exit_code"))

        def _parse_session_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        session_id = _parse_session_id(d.pop("session_id", UNSET))

        def _parse_command(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        command = _parse_command(d.pop("command", UNSET))

        def _parse_completed_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                completed_at_type_0 = datetime.datetime.fromisoformat(data)

                return completed_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        completed_at = _parse_completed_at(d.pop("completed_at", UNSET))

        def _parse_fail_reason(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        fail_reason = _parse_fail_reason(d.pop("fail_reason", UNSET))

        def _parse_vm_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        vm_id = _parse_vm_id(d.pop("vm_id", UNSET))

        def _parse_vm_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        vm_name = _parse_vm_name(d.pop("vm_name", UNSET))

        def _parse_source_org_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        source_org_id = _parse_source_org_id(d.pop("source_org_id", UNSET))

        def _parse_region(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        region = _parse_region(d.pop("region", UNSET))

        def _parse_provider(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        provider = _parse_provider(d.pop("provider", UNSET))

        run_summary = cls(
            run_id=run_id,
            state=state,
            started_at=started_at,
            exit_code=exit_code,
            session_id=session_id,
            command=command,
            completed_at=completed_at,
            fail_reason=fail_reason,
            vm_id=vm_id,
            vm_name=vm_name,
            source_org_id=source_org_id,
            region=region,
            provider=provider,
        )

        run_summary.additional_properties = d
        return run_summary

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
