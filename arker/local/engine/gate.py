"""Shared and exclusive turns, for coroutines of one event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from types import TracebackType


class _Turn:
    __slots__ = ("_exclusive", "_gate")

    def __init__(self, gate: Gate, exclusive: bool) -> None:
        self._gate = gate
        self._exclusive = exclusive

    async def __aenter__(self) -> None:
        await self._gate._enter(self._exclusive)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gate._leave(self._exclusive)


class Gate:
    """A readers-writer lock. It is fair (first come, first served), so that shared turns cannot starve an exclusive
    one.

    Args:
        when_idle: called when no turn is held or waited for any more.
    """

    def __init__(self, when_idle: Callable[[], object] | None = None) -> None:
        self._when_idle = when_idle
        self._inside = 0  # -1: one exclusive turn
        self._waiting: deque[tuple[bool, asyncio.Future[None]]] = deque()

    def shared(self) -> _Turn:
        """Return an async context manager for a turn that may overlap other shared ones."""
        return _Turn(self, False)

    def exclusive(self) -> _Turn:
        """Return an async context manager for an exclusive turn."""
        return _Turn(self, True)

    @property
    def idle(self) -> bool:
        """Whether no turn is held or waited for."""
        return not self._inside and not self._waiting

    def _admits(self, exclusive: bool) -> bool:
        return self._inside == 0 or (self._inside > 0 and not exclusive)

    def _take(self, exclusive: bool) -> None:
        self._inside = -1 if exclusive else self._inside + 1

    def _leave(self, exclusive: bool) -> None:
        self._inside = 0 if exclusive else self._inside - 1
        self._admit()
        if self._when_idle is not None and self.idle:
            self._when_idle()

    async def _enter(self, exclusive: bool) -> None:
        if not self._waiting and self._admits(exclusive):
            self._take(exclusive)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        turn = (exclusive, future)
        self._waiting.append(turn)
        try:
            await future
        except asyncio.CancelledError:
            if not future.cancelled():  # admitted and cancelled in one turn of the loop
                self._leave(exclusive)
            else:
                with contextlib.suppress(ValueError):  # removed already
                    self._waiting.remove(turn)
                self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting and self._admits(self._waiting[0][0]):
            exclusive, future = self._waiting.popleft()
            if not future.cancelled():
                self._take(exclusive)
                future.set_result(None)
