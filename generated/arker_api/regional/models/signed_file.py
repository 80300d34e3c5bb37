from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="SignedFile")


@_attrs_define
class SignedFile:
    """The URL to `GET` a file's content from, without the API key. The response to that `GET`, also of a range, may
    have the SHA-256 of the whole file in a `Repr-Digest` header (RFC 9530); clients then check it. A response with
    `Arker-Digest: on-request` started before the digest was known; it is returned to a later `GET` with
    `Want-Repr-Digest: sha-256=10`, for example of the range `bytes=0-0`.

    """

    size: int
    """ Its size, in bytes. """
    presigned_url: str
    """ The signed URL; a secret while it is valid. """
    ok: bool | Unset = UNSET
    """ True. """
    op: str | Unset = UNSET
    """ `read`. """
    path: str | Unset = UNSET
    """ The path as asked for. """
    expires_in: int | Unset = UNSET
    """ Seconds for which the URL is valid. """
    method: str | Unset = UNSET
    """ `GET`. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        size = self.size

        presigned_url = self.presigned_url

        ok = self.ok

        op = self.op

        path = self.path

        expires_in = self.expires_in

        method = self.method

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "size": size,
                "presigned_url": presigned_url,
            }
        )
        if ok is not UNSET:
            field_dict["ok"] = ok
        if op is not UNSET:
            field_dict["op"] = op
        if path is not UNSET:
            field_dict["path"] = path
        if expires_in is not UNSET:
            field_dict["expires_in"] = expires_in
        if method is not UNSET:
            field_dict["method"] = method

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        size = d.pop("size")

        presigned_url = d.pop("presigned_url")

        ok = d.pop("ok", UNSET)

        op = d.pop("op", UNSET)

        path = d.pop("path", UNSET)

        expires_in = d.pop("expires_in", UNSET)

        method = d.pop("method", UNSET)

        signed_file = cls(
            size=size,
            presigned_url=presigned_url,
            ok=ok,
            op=op,
            path=path,
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
