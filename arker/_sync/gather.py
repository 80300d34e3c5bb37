# Derived from arker/_async/gather.py by `make generate`; do not edit.
"""Many calls at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from arker._io_sync import attempt, side_by_side
from arker.results import Outcome

T = TypeVar("T")


class Work(Generic[T]):
    """Jobs handed out one by one, and how they ended."""

    def __init__(self, jobs: Sequence[Callable[[], T]]) -> None:
        self._left = enumerate(jobs)
        self.outcomes: list[Outcome[Any]] = [Outcome(error=RuntimeError("not started"))] * len(jobs)
        self._lock = threading.Lock()
        self._stopped = False

    def _take(self) -> tuple[int, Callable[[], T]] | None:
        with self._lock:
            return None if self._stopped else next(self._left, None)

    def stop(self) -> None:
        """Hand out no more."""
        self._stopped = True

    def do(self) -> None:
        """Take jobs until there are no more."""
        while (taken := self._take()) is not None:
            index, job = taken
            try:
                self.outcomes[index] = Outcome(attempt(job))
            except Exception as error:
                self.outcomes[index] = Outcome(error=error)


def gather(jobs: Sequence[Callable[[], T]], concurrency: int, *, drain: float = 0.0) -> list[Outcome[T]]:
    """Do all jobs, at most `concurrency` at a time; an outcome for each, in order.

    When cancelled, no further job starts; those under way get `drain` seconds to end.
    """
    work = Work(jobs)
    if jobs:
        side_by_side(work.do, min(concurrency, len(jobs)), stop=work.stop, drain=drain)
    return work.outcomes
