"""Many calls, several at a time."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from arker._io_async import async_attempt, async_side_by_side
from arker.results import Failure, Outcome, Success

T = TypeVar("T")


class AsyncWork(Generic[T]):
    """Jobs to do one by one, and their outcomes."""

    def __init__(self, jobs: Sequence[Callable[[], Awaitable[T]]]) -> None:
        self._left = enumerate(jobs)
        self.outcomes: list[Outcome[T, Exception]] = [Failure(RuntimeError("not started"))] * len(jobs)
        self._lock = threading.Lock()
        self._stopped = False

    def _take(self) -> tuple[int, Callable[[], Awaitable[T]]] | None:
        with self._lock:
            return None if self._stopped else next(self._left, None)

    def stop(self) -> None:
        """Hand out no further jobs."""
        self._stopped = True

    async def do(self) -> None:
        """Do jobs until none is left."""
        while (taken := self._take()) is not None:
            index, job = taken
            try:
                self.outcomes[index] = Success(await async_attempt(job))
            except Exception as error:
                self.outcomes[index] = Failure(error)


async def async_gather(
    jobs: Sequence[Callable[[], Awaitable[T]]], concurrency: int, *, drain: float = 0.0
) -> list[Outcome[T, Exception]]:
    """Do all jobs, at most `concurrency` at a time; return an outcome for each, in order.

    When cancelled, no further job starts; jobs in progress get `drain` seconds to end.
    """
    work = AsyncWork(jobs)
    if jobs:
        await async_side_by_side(work.do, min(concurrency, len(jobs)), stop=work.stop, drain=drain)
    return work.outcomes
