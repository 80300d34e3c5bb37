from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Mount")


@_attrs_define
class Mount:
    """A file system in a computer."""

    mount_id: str
    """ Its id. """
    vm_id: str
    """ The computer. """
    filesystem_id: str
    """ The file system. """
    path: str
    """ Where it is in the computer. """
    region: None | str | Unset = UNSET
    """ Its region. """
    state: None | str | Unset = UNSET
    """ `attaching`, `mounted` or `failed`. """
    state_detail: None | str | Unset = UNSET
    """ Why it failed. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        mount_id = self.mount_id

        vm_id = self.vm_id

        filesystem_id = self.filesystem_id

        path = self.path

        region: None | str | Unset
        if isinstance(self.region, Unset):
            region = UNSET
        else:
            region = self.region

        state: None | str | Unset
        if isinstance(self.state, Unset):
            state = UNSET
        else:
            state = self.state

        state_detail: None | str | Unset
        if isinstance(self.state_detail, Unset):
            state_detail = UNSET
        else:
            state_detail = self.state_detail

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "mount_id": mount_id,
                "vm_id": vm_id,
                "filesystem_id": filesystem_id,
                "path": path,
            }
        )
        if region is not UNSET:
            field_dict["region"] = region
        if state is not UNSET:
            field_dict["state"] = state
        if state_detail is not UNSET:
            field_dict["state_detail"] = state_detail

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        mount_id = d.pop("mount_id")

        vm_id = d.pop("vm_id")

        filesystem_id = d.pop("filesystem_id")

        path = d.pop("path")

        def _parse_region(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        region = _parse_region(d.pop("region", UNSET))

        def _parse_state(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        state = _parse_state(d.pop("state", UNSET))

        def _parse_state_detail(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        state_detail = _parse_state_detail(d.pop("state_detail", UNSET))

        mount = cls(
            mount_id=mount_id,
            vm_id=vm_id,
            filesystem_id=filesystem_id,
            path=path,
            region=region,
            state=state,
            state_detail=state_detail,
        )

        mount.additional_properties = d
        return mount

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
