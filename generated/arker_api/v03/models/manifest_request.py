from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

T = TypeVar("T", bound="ManifestRequest")


@_attrs_define
class ManifestRequest:
    """List the regular files of a folder."""

    path: str
    """ An absolute path; not `/`. """
    op: Literal["manifest"] = "manifest"
    """ Which operation. """

    def to_dict(self) -> dict[str, Any]:
        op = self.op

        path = self.path

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "op": op,
                "path": path,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        op = cast(Literal["manifest"], d.pop("op"))
        if op != "manifest":
            raise ValueError(f"op must match const 'manifest', got '{op}'")

        path = d.pop("path")

        manifest_request = cls(
            op=op,
            path=path,
        )

        return manifest_request
