from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="MountCreateRequest")


@_attrs_define
class MountCreateRequest:
    """A file system to mount, and its path."""

    filesystem_id: str
    """ The file system. """
    path: str | Unset = UNSET
    """ An absolute path; default `/mnt/` followed by its name. """

    def to_dict(self) -> dict[str, Any]:
        filesystem_id = self.filesystem_id

        path = self.path

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "filesystem_id": filesystem_id,
            }
        )
        if path is not UNSET:
            field_dict["path"] = path

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        filesystem_id = d.pop("filesystem_id")

        path = d.pop("path", UNSET)

        mount_create_request = cls(
            filesystem_id=filesystem_id,
            path=path,
        )

        return mount_create_request
