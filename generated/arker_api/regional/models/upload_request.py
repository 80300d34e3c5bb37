from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

T = TypeVar("T", bound="UploadRequest")


@_attrs_define
class UploadRequest:
    """Asks for a signed URL to `PUT` a whole file to."""

    path: str
    """ An absolute path below `/home/user/`, with no `..` segment and no NUL, that does not end in `/`. """
    size: int
    """ The size of the whole file, in bytes. """
    presigned: Literal[True] = True
    """ Always true. """

    def to_dict(self) -> dict[str, Any]:
        path = self.path

        size = self.size

        presigned = self.presigned

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "path": path,
                "size": size,
                "presigned": presigned,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        path = d.pop("path")

        size = d.pop("size")

        presigned = cast(Literal[True], d.pop("presigned"))
        if presigned != True:
            raise ValueError(f"presigned must match const True, got '{presigned}'")

        upload_request = cls(
            path=path,
            size=size,
            presigned=presigned,
        )

        return upload_request
