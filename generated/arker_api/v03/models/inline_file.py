from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="InlineFile")


@_attrs_define
class InlineFile:
    """A file and its content."""

    ok: bool
    """ True. """
    op: str
    """ `read`. """
    path: str
    """ The value from the request. """
    size: int
    """ Bytes. """
    content: str
    """ The content. """
    encoding: str
    """ The encoding of the content: `utf8` or `base64`. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        ok = self.ok

        op = self.op

        path = self.path

        size = self.size

        content = self.content

        encoding = self.encoding

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "ok": ok,
                "op": op,
                "path": path,
                "size": size,
                "content": content,
                "encoding": encoding,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        ok = d.pop("ok")

        op = d.pop("op")

        path = d.pop("path")

        size = d.pop("size")

        content = d.pop("content")

        encoding = d.pop("encoding")

        inline_file = cls(
            ok=ok,
            op=op,
            path=path,
            size=size,
            content=content,
            encoding=encoding,
        )

        inline_file.additional_properties = d
        return inline_file

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
