from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="WriteUpload")


@_attrs_define
class WriteUpload:
    """Request a URL to `PUT` a file to."""

    path: str
    """ An absolute path. """
    size: int
    """ Bytes of the file. """
    presigned: Literal[True] = True
    """ True. """
    is_secret: bool | Unset = False
    """ Keep the content out of logs. """

    def to_dict(self) -> dict[str, Any]:
        path = self.path

        size = self.size

        presigned = self.presigned

        is_secret = self.is_secret

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "path": path,
                "size": size,
                "presigned": presigned,
            }
        )
        if is_secret is not UNSET:
            field_dict["is_secret"] = is_secret

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        path = d.pop("path")

        size = d.pop("size")

        presigned = cast(Literal[True], d.pop("presigned"))
        if presigned != True:
            raise ValueError(f"presigned must match const True, got '{presigned}'")

        is_secret = d.pop("is_secret", UNSET)

        write_upload = cls(
            path=path,
            size=size,
            presigned=presigned,
            is_secret=is_secret,
        )

        return write_upload
