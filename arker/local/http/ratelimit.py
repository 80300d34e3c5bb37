"""How often an organization may ask: a token bucket each."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """Tokens that are left, and when that was last worked out (seconds of any clock)."""

    tokens: float
    at: float

    def take(self, rate: float, now: float) -> float:
        """Take a token, if there is one: 0; else the seconds until there will be. Holds at most a second's
        worth, at least one."""
        size = max(1.0, rate)
        self.tokens = min(size, self.tokens + (now - self.at) * rate)
        self.at = now
        if self.tokens >= 1:
            self.tokens -= 1
            return 0.0
        return (1 - self.tokens) / rate


class RateLimit:
    """At most `rate` requests a second for each organization; 0 for no limit."""

    def __init__(self, rate: float) -> None:
        if not (rate >= 0 and math.isfinite(rate)):
            raise ValueError(f"a rate limit is a number of requests a second, 0 for none, not {rate}")
        self._rate = rate
        self._buckets: dict[str, Bucket] = {}

    def wait(self, org_id: str, now: float) -> float:
        """0 when the organization may ask now, and it has asked; else how long it has to wait, in seconds."""
        if not self._rate:
            return 0.0
        bucket = self._buckets.get(org_id)
        if bucket is None:
            bucket = self._buckets[org_id] = Bucket(max(1.0, self._rate), now)
        return bucket.take(self._rate, now)
