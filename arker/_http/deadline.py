"""When a call ends. No I/O but the clock."""

from __future__ import annotations

import time
from typing import Final

#: Longest time that a call really waits, in seconds: sockets count milliseconds in 31 bits, and beyond that wait for
#: an unrelated time.
FURTHEST: Final = 2_000_000


class Deadline:
    """The moment at which a call ends, whatever it is doing then.

    Args:
        seconds: Time from now; a call never waits for more than 23 days.
    """

    __slots__ = ("_end",)

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + min(seconds, FURTHEST)

    @property
    def left(self) -> float:
        """Seconds until then; negative when it has passed."""
        return self._end - time.monotonic()

    def within(self, seconds: float) -> float:
        """How long a step with a limit of `seconds` may take. Raises TimeoutError when the deadline has passed."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline of the call has passed")
        return min(seconds, left)

    def extend(self, seconds: float) -> None:
        """Move the deadline to a later time."""
        self._end += seconds
