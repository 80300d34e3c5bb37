from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="WriteChunk")


@_attrs_define
class WriteChunk:
    """Bytes `[start, end)` of a file."""

    path: str
    """ An absolute path. """
    size: int
    """ Bytes of the whole file. """
    upload_id: str
    """ A ULID that the client creates, the same for all chunks of a file. """
    start: int
    """ The first byte. """
    end: int
    """ The byte after the last. """
    content: str
    """ The bytes in base64; at most 4 MiB of them. """
    sha256: None | str | Unset = UNSET
    """ The SHA-256 of these bytes, in hexadecimal. """
    is_secret: bool | Unset = False
    """ Keep the content out of logs. """

    def to_dict(self) -> dict[str, Any]:
        path = self.path

        size = self.size

        upload_id = self.upload_id

        start = self.start

        end = self.end

        content = self.content

        sha256: None | str | Unset
        if isinstance(self.sha256, Unset):
            sha256 = UNSET
        else:
            sha256 = self.sha256

        is_secret = self.is_secret

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "path": path,
                "size": size,
                "upload_id": upload_id,
                "start": start,
                "end": end,
                "content": content,
            }
        )
        if sha256 is not UNSET:
            field_dict["sha256"] = sha256
        if is_secret is not UNSET:
            field_dict["is_secret"] = is_secret

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        path = d.pop("path")

        size = d.pop("size")

        upload_id = d.pop("upload_id")

        start = d.pop("start")

        end = d.pop("end")

        content = d.pop("content")

        def _parse_sha256(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        sha256 = _parse_sha256(d.pop("sha256", UNSET))

        is_secret = d.pop("is_secret", UNSET)

        write_chunk = cls(
            path=path,
            size=size,
            upload_id=upload_id,
            start=start,
            end=end,
            content=content,
            sha256=sha256,
            is_secret=is_secret,
        )

        return write_chunk
