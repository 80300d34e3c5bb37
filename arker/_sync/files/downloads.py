# Derived from arker/_async/files/downloads.py by `make generate`; do not edit.
"""Downloads of files by signed URL, into memory or a local file."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, TypeAlias

from arker._http._sync.pipeline import Budget, Pipeline, content
from arker._http._sync.request import Headers, Request
from arker._http._sync.transport import Reply
from arker._io import Buffer
from arker._io_sync import in_thread
from arker.config import Timeouts, Url
from arker.errors import ArkerError, read_answer
from arker.ids import new_ulid
from arker.sources import local
from arker.transfers import READ_AHEAD, resume_at, sha256_of

Progress: TypeAlias = Callable[[int, int], object]


_DIFFERS: Final = "the received bytes do not have the SHA-256 of the file"


class Stopped(Exception):
    """Carries an exception of `progress` past code that would take it for a failed transfer."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def carried(progress: Progress | None) -> Progress | None:
    """Return `progress`, wrapping what it raises in `Stopped`."""
    if progress is None:
        return None

    def report(done: int, total: int) -> None:
        try:
            progress(done, total)
        except Exception as error:
            raise Stopped(error) from error

    return report


@dataclass(frozen=True, slots=True)
class Signed:
    """The signed URL of a file, and its size in bytes."""

    url: Url
    size: int


class Download:
    """The download of one file by a signed URL; it resumes where it broke off."""

    def __init__(
        self,
        pipeline: Pipeline,
        timeouts: Timeouts,
        budget: Budget,
        path: str,
        signed: Signed,
        sink: MemorySink | FileSink,
        progress: Progress | None,
    ) -> None:
        self._pipeline = pipeline
        self._timeouts = timeouts
        self._budget = budget
        self._path = path
        self._signed = signed
        self._sink = sink
        self._progress = progress
        self._position = 0
        self._etag: str | None = None
        #: Digest of the whole file as its first answer announced it, whether it is told if asked for, and the digest
        #: of the bytes before `_position`.
        self._announced: bytes | None = None
        self._on_request = False
        self._digest = hashlib.sha256()

    def run(self) -> None:
        """Download it. Raises ArkerError."""
        signed = self._signed
        self._sink.start(signed.size)

        def make() -> Request:
            headers: Headers = []
            if self._etag is None:
                # Without a version to compare, the rest may be of another version.
                self._position = 0
            elif self._position:
                headers = [(b"Range", b"bytes=%d-" % self._position), (b"If-Range", self._etag.encode())]
            return self._pipeline.signed("GET", signed.url, self._timeouts, headers=headers)

        def consume(reply: Reply) -> None:
            if reply.status not in (200, 206):
                read_answer(reply.status, reply.headers, content(reply), parse=False)
                raise _not_the_file(self._path, f"HTTP {reply.status}", reply.status)
            try:
                start = resume_at(
                    reply.status, reply.headers.get("content-range"), self._position, signed.size
                )
                length = int(reply.headers.get("content-length", signed.size - start))
                if length != signed.size - start:
                    raise ValueError(f"{length} bytes instead of {signed.size - start}")
            except ValueError as error:
                self._position = 0
                raise _not_the_file(self._path, str(error), reply.status) from error
            etag: str | None = reply.headers.get("etag", "")
            if not etag or not etag.startswith('"') or not etag.isascii():
                etag = None
            announced = sha256_of(reply.headers.get("repr-digest"))
            if start == 0:
                self._position, self._etag, self._announced = 0, etag, announced
                self._on_request = reply.headers.get("arker-digest") == "on-request"
                self._digest = hashlib.sha256()
            elif etag != self._etag or (announced != self._announced and not self._on_request):
                self._etag = None
                raise self._damaged("the rest is of another version")
            while (piece := reply.piece()) is not None:
                if self._position + len(piece) > signed.size:
                    self._position = 0
                    raise _not_the_file(self._path, f"more than {signed.size} bytes", reply.status)
                if self._announced is not None or self._on_request:
                    self._digest.update(piece)
                self._sink.write(self._position, piece)
                self._position += len(piece)
                if self._progress is not None:
                    self._progress(self._position, signed.size)
            if self._position != signed.size:
                raise self._damaged(f"cut after {self._position} of {signed.size} bytes")
            if self._announced not in (None, self._digest.digest()):
                self._position = 0
                raise self._damaged(_DIFFERS)

        for _ in range(2):
            self._pipeline.perform(self._budget, make, consume)
            if not self._on_request or self._ask() in (None, self._digest.digest()):
                return
            self._position = 0
        raise self._damaged(_DIFFERS)

    def _ask(self) -> bytes | None:
        """Ask for the digest of the whole file."""
        headers: Headers = [(b"Want-Repr-Digest", b"sha-256=10"), (b"Range", b"bytes=0-0")]
        request = self._pipeline.signed("GET", self._signed.url, self._timeouts, headers=headers)

        def consume(reply: Reply) -> bytes | None:
            read_answer(reply.status, reply.headers, content(reply), parse=False)
            return sha256_of(reply.headers.get("repr-digest"))

        return self._pipeline.perform(self._budget, lambda: request, consume)

    def _damaged(self, how: str) -> ArkerError:
        return ArkerError("network", f"{self._path}: {how}", processed="maybe")


class MemorySink:
    """A file in memory, in a single copy."""

    def __init__(self) -> None:
        self.content = b""
        self._buffer = io.BytesIO()

    def take(self, content: bytes) -> None:
        """Store the whole content."""
        self.content = content

    def start(self, size: int) -> None:
        """Make room."""
        # BytesIO adopts the object without a copy, and returns it without a copy when it is full.
        self._buffer = io.BytesIO(bytes(size))
        self.content = b""
        self._size = size

    def write(self, position: int, piece: Buffer) -> None:
        """Store a piece."""
        self._buffer.seek(position)
        self._buffer.write(piece)
        if position + len(piece) == self._size:
            self.content = self._buffer.getvalue()


class FileSink:
    """A local file that appears when it is complete."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113  # they raise nothing
            # A folder, or a device such as /dev/null, which must not be replaced.
            raise ArkerError("local_file", f"{path} exists and is not a file")
        self._part = path.with_name(f".arker-{new_ulid()}.part")
        self._file: IO[bytes]
        #: Bytes to write next, at `_at`: pieces are small, and an asyncio client uses a thread for each write.
        self._buffer = memoryview(bytearray(READ_AHEAD))
        self._held = 0
        self._at = 0

    def open(self) -> None:
        """Create the temporary file; from then on, `discard` has something to remove."""
        self._file = local(self._part.open, "xb")

    def take(self, content: bytes) -> None:
        """Store the whole content."""
        self.start(len(content))
        self.write(0, content)

    def start(self, size: int) -> None:
        """Start over."""
        self._at = self._held = 0
        local(self._file.truncate, 0)

    def write(self, position: int, piece: Buffer) -> None:
        """Store a piece."""
        if position != self._at + self._held:
            in_thread(local, self._flush)
            self._at = position
        rest = memoryview(piece)
        while rest:
            taken = min(len(rest), READ_AHEAD - self._held)
            self._buffer[self._held : self._held + taken] = rest[:taken]
            self._held += taken
            rest = rest[taken:]
            if self._held == READ_AHEAD:
                in_thread(local, self._flush)

    def _flush(self) -> None:
        self._file.seek(self._at)
        self._file.write(self._buffer[: self._held])
        self._at += self._held
        self._held = 0

    def publish(self, *, executable: bool = False) -> None:
        """Put the file in its place; with `executable`, who may read it may also execute it."""
        in_thread(local, self._publish, executable)

    def _publish(self, executable: bool) -> None:
        self._flush()
        if executable:
            mode = self._part.stat().st_mode & 0o777
            self._part.chmod(mode | (mode & 0o444) >> 2)
        self._file.close()
        self._part.replace(self._path)

    def discard(self) -> None:
        """Remove the temporary file."""
        with contextlib.suppress(OSError, AttributeError):  # it may not be open
            self._file.close()
        with contextlib.suppress(OSError):
            self._part.unlink()


def _not_the_file(path: str, why: str, status: int) -> ArkerError:
    return ArkerError("internal", f"{path}: the answer is not the file: {why}", status, processed="maybe")
