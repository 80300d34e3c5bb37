from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="ResourcesInput")


@_attrs_define
class ResourcesInput:
    """The requested resources."""

    vcpu: int | None | Unset = UNSET
    """ Virtual CPUs. """
    memory_mib: int | None | Unset = UNSET
    """ Memory in MiB. """
    disk_mib: int | None | Unset = UNSET
    """ Disk in MiB. """
    vgpu: float | None | Unset = UNSET
    """ Shares of GPUs. """

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

        vgpu: float | None | Unset
        if isinstance(self.vgpu, Unset):
            vgpu = UNSET
        else:
            vgpu = self.vgpu

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if vcpu is not UNSET:
            field_dict["vcpu"] = vcpu
        if memory_mib is not UNSET:
            field_dict["memory_mib"] = memory_mib
        if disk_mib is not UNSET:
            field_dict["disk_mib"] = disk_mib
        if vgpu is not UNSET:
            field_dict["vgpu"] = vgpu

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

        def _parse_vgpu(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        vgpu = _parse_vgpu(d.pop("vgpu", UNSET))

        resources_input = cls(
            vcpu=vcpu,
            memory_mib=memory_mib,
            disk_mib=disk_mib,
            vgpu=vgpu,
        )

        return resources_input
