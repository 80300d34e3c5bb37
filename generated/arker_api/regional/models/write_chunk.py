from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="WriteChunk")


@_attrs_define
class WriteChunk:
    """Bytes `[start, end)` of a file of `size` bytes. The file appears when all of its bytes are there. `start`, `end` and
    `size` of 0 write an empty file.

    """

    path: str
    """ An absolute path below `/home/user/`, with no `..` segment and no NUL, that does not end in `/`. """
    size: int
    """ The size of the whole file, in bytes. """
    upload_id: str
    """ A ULID that names the upload. """
    start: int
    """ Offset of the first byte. """
    end: int
    """ Offset behind the last byte; at most 4194304 more than `start`. """
    content: str
    """ The bytes, in base64. """
    sha256: str | Unset = UNSET
    """ The SHA-256 of the bytes, in lowercase hexadecimal digits; another one is `bad_request` for the entry. """

    def to_dict(self) -> dict[str, Any]:
        path = self.path

        size = self.size

        upload_id = self.upload_id

        start = self.start

        end = self.end

        content = self.content

        sha256 = self.sha256

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

        sha256 = d.pop("sha256", UNSET)

        write_chunk = cls(
            path=path,
            size=size,
            upload_id=upload_id,
            start=start,
            end=end,
            content=content,
            sha256=sha256,
        )

        return write_chunk
