"""The order of commands in a session."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from types import TracebackType
from typing import TypeAlias

_Key: TypeAlias = tuple[str, str]
_Queue: TypeAlias = deque[asyncio.Future[None]]


class Turns:
    """A session runs one command at a time; waiting commands are served first come, first served."""

    def __init__(self) -> None:
        #: The waiting commands by session; a session is a key while a command has its turn.
        self._queues: dict[_Key, _Queue] = {}

    def taken(self, vm_id: str, session_id: str) -> bool:
        """Return whether a command would have to wait."""
        return (vm_id, session_id) in self._queues

    def turn(self, vm_id: str, session_id: str) -> _Turn:
        """Return an async context manager for a command's turn."""
        return _Turn(self._queues, (vm_id, session_id))


class _Turn:
    __slots__ = ("_key", "_queues")

    def __init__(self, queues: dict[_Key, _Queue], key: _Key) -> None:
        self._queues = queues
        self._key = key

    async def __aenter__(self) -> None:
        queue = self._queues.get(self._key)
        if queue is None:
            self._queues[self._key] = deque()
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if not future.cancelled():  # its turn came and it was cancelled in one turn of the loop
                self._pass_on()
            else:
                with contextlib.suppress(ValueError):  # removed already
                    queue.remove(future)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        queue = self._queues[self._key]
        while queue:
            future = queue.popleft()
            if not future.cancelled():
                future.set_result(None)
                return
        del self._queues[self._key]
