from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="ForkResponse")


@_attrs_define
class ForkResponse:
    """The new computer. Only `vm_id` may be relied on."""

    vm_id: str
    """ The id of the new computer. """
    org_id: str | Unset = UNSET
    """ The organization that owns it. """
    region: str | Unset = UNSET
    """ Its region. """
    base_image: str | Unset = UNSET
    """ The base image that it descends from. """
    name: None | str | Unset = UNSET
    """ Its name, if it has one. """
    is_public: bool | Unset = UNSET
    """ Whether other organizations may fork it. """
    parent_vm_id: str | Unset = UNSET
    """ The computer that it was forked from. """
    created_at: int | Unset = UNSET
    """ When it was created, in milliseconds since the epoch. """
    state: str | Unset = UNSET
    """ `running`: it can be used at once. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        vm_id = self.vm_id

        org_id = self.org_id

        region = self.region

        base_image = self.base_image

        name: None | str | Unset
        if isinstance(self.name, Unset):
            name = UNSET
        else:
            name = self.name

        is_public = self.is_public

        parent_vm_id = self.parent_vm_id

        created_at = self.created_at

        state = self.state

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "vm_id": vm_id,
            }
        )
        if org_id is not UNSET:
            field_dict["org_id"] = org_id
        if region is not UNSET:
            field_dict["region"] = region
        if base_image is not UNSET:
            field_dict["base_image"] = base_image
        if name is not UNSET:
            field_dict["name"] = name
        if is_public is not UNSET:
            field_dict["is_public"] = is_public
        if parent_vm_id is not UNSET:
            field_dict["parent_vm_id"] = parent_vm_id
        if created_at is not UNSET:
            field_dict["created_at"] = created_at
        if state is not UNSET:
            field_dict["state"] = state

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        vm_id = d.pop("vm_id")

        org_id = d.pop("org_id", UNSET)

        region = d.pop("region", UNSET)

        base_image = d.pop("base_image", UNSET)

        def _parse_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        name = _parse_name(d.pop("name", UNSET))

        is_public = d.pop("is_public", UNSET)

        parent_vm_id = d.pop("parent_vm_id", UNSET)

        created_at = d.pop("created_at", UNSET)

        state = d.pop("state", UNSET)

        fork_response = cls(
            vm_id=vm_id,
            org_id=org_id,
            region=region,
            base_image=base_image,
            name=name,
            is_public=is_public,
            parent_vm_id=parent_vm_id,
            created_at=created_at,
            state=state,
        )

        fork_response.additional_properties = d
        return fork_response

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
