from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.byte_range import ByteRange
    from ..models.entry_error import EntryError


T = TypeVar("T", bound="WriteResult")


@_attrs_define
class WriteResult:
    """The result of one entry."""

    path: str
    """ The path of the entry. """
    size: int | Unset = UNSET
    """ The file's size, in bytes. """
    complete: bool | Unset = UNSET
    """ Whether all bytes have arrived. """
    written: bool | Unset = UNSET
    """ Whether the file is at its path. """
    received_bytes: int | Unset = UNSET
    """ Chunk: number of bytes of the file that have arrived. """
    ranges: list[ByteRange] | Unset = UNSET
    """ Chunk: the byte ranges that have arrived, merged and in order. """
    presigned_url: str | Unset = UNSET
    """ Upload request: the URL to `PUT` the bytes to; a secret while it is valid. """
    upload_id: str | Unset = UNSET
    """ Upload request: the id for the commit. """
    expires_in: int | Unset = UNSET
    """ Upload request: seconds for which the URL is valid. """
    method: str | Unset = UNSET
    """ Upload request: `PUT`. """
    error: EntryError | Unset = UNSET
    """ Why an entry failed. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        path = self.path

        size = self.size

        complete = self.complete

        written = self.written

        received_bytes = self.received_bytes

        ranges: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.ranges, Unset):
            ranges = []
            for ranges_item_data in self.ranges:
                ranges_item = ranges_item_data.to_dict()
                ranges.append(ranges_item)

        presigned_url = self.presigned_url

        upload_id = self.upload_id

        expires_in = self.expires_in

        method = self.method

        error: dict[str, Any] | Unset = UNSET
        if not isinstance(self.error, Unset):
            error = self.error.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "path": path,
            }
        )
        if size is not UNSET:
            field_dict["size"] = size
        if complete is not UNSET:
            field_dict["complete"] = complete
        if written is not UNSET:
            field_dict["written"] = written
        if received_bytes is not UNSET:
            field_dict["received_bytes"] = received_bytes
        if ranges is not UNSET:
            field_dict["ranges"] = ranges
        if presigned_url is not UNSET:
            field_dict["presigned_url"] = presigned_url
        if upload_id is not UNSET:
            field_dict["upload_id"] = upload_id
        if expires_in is not UNSET:
            field_dict["expires_in"] = expires_in
        if method is not UNSET:
            field_dict["method"] = method
        if error is not UNSET:
            field_dict["error"] = error

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.byte_range import ByteRange  # noqa: PLC0415
        from ..models.entry_error import EntryError  # noqa: PLC0415

        d = dict(src_dict)
        path = d.pop("path")

        size = d.pop("size", UNSET)

        complete = d.pop("complete", UNSET)

        written = d.pop("written", UNSET)

        received_bytes = d.pop("received_bytes", UNSET)

        _ranges = d.pop("ranges", UNSET)
        ranges: list[ByteRange] | Unset = UNSET
        if _ranges is not UNSET:
            ranges = []
            for ranges_item_data in _ranges:
                ranges_item = ByteRange.from_dict(ranges_item_data)

                ranges.append(ranges_item)

        presigned_url = d.pop("presigned_url", UNSET)

        upload_id = d.pop("upload_id", UNSET)

        expires_in = d.pop("expires_in", UNSET)

        method = d.pop("method", UNSET)

        _error = d.pop("error", UNSET)
        error: EntryError | Unset
        if isinstance(_error, Unset):
            error = UNSET
        else:
            error = EntryError.from_dict(_error)

        write_result = cls(
            path=path,
            size=size,
            complete=complete,
            written=written,
            received_bytes=received_bytes,
            ranges=ranges,
            presigned_url=presigned_url,
            upload_id=upload_id,
            expires_in=expires_in,
            method=method,
            error=error,
        )

        write_result.additional_properties = d
        return write_result

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
