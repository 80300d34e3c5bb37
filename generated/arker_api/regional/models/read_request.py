from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

T = TypeVar("T", bound="ReadRequest")


@_attrs_define
class ReadRequest:
    """Read one file."""

    path: str
    """ An absolute path, with no `..` segment and no NUL, that does not end in `/`. """
    op: Literal["read"] = "read"
    """ The operation. """

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
        op = cast(Literal["read"], d.pop("op"))
        if op != "read":
            raise ValueError(f"op must match const 'read', got '{op}'")

        path = d.pop("path")

        read_request = cls(
            op=op,
            path=path,
        )

        return read_request
