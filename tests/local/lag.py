"""A watchdog of the event loop: it measures how long a single callback blocks it."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


class Lag:
    """The longest callback so far, in seconds of CPU time of the loop's thread, and what it was.

    CPU time, as a machine that is busy with other things is no fault of the loop's; a callback that sleeps or waits
    for a disk is not seen.
    """

    def __init__(self) -> None:
        self.worst = 0.0
        self.what = ""


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
    finally:
        gc.unfreeze()
        asyncio.Handle._run = run  # type: ignore[method-assign]
