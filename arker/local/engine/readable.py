"""Files of this machine that are open for reading."""

from __future__ import annotations

import asyncio
import os

#: Reads of files up to this size are quicker than handing them to a thread.
_SMALL = 1 << 17


class LocalFile:
    """A descriptor as a `Readable`, which closes it with its block or with the last reference to it."""

    __slots__ = ("_fd", "size", "version")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.size: int = os.fstat(fd).st_size
        self.version: str = self._version()

    @property
    def fd(self) -> int:
        """The descriptor; this object's to close."""
        return self._fd

    async def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; empty at the end of the file. Raises OSError."""
        if size <= _SMALL and self.size <= _SMALL:
            return os.pread(self._fd, size, offset)
        return await asyncio.to_thread(os.pread, self._fd, size, offset)

    async def current_version(self) -> str:
        """What `version` would be if it were opened now."""
        return self._version()

    def _version(self) -> str:
        # Not the inode: it is another one when the file is reached by another way (a live sandbox, a layer).
        found = os.fstat(self._fd)
        return f"{found.st_mtime_ns:x}-{found.st_size:x}"

    async def close(self) -> None:
        """Let go of the file. May be called twice."""
        self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    async def __aenter__(self) -> LocalFile:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close()

    def __del__(self) -> None:
        self._close()
