"""Unfinished and finished uploads to computers: which of their bytes have arrived."""

from __future__ import annotations

import json
from typing import NamedTuple

from .database import Database, Row

#: A half-open range.
Range = tuple[int, int]


class Upload(NamedTuple):
    """An upload.

    Attributes:
        kind: `chunks`, or `put` for an upload to a signed URL.
        ranges: the bytes that have arrived, as merged ranges.
        written: whether the file was written to its computer.
        boot: id of the boot of the machine during which they arrived.
    """

    vm_id: str
    upload_id: str
    path: str
    size: int
    kind: str
    ranges: tuple[Range, ...]
    written: bool
    boot: str
    touched_ms: int


class UploadRows:
    """The rows of uploads. They survive the death of the process, but not always that of the machine."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, vm_id: str, upload_id: str) -> Upload | None:
        """Return an upload of a computer."""
        row = self._database.one("SELECT * FROM uploads WHERE vm_id = ? AND upload_id = ?", vm_id, upload_id)
        return None if row is None else _upload(row)

    async def save(self, upload: Upload) -> None:
        """Add or replace an upload, if its computer still exists."""
        await self._database.execute(
            "INSERT OR REPLACE INTO uploads "
            "(vm_id, upload_id, path, size, kind, ranges, written, boot, touched_ms) "
            "SELECT vm_id, ?, ?, ?, ?, ?, ?, ?, ? FROM vms WHERE vm_id = ?",
            upload.upload_id, upload.path, upload.size, upload.kind, json.dumps(upload.ranges), upload.written,
            upload.boot, upload.touched_ms, upload.vm_id,
            durable=False,
        )  # fmt: skip

    def pending(self, vm_id: str) -> tuple[int, int]:
        """Return the number of unfinished uploads of a computer, and the sum of their sizes in bytes."""
        row = self._database.one(
            "SELECT count(*), total(size) FROM uploads WHERE vm_id = ? AND NOT written", vm_id
        )
        assert row is not None
        return int(row[0]), int(row[1])

    def all_pending(self) -> list[tuple[str, str]]:
        """Return the computer and id of every unfinished upload."""
        rows = self._database.all("SELECT vm_id, upload_id FROM uploads WHERE NOT written")
        return [(row["vm_id"], row["upload_id"]) for row in rows]

    def count_pending(self) -> int:
        """Return the number of unfinished uploads."""
        row = self._database.one("SELECT count(*) FROM uploads WHERE NOT written")
        assert row is not None
        return int(row[0])

    async def forget(self, *, before_ms: int) -> None:
        """Delete uploads that were last changed before a time."""
        await self._database.execute("DELETE FROM uploads WHERE touched_ms < ?", before_ms, durable=False)


def _upload(row: Row) -> Upload:
    ranges = tuple((start, end) for start, end in json.loads(row["ranges"]))
    return Upload(
        row["vm_id"], row["upload_id"], row["path"], row["size"], row["kind"], ranges, bool(row["written"]),
        row["boot"], row["touched_ms"],
    )  # fmt: skip
