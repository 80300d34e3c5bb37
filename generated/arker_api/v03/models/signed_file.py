from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="SignedFile")


@_attrs_define
class SignedFile:
    """A file and the URL to `GET` its content from, without the key."""

    ok: bool
    """ True. """
    op: str
    """ `read`. """
    path: str
    """ The value from the request. """
    size: int
    """ Bytes. """
    presigned_url: str
    """ The URL of the content. """
    expires_in: int
    """ Seconds for which the URL is valid. """
    method: str
    """ `GET`. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        ok = self.ok

        op = self.op

        path = self.path

        size = self.size

        presigned_url = self.presigned_url

        expires_in = self.expires_in

        method = self.method

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "ok": ok,
                "op": op,
                "path": path,
                "size": size,
                "presigned_url": presigned_url,
                "expires_in": expires_in,
                "method": method,
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

        presigned_url = d.pop("presigned_url")

        expires_in = d.pop("expires_in")

        method = d.pop("method")

        signed_file = cls(
            ok=ok,
            op=op,
            path=path,
            size=size,
            presigned_url=presigned_url,
            expires_in=expires_in,
            method=method,
        )

        signed_file.additional_properties = d
        return signed_file

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
