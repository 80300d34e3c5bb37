"""SHA-256 of files that are sent, so that the receiver can verify them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import time
from collections import OrderedDict
from typing import Final

#: Maximum number of file versions whose digest is cached.
_MOST: Final = 1024
#: Nanoseconds within which a second change may not alter the times of a file: some ticks of the kernel's clock.
_TICKS: Final = 100_000_000
#: Bytes read at a time.
_PIECE: Final = 1024 * 1024

_Version = tuple[int, int, int, int, int]


class Digests:
    """A cache of file digests. Each is computed once per version of a file, in a thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[_Version, asyncio.Task[str | None]] = OrderedDict()

    async def of(self, fd: int) -> str | None:
        """Return the `Repr-Digest` (RFC 9530) of all of an open file; None if the file is being changed."""
        version = _version(fd)
        task = self._known.get(version)
        if task is None:
            # A duplicate: the request may close its descriptor, and the number may be reused, before the thread is
            # done.
            task = asyncio.create_task(asyncio.to_thread(_digest, os.dup(fd), version))
            if time.time_ns() - version[-1] > _TICKS:
                self._known[version] = task
                if len(self._known) > _MOST:
                    self._known.popitem(last=False)
        try:
            return await asyncio.shield(task)
        except OSError:
            # The disk fails; sending the file will fail as well and report it.
            self._known.pop(version, None)
            return None


def _version(fd: int) -> _Version:
    # The ctime is included, which no program in a computer can set: a file may be replaced by another one with the same
    # size and modification time.
    found = os.fstat(fd)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _digest(fd: int, version: _Version) -> str | None:
    try:
        sha256 = hashlib.sha256()
        position = 0
        while piece := os.pread(fd, _PIECE, position):
            sha256.update(piece)
            position += len(piece)
        if _version(fd) != version:
            return None
        return f"sha-256=:{base64.b64encode(sha256.digest()).decode()}:"
    finally:
        os.close(fd)
