from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.session_env_type_0 import SessionEnvType0


T = TypeVar("T", bound="Session")


@_attrs_define
class Session:
    """A persistent shell."""

    session_id: str
    """ Its id. """
    state: str
    """ `idle`, `pending` or `running`. """
    cwd: str
    """ Its folder; may be empty before its first run. """
    session_idx: int | Unset = 0
    """ Its index; 0 is the default session. """
    env: None | SessionEnvType0 | Unset = UNSET
    """ Its initial variables. """
    started_at: datetime.datetime | None | Unset = UNSET
    """ When it was created. """
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
        from ..models.session_env_type_0 import SessionEnvType0  # noqa: PLC0415

        session_id = self.session_id

        state = self.state

        cwd = self.cwd

        session_idx = self.session_idx

        env: dict[str, Any] | None | Unset
        if isinstance(self.env, Unset):
            env = UNSET
        elif isinstance(self.env, SessionEnvType0):
            env = self.env.to_dict()
        else:
            env = self.env

        started_at: None | str | Unset
        if isinstance(self.started_at, Unset):
            started_at = UNSET
        elif isinstance(self.started_at, datetime.datetime):
            started_at = self.started_at.isoformat()
        else:
            started_at = self.started_at

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
                "session_id": session_id,
                "state": state,
                "cwd": cwd,
            }
        )
        if session_idx is not UNSET:
            field_dict["session_idx"] = session_idx
        if env is not UNSET:
            field_dict["env"] = env
        if started_at is not UNSET:
            field_dict["started_at"] = started_at
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
        from ..models.session_env_type_0 import SessionEnvType0  # noqa: PLC0415

        d = dict(src_dict)
        session_id = d.pop("session_id")

        state = d.pop("state")

        cwd = d.pop("cwd")

        session_idx = d.pop("session_idx", UNSET)

        def _parse_env(data: object) -> None | SessionEnvType0 | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                env_type_0 = SessionEnvType0.from_dict(data)

                return env_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | SessionEnvType0 | Unset, data)

        env = _parse_env(d.pop("env", UNSET))

        def _parse_started_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                started_at_type_0 = datetime.datetime.fromisoformat(data)

                return started_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        started_at = _parse_started_at(d.pop("started_at", UNSET))

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

        session = cls(
            session_id=session_id,
            state=state,
            cwd=cwd,
            session_idx=session_idx,
            env=env,
            started_at=started_at,
            vm_id=vm_id,
            vm_name=vm_name,
            source_org_id=source_org_id,
            region=region,
            provider=provider,
        )

        session.additional_properties = d
        return session

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
