"""Open files of this machine."""

from __future__ import annotations

import asyncio
import os

from .digests import Digests

#: Files up to this size (bytes) are read faster directly than in a thread.
_SMALL = 1 << 17


class LocalFile:
    """A descriptor as a `Readable`, which is closed at the end of the block or with the last reference to it.

    Args:
        digests: the known digests, `owner` being the computer that the file belongs to.
    """

    __slots__ = ("_digests", "_fd", "_owner", "sha256", "size", "version")

    def __init__(self, fd: int, digests: Digests | None = None, owner: str = "") -> None:
        self._fd = fd
        self._digests = digests or Digests()
        self._owner = owner
        info = os.fstat(fd)
        self.size: int = info.st_size
        self.version: str = self._version()
        self.sha256: str | None = self._digests.known(owner, info)

    @property
    def fd(self) -> int:
        """The descriptor; it belongs to this object."""
        return self._fd

    async def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset`; empty at the end of the file. Raises OSError."""
        if size <= _SMALL and self.size <= _SMALL:
            return os.pread(self._fd, size, offset)
        return await asyncio.to_thread(os.pread, self._fd, size, offset)

    async def digest(self) -> str | None:
        """Return the SHA-256 of the content, in hex; None if it is being changed or cannot be read."""
        return self.sha256 or await self._digests.read(self._owner, self._fd)

    async def current_version(self) -> str:
        """Return the `version` that the file would have if it were opened now."""
        return self._version()

    def _version(self) -> str:
        # Not the inode, which differs with the way the file is reached (a live sandbox, a layer).
        found = os.fstat(self._fd)
        return f"{found.st_mtime_ns:x}-{found.st_size:x}"

    async def close(self) -> None:
        """Close the file. May be called twice."""
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
