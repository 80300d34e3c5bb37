from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="InlineFile")


@_attrs_define
class InlineFile:
    """A file's content."""

    size: int
    """ Its size, in bytes. """
    content: str
    """ The content, in `encoding`. """
    encoding: str
    """ `utf8`, `utf-8` or `base64`. """
    ok: bool | Unset = UNSET
    """ True. """
    op: str | Unset = UNSET
    """ `read`. """
    path: str | Unset = UNSET
    """ The path as asked for. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        size = self.size

        content = self.content

        encoding = self.encoding

        ok = self.ok

        op = self.op

        path = self.path

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "size": size,
                "content": content,
                "encoding": encoding,
            }
        )
        if ok is not UNSET:
            field_dict["ok"] = ok
        if op is not UNSET:
            field_dict["op"] = op
        if path is not UNSET:
            field_dict["path"] = path

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        size = d.pop("size")

        content = d.pop("content")

        encoding = d.pop("encoding")

        ok = d.pop("ok", UNSET)

        op = d.pop("op", UNSET)

        path = d.pop("path", UNSET)

        inline_file = cls(
            size=size,
            content=content,
            encoding=encoding,
            ok=ok,
            op=op,
            path=path,
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
