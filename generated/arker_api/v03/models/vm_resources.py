from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="VmResources")


@_attrs_define
class VmResources:
    """What a computer may use."""

    vcpu: int | None | Unset = UNSET
    """ Virtual CPUs. """
    memory_mib: int | None | Unset = UNSET
    """ Memory in MiB. """
    disk_mib: int | None | Unset = UNSET
    """ Disk in MiB. """
    gpu_sms: int | None | Unset = UNSET
    """ Multiprocessors of a GPU. """
    gpu_vram_mib: int | None | Unset = UNSET
    """ Memory of a GPU. """
    gpu_count: int | None | Unset = UNSET
    """ GPUs. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        vcpu: int | None | Unset
        if isinstance(self.vcpu, Unset):
            vcpu = UNSET
        else:
            vcpu = self.vcpu

        memory_mib: int | None | Unset
        if isinstance(self.memory_mib, Unset):
            memory_mib = UNSET
        else:
            memory_mib = self.memory_mib

        disk_mib: int | None | Unset
        if isinstance(self.disk_mib, Unset):
            disk_mib = UNSET
        else:
            disk_mib = self.disk_mib

        gpu_sms: int | None | Unset
        if isinstance(self.gpu_sms, Unset):
            gpu_sms = UNSET
        else:
            gpu_sms = self.gpu_sms

        gpu_vram_mib: int | None | Unset
        if isinstance(self.gpu_vram_mib, Unset):
            gpu_vram_mib = UNSET
        else:
            gpu_vram_mib = self.gpu_vram_mib

        gpu_count: int | None | Unset
        if isinstance(self.gpu_count, Unset):
            gpu_count = UNSET
        else:
            gpu_count = self.gpu_count

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if vcpu is not UNSET:
            field_dict["vcpu"] = vcpu
        if memory_mib is not UNSET:
            field_dict["memory_mib"] = memory_mib
        if disk_mib is not UNSET:
            field_dict["disk_mib"] = disk_mib
        if gpu_sms is not UNSET:
            field_dict["gpu_sms"] = gpu_sms
        if gpu_vram_mib is not UNSET:
            field_dict["gpu_vram_mib"] = gpu_vram_mib
        if gpu_count is not UNSET:
            field_dict["gpu_count"] = gpu_count

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_vcpu(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        vcpu = _parse_vcpu(d.pop("vcpu", UNSET))

        def _parse_memory_mib(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        memory_mib = _parse_memory_mib(d.pop("memory_mib", UNSET))

        def _parse_disk_mib(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        disk_mib = _parse_disk_mib(d.pop("disk_mib", UNSET))

        def _parse_gpu_sms(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        gpu_sms = _parse_gpu_sms(d.pop("gpu_sms", UNSET))

        def _parse_gpu_vram_mib(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        gpu_vram_mib = _parse_gpu_vram_mib(d.pop("gpu_vram_mib", UNSET))

        def _parse_gpu_count(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        gpu_count = _parse_gpu_count(d.pop("gpu_count", UNSET))

        vm_resources = cls(
            vcpu=vcpu,
            memory_mib=memory_mib,
            disk_mib=disk_mib,
            gpu_sms=gpu_sms,
            gpu_vram_mib=gpu_vram_mib,
            gpu_count=gpu_count,
        )

        vm_resources.additional_properties = d
        return vm_resources

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
