"""SHA-256 of files that are sent, so that whoever gets one can tell that it is whole."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import time
from collections import OrderedDict
from typing import Final

#: Versions of files whose digest is remembered.
_MOST: Final = 1024
#: Nanoseconds within which a second change may not show in the times of a file: some ticks of the kernel's clock.
_TICKS: Final = 100_000_000
#: Bytes read at a time.
_PIECE: Final = 1024 * 1024

_Version = tuple[int, int, int, int, int]


class Digests:
    """Digests of files, each computed once for a version of a file, in a thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[_Version, asyncio.Task[str | None]] = OrderedDict()

    async def of(self, fd: int) -> str | None:
        """The value of `Repr-Digest` (RFC 9530) for all of an open file; None if it is being changed."""
        version = _version(fd)
        task = self._known.get(version)
        if task is None:
            # A descriptor of its own: that of the request may be closed, and its number be another file's, before
            # the thread is done.
            task = asyncio.create_task(asyncio.to_thread(_digest, os.dup(fd), version))
            if time.time_ns() - version[-1] > _TICKS:
                self._known[version] = task
                if len(self._known) > _MOST:
                    self._known.popitem(last=False)
        try:
            return await asyncio.shield(task)
        except OSError:
            # The disk fails; whoever sends the file will find out and say so.
            self._known.pop(version, None)
            return None


def _version(fd: int) -> _Version:
    # With the time of the last change of any kind, which no program in a computer can set: a file may be another one
    # under the same size and modification time.
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
