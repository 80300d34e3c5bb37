from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="VmSummary")


@_attrs_define
class VmSummary:
    """A computer in a list."""

    vm_id: str
    """ Its id. """
    name: None | str | Unset = UNSET
    """ Its name. """
    base_image: str | Unset = UNSET
    """ The base image that it descends from. """
    region: str | Unset = UNSET
    """ Its region. """
    created_at: datetime.datetime | Unset = UNSET
    """ When it was created, in UTC. """
    parent_vm_id: None | str | Unset = UNSET
    """ The computer that it was forked from. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        vm_id = self.vm_id

        name: None | str | Unset
        if isinstance(self.name, Unset):
            name = UNSET
        else:
            name = self.name

        base_image = self.base_image

        region = self.region

        created_at: str | Unset = UNSET
        if not isinstance(self.created_at, Unset):
            created_at = self.created_at.isoformat()

        parent_vm_id: None | str | Unset
        if isinstance(self.parent_vm_id, Unset):
            parent_vm_id = UNSET
        else:
            parent_vm_id = self.parent_vm_id

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "vm_id": vm_id,
            }
        )
        if name is not UNSET:
            field_dict["name"] = name
        if base_image is not UNSET:
            field_dict["base_image"] = base_image
        if region is not UNSET:
            field_dict["region"] = region
        if created_at is not UNSET:
            field_dict["created_at"] = created_at
        if parent_vm_id is not UNSET:
            field_dict["parent_vm_id"] = parent_vm_id

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        vm_id = d.pop("vm_id")

        def _parse_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        name = _parse_name(d.pop("name", UNSET))

        base_image = d.pop("base_image", UNSET)

        region = d.pop("region", UNSET)

        _created_at = d.pop("created_at", UNSET)
        created_at: datetime.datetime | Unset
        if isinstance(_created_at, Unset):
            created_at = UNSET
        else:
            created_at = datetime.datetime.fromisoformat(_created_at)

        def _parse_parent_vm_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        parent_vm_id = _parse_parent_vm_id(d.pop("parent_vm_id", UNSET))

        vm_summary = cls(
            vm_id=vm_id,
            name=name,
            base_image=base_image,
            region=region,
            created_at=created_at,
            parent_vm_id=parent_vm_id,
        )

        vm_summary.additional_properties = d
        return vm_summary

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
