from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.manifest_entry import ManifestEntry


T = TypeVar("T", bound="Manifest")


@_attrs_define
class Manifest:
    """The regular files of a folder."""

    root: str
    """ The folder. """
    hash_algo: str
    """ `sha256`. """
    entries: list[ManifestEntry]
    """ At most 50 000 files. """
    truncated: bool
    """ Whether there are more. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        root = self.root

        hash_algo = self.hash_algo

        entries = []
        for entries_item_data in self.entries:
            entries_item = entries_item_data.to_dict()
            entries.append(entries_item)

        truncated = self.truncated

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "root": root,
                "hash_algo": hash_algo,
                "entries": entries,
                "truncated": truncated,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.manifest_entry import ManifestEntry  # noqa: PLC0415

        d = dict(src_dict)
        root = d.pop("root")

        hash_algo = d.pop("hash_algo")

        entries = []
        _entries = d.pop("entries")
        for entries_item_data in _entries:
            entries_item = ManifestEntry.from_dict(entries_item_data)

            entries.append(entries_item)

        truncated = d.pop("truncated")

        manifest = cls(
            root=root,
            hash_algo=hash_algo,
            entries=entries,
            truncated=truncated,
        )

        manifest.additional_properties = d
        return manifest

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
