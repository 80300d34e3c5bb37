from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="ApiKeyScope")


@_attrs_define
class ApiKeyScope:
    """A computer or a pool."""

    vm_id: str | Unset = UNSET
    """ The computer. """
    pool_id: UUID | Unset = UNSET
    """ The pool. """

    def to_dict(self) -> dict[str, Any]:
        vm_id = self.vm_id

        pool_id: str | Unset = UNSET
        if not isinstance(self.pool_id, Unset):
            pool_id = str(self.pool_id)

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if vm_id is not UNSET:
            field_dict["vm_id"] = vm_id
        if pool_id is not UNSET:
            field_dict["pool_id"] = pool_id

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        vm_id = d.pop("vm_id", UNSET)

        _pool_id = d.pop("pool_id", UNSET)
        pool_id: UUID | Unset
        if isinstance(_pool_id, Unset):
            pool_id = UNSET
        else:
            pool_id = UUID(_pool_id)

        api_key_scope = cls(
            vm_id=vm_id,
            pool_id=pool_id,
        )

        return api_key_scope
