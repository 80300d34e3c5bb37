"""Limits of the memory for large contents, for each organization and for the deployment."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator


class ByteSemaphore:
    """A number of bytes that may be held at once. Further callers wait, first come, first served."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def held(self, size: int) -> AsyncIterator[None]:
        """Hold `size` bytes during the block."""
        async with self._turn:
            while self._free < size:
                self._freed.clear()
                await self._freed.wait()
            self._free -= size
        try:
            yield
        finally:
            self._free += size
            self._freed.set()


class ByteSemaphores:
    """A limit for each organization, and one for all of them together.

    Args:
        each: bytes that one organization may hold.
        all_together: bytes that all of them may hold; at least `each`.
    """

    def __init__(self, each: int, all_together: int) -> None:
        self._each = defaultdict[str, ByteSemaphore](lambda: ByteSemaphore(each))
        self._all = ByteSemaphore(all_together)

    @contextlib.asynccontextmanager
    async def held(self, org_id: str, size: int) -> AsyncIterator[None]:
        """Hold `size` bytes for an organization during the block."""
        # The organization's limit first: one that waits for its own limit does not delay others.
        async with self._each[org_id].held(size), self._all.held(size):
            yield
