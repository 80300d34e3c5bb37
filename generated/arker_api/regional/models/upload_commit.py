from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="UploadCommit")


@_attrs_define
class UploadCommit:
    """Publishes a file that was `PUT` to its signed URL."""

    path: str
    """ An absolute path, with no `..` segment and no NUL, that does not end in `/`. """
    size: int
    """ The size of the whole file, in bytes. """
    upload_id: str
    """ A ULID that identifies the upload. """
    sha256: None | str | Unset = UNSET
    """ The SHA-256 of the content. """

    def to_dict(self) -> dict[str, Any]:
        path = self.path

        size = self.size

        upload_id = self.upload_id

        sha256: None | str | Unset
        if isinstance(self.sha256, Unset):
            sha256 = UNSET
        else:
            sha256 = self.sha256

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "path": path,
                "size": size,
                "upload_id": upload_id,
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

        def _parse_sha256(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        sha256 = _parse_sha256(d.pop("sha256", UNSET))

        upload_commit = cls(
            path=path,
            size=size,
            upload_id=upload_id,
            sha256=sha256,
        )

        return upload_commit
