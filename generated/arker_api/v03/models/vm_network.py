from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.vm_network_ssh_public_keys_item import VmNetworkSshPublicKeysItem


T = TypeVar("T", bound="VmNetwork")


@_attrs_define
class VmNetwork:
    """How a computer is reached."""

    ssh_public_keys: list[VmNetworkSshPublicKeysItem] | Unset = UNSET
    """ SSH keys that may log in. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        ssh_public_keys: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.ssh_public_keys, Unset):
            ssh_public_keys = []
            for ssh_public_keys_item_data in self.ssh_public_keys:
                ssh_public_keys_item = ssh_public_keys_item_data.to_dict()
                ssh_public_keys.append(ssh_public_keys_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if ssh_public_keys is not UNSET:
            field_dict["ssh_public_keys"] = ssh_public_keys

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.vm_network_ssh_public_keys_item import VmNetworkSshPublicKeysItem  # noqa: PLC0415

        d = dict(src_dict)
        _ssh_public_keys = d.pop("ssh_public_keys", UNSET)
        ssh_public_keys: list[VmNetworkSshPublicKeysItem] | Unset = UNSET
        if _ssh_public_keys is not UNSET:
            ssh_public_keys = []
            for ssh_public_keys_item_data in _ssh_public_keys:
                ssh_public_keys_item = VmNetworkSshPublicKeysItem.from_dict(ssh_public_keys_item_data)

                ssh_public_keys.append(ssh_public_keys_item)

        vm_network = cls(
            ssh_public_keys=ssh_public_keys,
        )

        vm_network.additional_properties = d
        return vm_network

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
