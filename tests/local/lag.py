"""A watchdog of the event loop: it measures how long a single callback blocks it."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

#: CPU seconds that a hundred thousand steps of a loop take on a machine of usual speed.
_USUAL = 0.003


def _slowness() -> float:
    """How many times slower than usual this machine is now, as another program may share its core; at least 1."""
    began = time.thread_time()
    for _ in range(100_000):
        pass
    return max(1.0, (time.thread_time() - began) / _USUAL)


class Lag:
    """The longest callback so far, in seconds of CPU time of the loop's thread, and what it was.

    CPU time, as a machine that is busy with other things is no fault of the loop's; a callback that sleeps or waits
    for a disk is not seen.
    """

    def __init__(self) -> None:
        self.worst = 0.0
        self.what = ""
        #: By which a bound on `worst` is multiplied, once the block is over.
        self.slowness = _slowness()


@asynccontextmanager
async def watched() -> AsyncIterator[Lag]:
    """Watch all callbacks of the loop within the block."""
    lag = Lag()
    # As the deployment does when it starts: what is there by now is not for the collector to look at again.
    gc.collect()
    gc.freeze()
    run = asyncio.Handle._run

    def timed(self: asyncio.Handle) -> Any:
        began = time.thread_time()
        try:
            return run(self)
        finally:
            if (took := time.thread_time() - began) > lag.worst:
                lag.worst, lag.what = took, repr(self)

    asyncio.Handle._run = timed  # type: ignore[method-assign]
    try:
        yield lag
        # Callbacks after the block are not measured.
        await asyncio.sleep(0)
        lag.slowness = max(lag.slowness, _slowness())
    finally:
        gc.unfreeze()
        asyncio.Handle._run = run  # type: ignore[method-assign]
