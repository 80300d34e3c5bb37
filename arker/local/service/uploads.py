"""Uploads of files to a computer: chunks in any order, or one `PUT` and a commit.

The received bytes are in a staging folder, one file per upload, and their ranges in the database: bytes first,
then the row, so a row never promises bytes that are missing. Uploads survive the process but not a reboot
(rows have the id of the boot). So staging does not wait for the disk; a file that the API calls `written`
has been synced by the engine.

A written upload keeps its row for a day, so that a repeat of it gets the same answer and never
overwrites a newer file.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from arker.ids import new_ulid
from arker.local.engine.protocol import Engine, StorageFull
from arker.local.engine.readable import LocalFile
from arker.local.storage.uploads import Range, Upload, UploadRows

from . import ranges
from .errors import ApiError

#: Milliseconds after which an unfinished upload without activity is dropped.
LIFETIME_MS: Final = 24 * 3600 * 1000
#: Maximum number of bytes of all unfinished uploads of one computer; its share of the disk is for finished files.
MAX_PENDING: Final = 10_000_000_000
#: Maximum number of unfinished uploads of a computer, and of separate pieces of one upload: each slows down every step
#: of the others.
MAX_UNFINISHED: Final = 10_000
MAX_PIECES: Final = 1_000
#: Bytes passed to a worker thread at a time.
_PIECE: Final = 1024 * 1024


class Chunk(NamedTuple):
    """Bytes `[start, end)` of a file of `size` bytes; `sha256` is their digest, in hexadecimal."""

    path: str
    size: int
    upload_id: str
    start: int
    end: int
    content: bytes
    sha256: str | None = None


class UploadRequest(NamedTuple):
    """A file of `size` bytes that will be sent by a `PUT` to a signed URL."""

    path: str
    size: int


class Commit(NamedTuple):
    """The commit of such an upload; `sha256` is the digest of the file, in hexadecimal."""

    path: str
    size: int
    upload_id: str
    sha256: str | None = None


class Uploads:
    """The uploads of a deployment; `folder` is the staging folder, which must exist."""

    def __init__(self, rows: UploadRows, engine: Engine, folder: Path) -> None:
        self._rows = rows
        self._engine = engine
        self._folder = folder
        self._boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._counts: dict[str, list[int]] = {}
        #: SHA-256 of files that were PUT but not committed, by their names in the staging folder.
        self._digests: OrderedDict[str, str] = OrderedDict()
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def chunk(self, vm_id: str, chunk: Chunk) -> list[Range]:
        """Store a chunk, and write the file if it was the last missing one; return what has arrived so far."""
        check_chunk(chunk)
        async with self._lock(vm_id, chunk.upload_id):
            upload = self._rows.find(vm_id, chunk.upload_id)
            if upload is not None:
                _check_same(upload, chunk, "chunks")
                if upload.written or await self._was_placed(vm_id, chunk, "chunks"):
                    return [(0, chunk.size)]
            if chunk.start == 0 and chunk.end == chunk.size:
                await self._engine.write_file(vm_id, chunk.path, chunk.content, sha256=chunk.sha256)
                await self._save(vm_id, chunk, "chunks", [(0, chunk.size)], written=True)
                if upload is not None:
                    self._path(vm_id, chunk.upload_id).unlink(missing_ok=True)
                return [(0, chunk.size)]
            if upload is None:
                self._check_room(vm_id, chunk.size)
            known = self._arrived(upload)
            arrived = ranges.merge([*known, (chunk.start, chunk.end)])
            if len(arrived) > MAX_PIECES:
                raise ApiError(
                    "bad_request",
                    f"an upload has at most {MAX_PIECES} separate pieces; send the bytes between them first",
                )
            path = self._path(vm_id, chunk.upload_id)
            await asyncio.to_thread(_store, path, chunk.start, chunk.content, fresh=not known)
            if ranges.covers(arrived, chunk.size):
                await self._publish(vm_id, chunk, "chunks", None)
            else:
                await self._save(vm_id, chunk, "chunks", arrived, written=False)
            return arrived

    async def request(self, vm_id: str, request: UploadRequest) -> str:
        """Create an upload for a `PUT`; return its id."""
        self._check_room(vm_id, request.size)
        upload_id = new_ulid()
        await self._save(vm_id, Commit(request.path, request.size, upload_id), "put", [], written=False)
        return upload_id

    async def receive(self, vm_id: str, upload_id: str, size: int, body: AsyncIterator[bytes]) -> None:
        """Store the body of a `PUT`, all or nothing. Another `PUT` before the commit replaces it."""
        upload = self._rows.find(vm_id, upload_id)
        if upload is None:
            raise ApiError(
                "not_found",
                "this upload has expired or its computer was deleted; ask for another URL",
                resource="upload",
            )
        if upload.written:
            raise ApiError("conflict", "this upload was committed; ask for another URL", resource="upload")
        part = self._folder / f"{vm_id}.{upload_id}.{secrets.token_hex(8)}"
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            try:
                received, digest = await _spool(fd, size, body)
            finally:
                os.close(fd)
            if received != size:
                length = f"{received} bytes" if received < size else "more bytes than that"
                raise ApiError(
                    "bad_request", f"the upload was requested with {size} bytes, and the body has {length}"
                )
            async with self._lock(vm_id, upload_id):
                upload = self._rows.find(vm_id, upload_id)
                if upload is None or upload.written:
                    raise ApiError(
                        "conflict",
                        "this upload was committed or its computer deleted in the meantime",
                        resource="upload",
                    )
                part.replace(self._path(vm_id, upload_id))
                self._digests[f"{vm_id}.{upload_id}"] = digest
                while len(self._digests) > MAX_UNFINISHED:
                    self._digests.popitem(last=False)
                arrived = Commit(upload.path, upload.size, upload_id)
                await self._save(vm_id, arrived, upload.kind, [(0, size)], written=False)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    async def commit(self, vm_id: str, commit: Commit) -> None:
        """Write the file of an upload whose bytes have all arrived."""
        async with self._lock(vm_id, commit.upload_id):
            upload = self._rows.find(vm_id, commit.upload_id)
            if upload is None:
                raise ApiError(
                    "not_found",
                    f"no upload {commit.upload_id} (it may have expired); ask for a URL and PUT first",
                    resource="upload",
                )
            _check_same(upload, commit, None)
            if not upload.written and not await self._was_placed(vm_id, commit, upload.kind):
                arrived = self._arrived(upload)
                # An empty file that was PUT has the range (0, 0); one that was not has no range.
                if not arrived or not ranges.covers(arrived, commit.size):
                    raise ApiError(
                        "conflict",
                        f"{ranges.length(arrived)} of {commit.size} bytes have arrived; send the rest first",
                        resource="upload",
                    )
                await self._publish(vm_id, commit, upload.kind, commit.sha256)

    async def _publish(self, vm_id: str, part: Chunk | Commit, kind: str, sha256: str | None) -> None:
        path = self._path(vm_id, part.upload_id)
        async with LocalFile(os.open(path, os.O_RDWR | os.O_CLOEXEC)) as file:
            # Known since the bytes arrived, unless the deployment was restarted since.
            known = self._digests.get(path.name)
            if sha256 is not None:
                known = known or await file.digest()
                if known != sha256:
                    raise ApiError(
                        "bad_request", "what was PUT does not have the sha256 that was given; PUT it again"
                    )
            await self._engine.write_file(vm_id, part.path, file, sha256=known)
        await self._save(vm_id, part, kind, [(0, part.size)], written=True)
        self._digests.pop(path.name, None)
        path.unlink(missing_ok=True)

    async def _was_placed(self, vm_id: str, part: Chunk | Commit, kind: str) -> bool:
        """Return whether a request ended between placing the file and saving that; save it now."""
        path = self._path(vm_id, part.upload_id)
        # A file that was placed without a copy has the name in its computer as well: changing it would change that.
        if not path.exists() or path.stat().st_nlink == 1:
            return False
        await self._save(vm_id, part, kind, [(0, part.size)], written=True)
        path.unlink()
        return True

    def forget_computer(self, vm_id: str) -> None:
        """Remove the staged files of a computer (its rows are deleted with its own row)."""
        self._counts.pop(vm_id, None)
        for path in self._folder.glob(f"{vm_id}.*"):
            path.unlink(missing_ok=True)

    async def sweep(self, *, starting: bool = False) -> None:
        """Drop abandoned uploads and remove staged files without a row; with `starting`, also partly received ones."""
        await self._rows.forget(before_ms=_now() - LIFETIME_MS)
        self._counts.clear()
        known = {f"{vm_id}.{upload_id}" for vm_id, upload_id in self._rows.all_pending()}
        now = time.time()
        for path in self._folder.iterdir():
            # A younger file may belong to a running request whose row is not saved yet.
            with contextlib.suppress(FileNotFoundError):
                if path.name not in known and (starting or now - path.stat().st_mtime > LIFETIME_MS / 1000):
                    path.unlink()

    def _check_room(self, vm_id: str, size: int) -> None:
        count, total = self._unfinished(vm_id)
        if total + size > MAX_PENDING or count >= MAX_UNFINISHED:
            raise ApiError(
                "quota_exceeded",
                f"a computer has at most {MAX_UNFINISHED} unfinished uploads, of {MAX_PENDING} bytes together; "
                "finish some, or wait until they expire, a day after they were last used",
            )

    def _unfinished(self, vm_id: str) -> list[int]:
        """Return the number of unfinished uploads of a computer, and their bytes; counted once, then cached."""
        counts = self._counts.get(vm_id)
        if counts is None:
            counts = self._counts[vm_id] = list(self._rows.pending(vm_id))
        return counts

    def _lock(self, vm_id: str, upload_id: str) -> asyncio.Lock:
        return self._locks.setdefault((vm_id, upload_id), asyncio.Lock())

    def _path(self, vm_id: str, upload_id: str) -> Path:
        return self._folder / f"{vm_id}.{upload_id}"

    def _arrived(self, upload: Upload | None) -> list[Range]:
        """Return which bytes of an upload have arrived since the machine started."""
        return [] if upload is None or upload.boot != self._boot else list(upload.ranges)

    async def _save(
        self, vm_id: str, part: Chunk | Commit, kind: str, arrived: list[Range], *, written: bool
    ) -> None:
        upload = Upload(
            vm_id, part.upload_id, part.path, part.size, kind, tuple(arrived), written, self._boot, _now()
        )
        # Count again after a failure, because it is unknown what was saved.
        counts = self._counts.pop(vm_id, None)
        before = None if counts is None else self._rows.find(vm_id, part.upload_id)
        await self._rows.save(upload)
        if counts is not None and vm_id not in self._counts:
            for one, sign in ((before, -1), (upload, 1)):
                if one is not None and not one.written:
                    counts[0] += sign
                    counts[1] += sign * one.size
            self._counts[vm_id] = counts


def check_chunk(chunk: Chunk) -> None:
    """Refuse a chunk whose range does not match its file or content, or whose digest differs."""
    wanted = chunk.end - chunk.start
    if not chunk.start <= chunk.end <= chunk.size:
        problem = f"[{chunk.start}, {chunk.end}) is not a range of a file of {chunk.size} bytes"
    elif not wanted and chunk.size > 0:
        problem = f"[{chunk.start}, {chunk.end}) is empty, and only an empty file has an empty chunk"
    elif len(chunk.content) != wanted:
        problem = f"content has {len(chunk.content)} bytes, and [{chunk.start}, {chunk.end}) is {wanted}"
    elif chunk.sha256 is not None and hashlib.sha256(chunk.content).hexdigest() != chunk.sha256:
        problem = "the content of this chunk does not have the sha256 that was given"
    else:
        return
    raise ApiError("bad_request", problem)


def _check_same(upload: Upload, part: Chunk | Commit, kind: str | None) -> None:
    if upload.path != part.path or upload.size != part.size:
        raise ApiError(
            "conflict",
            f"upload {part.upload_id} is for {upload.path} with {upload.size} bytes; use a new upload_id",
            resource="upload",
        )
    if kind is not None and upload.kind != kind:
        raise ApiError(
            "conflict", f"upload {part.upload_id} was requested with a signed URL; PUT there, then commit"
        )


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


async def _write_in_thread(fd: int, content: bytearray, offset: int, digest: hashlib._Hash) -> None:
    def work() -> None:
        digest.update(content)
        _write_all(fd, content, offset)

    job = asyncio.create_task(asyncio.to_thread(work))
    try:
        await asyncio.shield(job)
    except asyncio.CancelledError:
        # While the thread writes, the descriptor must not be closed and its number reused.
        await asyncio.wait([job])
        raise


async def _spool(fd: int, size: int, body: AsyncIterator[bytes]) -> tuple[int, str]:
    """Write a body to a file in large pieces; return its length (reading stops when it is too long) and the SHA-256 of
    the written bytes, so that they need not be read again."""
    digest = hashlib.sha256()
    offset = 0
    piece = bytearray()
    async for data in body:
        piece += data
        if offset + len(piece) > size:
            break
        if len(piece) >= _PIECE:
            await _write_in_thread(fd, piece, offset, digest)
            offset += len(piece)
            piece = bytearray()
    if piece and offset + len(piece) <= size:
        await _write_in_thread(fd, piece, offset, digest)
    return offset + len(piece), digest.hexdigest()


def _now() -> int:
    return time.time_ns() // 1_000_000
