from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Filesystem")


@_attrs_define
class Filesystem:
    """A folder that outlives computers."""

    filesystem_id: str
    """ Its id. """
    name: str
    """ Its name. """
    owner_org_id: str
    """ The organization that owns it. """
    created_at: datetime.datetime
    """ When it was created. """
    size_bytes: int | None | Unset = UNSET
    """ The size of its files in bytes. """
    region: None | str | Unset = UNSET
    """ Its region. """
    provider: None | str | Unset = UNSET
    """ Its provider. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        filesystem_id = self.filesystem_id

        name = self.name

        owner_org_id = self.owner_org_id

        created_at = self.created_at.isoformat()

        size_bytes: int | None | Unset
        if isinstance(self.size_bytes, Unset):
            size_bytes = UNSET
        else:
            size_bytes = self.size_bytes

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
                "filesystem_id": filesystem_id,
                "name": name,
                "owner_org_id": owner_org_id,
                "created_at": created_at,
            }
        )
        if size_bytes is not UNSET:
            field_dict["size_bytes"] = size_bytes
        if region is not UNSET:
            field_dict["region"] = region
        if provider is not UNSET:
            field_dict["provider"] = provider

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        filesystem_id = d.pop("filesystem_id")

        name = d.pop("name")

        owner_org_id = d.pop("owner_org_id")

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        def _parse_size_bytes(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        size_bytes = _parse_size_bytes(d.pop("size_bytes", UNSET))

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

        filesystem = cls(
            filesystem_id=filesystem_id,
            name=name,
            owner_org_id=owner_org_id,
            created_at=created_at,
            size_bytes=size_bytes,
            region=region,
            provider=provider,
        )

        filesystem.additional_properties = d
        return filesystem

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
