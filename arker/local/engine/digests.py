"""SHA-256 of files: each version of a file is read once at most, and not at all if known since it was written."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hashlib import _Hash

#: Maximum number of known digests of all computers together; about 200 bytes each.
_KEPT: Final = 200_000
#: Maximum number of files that are written in parts at a time; those written to least recently are dropped.
_WRITTEN_IN_PARTS: Final = 1000
#: Nanoseconds within which a second change may not alter the times of a file: some ticks of the kernel's clock.
_TICKS: Final = 100_000_000
#: Bytes read at a time.
_PIECE: Final = 1 << 20

_Key = tuple[str, int, int, int, int]


def sha256_of(fd: int, check: Callable[[], None] = lambda: None) -> str:
    """Return the SHA-256, in hex, of the data read from a descriptor; `check` is called before each piece."""
    digest = hashlib.sha256()
    at = 0
    while piece := os.pread(fd, _PIECE, at):
        check()
        digest.update(piece)
        at += len(piece)
    return digest.hexdigest()


class Digests:
    """The known digests of files, by owner (a computer) and version. All but `read` may be called in any thread."""

    def __init__(self, most: int = _KEPT) -> None:
        self._most = most
        self._known: OrderedDict[_Key, bytes] = OrderedDict()
        self._reading: dict[_Key, asyncio.Task[str | None]] = {}
        #: Files being written in parts: their version, and the digest of what they contain.
        self._parts: OrderedDict[tuple[str, int], tuple[_Key, _Hash]] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, owner: str, info: os.stat_result) -> str | None:
        """Return the digest of a file, if it is known."""
        with self._lock:
            digest = self._known.get(key := _key(owner, info))
            if digest is None:
                return None
            self._known.move_to_end(key)
            return digest.hex()

    def written(self, owner: str, info: os.stat_result, sha256: str) -> None:
        """Remember the digest of a file that was written and then moved to its place."""
        # The move sets the ctime. If it is later than the mtime, a write after the move changes the mtime.
        if info.st_mtime_ns < info.st_ctime_ns:
            self._remember(_key(owner, info), sha256)

    def of(self, owner: str, fd: int, check: Callable[[], None] = lambda: None) -> str:
        """Return the digest of an open file; read it if its digest is not known. Raises OSError, and what `check`
        does."""
        before = os.fstat(fd)
        known = self.known(owner, before)
        if known is not None:
            return known
        settled = _is_settled(before)
        sha256 = sha256_of(fd, check)
        if settled and _key(owner, os.fstat(fd)) == _key(owner, before):
            self._remember(_key(owner, before), sha256)
        return sha256

    async def read(self, owner: str, fd: int) -> str | None:
        """Return the digest of an open file, which is read in a thread, once for all who ask at the same time; None if
        it is being changed or cannot be read."""
        info = os.fstat(fd)
        key = _key(owner, info)
        task = self._reading.get(key)
        if task is None:
            # A duplicate: the caller may close its descriptor, and the number may be reused, before the thread is done.
            task = asyncio.create_task(asyncio.to_thread(self._read, owner, os.dup(fd)))
            if _is_settled(info):
                self._reading[key] = task
                task.add_done_callback(lambda _: self._reading.pop(key, None))
        return await asyncio.shield(task)

    def _read(self, owner: str, fd: int) -> str | None:
        try:
            before = _key(owner, os.fstat(fd))
            sha256 = self.of(owner, fd)
            return sha256 if _key(owner, os.fstat(fd)) == before else None
        except OSError:
            # The disk fails; sending the file will fail as well and report it.
            return None
        finally:
            os.close(fd)

    def part_before(self, owner: str, info: os.stat_result) -> _Hash | None:
        """Return the digest, to be continued, of a file that is written in parts; None if somebody else changed it."""
        with self._lock:
            key, digest = self._parts.get((owner, info.st_ino), (None, None))
            return digest.copy() if digest is not None and key == _key(owner, info) else None

    def part_written(self, owner: str, info: os.stat_result, digest: _Hash) -> None:
        """Remember the digest of a file of which a part was written."""
        with self._lock:
            self._parts[owner, info.st_ino] = _key(owner, info), digest
            self._parts.move_to_end((owner, info.st_ino))
            if len(self._parts) > _WRITTEN_IN_PARTS:
                self._parts.popitem(last=False)

    def _remember(self, key: _Key, sha256: str) -> None:
        with self._lock:
            self._known[key] = bytes.fromhex(sha256)
            self._known.move_to_end(key)
            if len(self._known) > self._most:
                self._known.popitem(last=False)


def _key(owner: str, info: os.stat_result) -> _Key:
    # The ctime is included, which no program in a computer can set: a file may be replaced by another one with the same
    # size and modification time. The device is not: it differs from one start of a computer to the next.
    return owner, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def _is_settled(info: os.stat_result) -> bool:
    return time.time_ns() - info.st_ctime_ns > _TICKS
