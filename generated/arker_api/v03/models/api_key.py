from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.api_key_scope import ApiKeyScope


T = TypeVar("T", bound="ApiKey")


@_attrs_define
class ApiKey:
    """An API key without its secret value."""

    api_key_id: str
    """ Its id. """
    role: str
    """ `admin`, `developer`, `member` or `viewer`. """
    scopes: list[ApiKeyScope]
    """ The resources that it is limited to; empty for all. """
    vm_id: None | str
    """ Deprecated. """
    pool_id: None | str
    """ Deprecated. """
    action: None
    """ Deprecated. """
    created_at: datetime.datetime
    """ When it was created. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        api_key_id = self.api_key_id

        role = self.role

        scopes = []
        for scopes_item_data in self.scopes:
            scopes_item = scopes_item_data.to_dict()
            scopes.append(scopes_item)

        vm_id: None | str
        vm_id = self.vm_id

        pool_id: None | str
        pool_id = self.pool_id

        action = self.action

        created_at = self.created_at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "api_key_id": api_key_id,
                "role": role,
                "scopes": scopes,
                "vm_id": vm_id,
                "pool_id": pool_id,
                "action": action,
                "created_at": created_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.api_key_scope import ApiKeyScope  # noqa: PLC0415

        d = dict(src_dict)
        api_key_id = d.pop("api_key_id")

        role = d.pop("role")

        scopes = []
        _scopes = d.pop("scopes")
        for scopes_item_data in _scopes:
            scopes_item = ApiKeyScope.from_dict(scopes_item_data)

            scopes.append(scopes_item)

        def _parse_vm_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        vm_id = _parse_vm_id(d.pop("vm_id"))

        def _parse_pool_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        pool_id = _parse_pool_id(d.pop("pool_id"))

        action = d.pop("action")

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        api_key = cls(
            api_key_id=api_key_id,
            role=role,
            scopes=scopes,
            vm_id=vm_id,
            pool_id=pool_id,
            action=action,
            created_at=created_at,
        )

        api_key.additional_properties = d
        return api_key

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
