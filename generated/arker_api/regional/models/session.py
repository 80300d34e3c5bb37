from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.session_env import SessionEnv


T = TypeVar("T", bound="Session")


@_attrs_define
class Session:
    """A persistent shell."""

    session_id: str
    """ Its name. """
    session_idx: int | Unset = UNSET
    """ Its number; 0 is the default session. """
    state: str | Unset = UNSET
    """ `idle`, `pending` or `running`. """
    cwd: str | Unset = UNSET
    """ Its current folder. """
    env: SessionEnv | Unset = UNSET
    """ Its initial variables. """
    started_at: datetime.datetime | None | Unset = UNSET
    """ When it was created. """
    vm_id: str | Unset = UNSET
    """ Its computer. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        session_id = self.session_id

        session_idx = self.session_idx

        state = self.state

        cwd = self.cwd

        env: dict[str, Any] | Unset = UNSET
        if not isinstance(self.env, Unset):
            env = self.env.to_dict()

        started_at: None | str | Unset
        if isinstance(self.started_at, Unset):
            started_at = UNSET
        elif isinstance(self.started_at, datetime.datetime):
            started_at = self.started_at.isoformat()
        else:
            started_at = self.started_at

        vm_id = self.vm_id

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "session_id": session_id,
            }
        )
        if session_idx is not UNSET:
            field_dict["session_idx"] = session_idx
        if state is not UNSET:
            field_dict["state"] = state
        if cwd is not UNSET:
            field_dict["cwd"] = cwd
        if env is not UNSET:
            field_dict["env"] = env
        if started_at is not UNSET:
            field_dict["started_at"] = started_at
        if vm_id is not UNSET:
            field_dict["vm_id"] = vm_id

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.session_env import SessionEnv  # noqa: PLC0415

        d = dict(src_dict)
        session_id = d.pop("session_id")

        session_idx = d.pop("session_idx", UNSET)

        state = d.pop("state", UNSET)

        cwd = d.pop("cwd", UNSET)

        _env = d.pop("env", UNSET)
        env: SessionEnv | Unset
        if isinstance(_env, Unset):
            env = UNSET
        else:
            env = SessionEnv.from_dict(_env)

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

        vm_id = d.pop("vm_id", UNSET)

        session = cls(
            session_id=session_id,
            session_idx=session_idx,
            state=state,
            cwd=cwd,
            env=env,
            started_at=started_at,
            vm_id=vm_id,
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
