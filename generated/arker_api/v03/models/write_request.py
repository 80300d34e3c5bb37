from __future__ import annotations

from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.write_chunk import WriteChunk
    from ..models.write_commit import WriteCommit
    from ..models.write_upload import WriteUpload


T = TypeVar("T", bound="WriteRequest")


@_attrs_define
class WriteRequest:
    """Write files."""

    writes: list[WriteChunk | WriteCommit | WriteUpload]
    """ What to write. """
    op: Literal["write"] = "write"
    """ Which operation. """

    def to_dict(self) -> dict[str, Any]:
        from ..models.write_chunk import WriteChunk  # noqa: PLC0415
        from ..models.write_upload import WriteUpload  # noqa: PLC0415

        op = self.op

        writes = []
        for writes_item_data in self.writes:
            writes_item: dict[str, Any]
            if isinstance(writes_item_data, WriteChunk):
                writes_item = writes_item_data.to_dict()
            elif isinstance(writes_item_data, WriteUpload):
                writes_item = writes_item_data.to_dict()
            else:
                writes_item = writes_item_data.to_dict()

            writes.append(writes_item)

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "op": op,
                "writes": writes,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.write_chunk import WriteChunk  # noqa: PLC0415
        from ..models.write_commit import WriteCommit  # noqa: PLC0415
        from ..models.write_upload import WriteUpload  # noqa: PLC0415

        d = dict(src_dict)
        op = cast(Literal["write"], d.pop("op"))
        if op != "write":
            raise ValueError(f"op must match const 'write', got '{op}'")

        writes = []
        _writes = d.pop("writes")
        for writes_item_data in _writes:

            def _parse_writes_item(data: object) -> WriteChunk | WriteCommit | WriteUpload:
                try:
                    if not isinstance(data, dict):
                        raise TypeError()
                    componentsschemas_write_entry_type_0 = WriteChunk.from_dict(data)

                    return componentsschemas_write_entry_type_0
                except (TypeError, ValueError, AttributeError, KeyError):
                    pass
                try:
                    if not isinstance(data, dict):
                        raise TypeError()
                    componentsschemas_write_entry_type_1 = WriteUpload.from_dict(data)

                    return componentsschemas_write_entry_type_1
                except (TypeError, ValueError, AttributeError, KeyError):
                    pass
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_write_entry_type_2 = WriteCommit.from_dict(data)

                return componentsschemas_write_entry_type_2

            writes_item = _parse_writes_item(writes_item_data)

            writes.append(writes_item)

        write_request = cls(
            op=op,
            writes=writes,
        )

        return write_request
