"""Files on their way into a computer: chunks in any order, or one `PUT` and a commit.

What has arrived lies in a staging folder, one file an upload, and its ranges in the database: bytes first,
then the row, so a row never promises bytes that are not there. It outlives the process, but not the machine
(rows carry the id of the boot): staging is then free of waits for the disk, and what the API calls `written`
has been synced by the engine.

An upload that was written keeps its row for a day, so that a repeat of it answers the same and never
overwrites a newer file.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

from arker.ids import new_ulid

from . import ranges
from .database import Database, Row
from .engine.protocol import Engine, StorageFull
from .engine.readable import LocalFile
from .errors import ApiError
from .requests import WriteEntry, check_chunk

#: An upload that nothing happens to for so long is forgotten.
LIFETIME_MS: Final = 24 * 3600 * 1000
#: Bytes that the unfinished uploads of one computer may have together: its share of the disk is for what is
#: finished.
MAX_PENDING: Final = 10_000_000_000
#: How many they may be, and in how many separate pieces one may be: each costs time with every step of the others.
MAX_UNFINISHED: Final = 10_000
MAX_PIECES: Final = 1_000
#: Bytes handed to a worker thread at a time.
_PIECE: Final = 1024 * 1024

Result = dict[str, Any]


class Uploads:
    """The uploads of a deployment; `folder` is the staging folder, which must be there."""

    def __init__(self, database: Database, engine: Engine, folder: Path) -> None:
        self._database = database
        self._engine = engine
        self._folder = folder
        self._boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def chunk(self, vm_id: str, entry: WriteEntry) -> Result:
        """Take a chunk; write the file when it was the last one missing."""
        check_chunk(entry)
        assert entry.upload_id is not None
        assert entry.content is not None
        assert entry.start is not None
        assert entry.end is not None
        if entry.sha256 is not None and hashlib.sha256(entry.content).hexdigest() != entry.sha256:
            raise ApiError("bad_request", "the content of this chunk does not have the sha256 that was given")
        async with self._lock(vm_id, entry.upload_id):
            row = self._row(vm_id, entry.upload_id)
            if row is not None:
                _check_same(row, entry, "chunks")
                if row["written"]:
                    return _progress(entry, [(0, entry.size)])
            if entry.start == 0 and entry.end == entry.size:
                await self._engine.write_file(vm_id, entry.path, entry.content)
                await self._save(vm_id, entry.upload_id, entry, "chunks", [(0, entry.size)], written=True)
                if row is not None:
                    self._path(vm_id, entry.upload_id).unlink(missing_ok=True)
                return _progress(entry, [(0, entry.size)])
            if row is None:
                self._check_room(vm_id, entry.size)
            known = self._ranges(row)
            arrived = ranges.merge([*known, (entry.start, entry.end)])
            if len(arrived) > MAX_PIECES:
                raise ApiError(
                    "bad_request",
                    f"an upload is in at most {MAX_PIECES} separate pieces; send what is between them first",
                )
            path = self._path(vm_id, entry.upload_id)
            await asyncio.to_thread(_store, path, entry.start, entry.content, fresh=not known)
            if ranges.covers(arrived, entry.size):
                await self._publish(vm_id, entry.upload_id, entry, "chunks", None)
            else:
                await self._save(vm_id, entry.upload_id, entry, "chunks", arrived, written=False)
            return _progress(entry, arrived)

    async def request(self, vm_id: str, entry: WriteEntry, sign: Callable[[str], Result]) -> Result:
        """Make an upload to `PUT` to; `sign` says where, given its id."""
        self._check_room(vm_id, entry.size)
        upload_id = new_ulid()
        await self._save(vm_id, upload_id, entry, "put", [], written=False)
        return {
            "path": entry.path,
            "size": entry.size,
            "complete": False,
            "written": False,
            "upload_id": upload_id,
            "method": "PUT",
            **sign(upload_id),
        }

    async def receive(self, vm_id: str, upload_id: str, size: int, body: AsyncIterator[bytes]) -> None:
        """Take the raw bytes of a `PUT`: all of them, or nothing. Another `PUT` before the commit replaces
        them."""
        row = self._row(vm_id, upload_id)
        if row is None:
            raise ApiError(
                "not_found", "this upload has expired or its computer was deleted; ask for another URL"
            )
        if row["written"]:
            raise ApiError("conflict", "this upload was committed; ask for another URL")
        part = self._folder / f"{vm_id}.{upload_id}.{secrets.token_hex(8)}"
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            try:
                received = await _spool(fd, size, body)
            finally:
                os.close(fd)
            if received != size:
                length = f"{received} bytes" if received < size else "more bytes than that"
                raise ApiError(
                    "bad_request", f"the upload was asked for with {size} bytes, and the body has {length}"
                )
            async with self._lock(vm_id, upload_id):
                row = self._row(vm_id, upload_id)
                if row is None or row["written"]:
                    raise ApiError(
                        "conflict", "this upload was committed or its computer deleted in the meantime"
                    )
                part.replace(self._path(vm_id, upload_id))
                await self._database.execute(
                    "UPDATE uploads SET ranges = ?, boot = ?, touched_ms = ? "
                    "WHERE vm_id = ? AND upload_id = ?",
                    json.dumps([(0, size)]), self._boot, _now(), vm_id, upload_id,
                    durable=False,
                )  # fmt: skip
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    async def commit(self, vm_id: str, entry: WriteEntry) -> Result:
        """Write the file of an upload whose bytes have all arrived."""
        assert entry.upload_id is not None
        async with self._lock(vm_id, entry.upload_id):
            row = self._row(vm_id, entry.upload_id)
            if row is None:
                raise ApiError(
                    "not_found",
                    f"no upload {entry.upload_id} (it may have expired); ask for a URL and PUT first",
                )
            _check_same(row, entry, None)
            if not row["written"]:
                arrived = self._ranges(row)
                # An empty file that was PUT has the range (0, 0), one that was not has none.
                if not arrived or not ranges.covers(arrived, entry.size):
                    raise ApiError(
                        "conflict",
                        f"{ranges.length(arrived)} of {entry.size} bytes have arrived; send the rest first",
                    )
                await self._publish(vm_id, entry.upload_id, entry, row["kind"], entry.sha256)
            return {"path": entry.path, "size": entry.size, "complete": True, "written": True}

    async def _publish(
        self, vm_id: str, upload_id: str, entry: WriteEntry, kind: str, sha256: str | None
    ) -> None:
        path = self._path(vm_id, upload_id)
        async with LocalFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC)) as file:
            if sha256 is not None and await asyncio.to_thread(_sha256, file.fd) != sha256:
                raise ApiError(
                    "bad_request", "what was PUT does not have the sha256 that was given; PUT it again"
                )
            await self._engine.write_file(vm_id, entry.path, file)
        await self._save(vm_id, upload_id, entry, kind, [(0, entry.size)], written=True)
        path.unlink(missing_ok=True)

    def forget_computer(self, vm_id: str) -> None:
        """Remove what was staged for a computer (its rows go with its own)."""
        for path in self._folder.glob(f"{vm_id}.*"):
            path.unlink(missing_ok=True)

    async def sweep(self, *, starting: bool = False) -> None:
        """Forget abandoned uploads and remove staged files that no row knows; `starting`: also half-received
        ones."""
        await self._database.execute(
            "DELETE FROM uploads WHERE touched_ms < ?", _now() - LIFETIME_MS, durable=False
        )
        known = {
            f"{row['vm_id']}.{row['upload_id']}"
            for row in self._database.all("SELECT vm_id, upload_id FROM uploads WHERE NOT written")
        }
        now = time.time()
        for path in self._folder.iterdir():
            # A file younger than this may belong to a request under way, whose row is yet to come.
            with contextlib.suppress(FileNotFoundError):
                if path.name not in known and (starting or now - path.stat().st_mtime > LIFETIME_MS / 1000):
                    path.unlink()

    def _check_room(self, vm_id: str, size: int) -> None:
        row = self._database.one(
            "SELECT total(size), count(*) FROM uploads WHERE vm_id = ? AND NOT written", vm_id
        )
        if row is not None and (row[0] + size > MAX_PENDING or row[1] >= MAX_UNFINISHED):
            raise ApiError(
                "quota_exceeded",
                f"the unfinished uploads of a computer are at most {MAX_UNFINISHED}, and have at most {MAX_PENDING} "
                "bytes together; finish some, or wait until they expire, a day after they were last used",
            )

    def _lock(self, vm_id: str, upload_id: str) -> asyncio.Lock:
        return self._locks.setdefault((vm_id, upload_id), asyncio.Lock())

    def _path(self, vm_id: str, upload_id: str) -> Path:
        return self._folder / f"{vm_id}.{upload_id}"

    def _row(self, vm_id: str, upload_id: str) -> Row | None:
        return self._database.one("SELECT * FROM uploads WHERE vm_id = ? AND upload_id = ?", vm_id, upload_id)

    def _ranges(self, row: Row | None) -> list[ranges.Range]:
        if row is None or row["boot"] != self._boot:
            return []
        return [(start, end) for start, end in json.loads(row["ranges"])]

    async def _save(
        self,
        vm_id: str,
        upload_id: str,
        entry: WriteEntry,
        kind: str,
        arrived: list[ranges.Range],
        *,
        written: bool,
    ) -> None:
        await self._database.execute(
            "INSERT OR REPLACE INTO uploads "
            "(vm_id, upload_id, path, size, kind, ranges, written, boot, touched_ms) "
            "SELECT vm_id, ?, ?, ?, ?, ?, ?, ?, ? FROM vms WHERE vm_id = ?",
            upload_id, entry.path, entry.size, kind, json.dumps(arrived), written, self._boot, _now(), vm_id,
            durable=False,
        )  # fmt: skip


def _check_same(row: Row, entry: WriteEntry, kind: str | None) -> None:
    if row["path"] != entry.path or row["size"] != entry.size:
        raise ApiError(
            "conflict",
            f"upload {entry.upload_id} is for {row['path']} with {row['size']} bytes; use a new upload_id",
        )
    if kind is not None and row["kind"] != kind:
        raise ApiError(
            "conflict", f"upload {entry.upload_id} was asked for with a signed URL; PUT there, then commit"
        )


def _progress(entry: WriteEntry, arrived: list[ranges.Range]) -> Result:
    complete = ranges.covers(arrived, entry.size)
    return {
        "path": entry.path,
        "size": entry.size,
        "complete": complete,
        "written": complete,
        "received_bytes": ranges.length(arrived),
        "ranges": [{"start": start, "end": end} for start, end in arrived],
    }


def _store(path: Path, start: int, content: bytes, *, fresh: bool) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if fresh else 0), 0o600)
    try:
        _write_all(fd, content, start)
    finally:
        os.close(fd)


def _write_all(fd: int, content: bytes | bytearray, offset: int) -> None:
    view = memoryview(content)
    try:
        while view:
            written = os.pwrite(fd, view, offset)
            view = view[written:]
            offset += written
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull("the disk of the deployment is full; nothing of this was kept") from None
        raise


async def _write_in_thread(fd: int, content: bytearray, offset: int) -> None:
    job = asyncio.create_task(asyncio.to_thread(_write_all, fd, content, offset))
    try:
        await asyncio.shield(job)
    except asyncio.CancelledError:
        # The descriptor must not be closed, and its number given away, while the thread writes.
        await asyncio.wait([job])
        raise


async def _spool(fd: int, size: int, body: AsyncIterator[bytes]) -> int:
    """Write a body to a file, a large piece at a time; how long it was (reading stops where it is too
    long)."""
    offset = 0
    piece = bytearray()
    async for data in body:
        piece += data
        if offset + len(piece) > size:
            break
        if len(piece) >= _PIECE:
            await _write_in_thread(fd, piece, offset)
            offset += len(piece)
            piece = bytearray()
    if piece and offset + len(piece) <= size:
        await _write_in_thread(fd, piece, offset)
    return offset + len(piece)


def _sha256(fd: int) -> str:
    digest = hashlib.sha256()
    offset = 0
    while data := os.pread(fd, _PIECE, offset):
        digest.update(data)
        offset += len(data)
    return digest.hexdigest()


def _now() -> int:
    return time.time_ns() // 1_000_000
