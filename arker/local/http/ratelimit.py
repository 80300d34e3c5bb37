"""Rate limits: one token bucket per organization."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """A token bucket: the remaining tokens, and when they were computed (in seconds of any clock)."""

    tokens: float
    at: float

    def take(self, rate: float, now: float) -> float:
        """Take a token and return 0 if there is one; otherwise return the seconds until there is one. The bucket holds
        the tokens of one second, and at least one."""
        size = max(1.0, rate)
        self.tokens = min(size, self.tokens + (now - self.at) * rate)
        self.at = now
        if self.tokens >= 1:
            self.tokens -= 1
            return 0.0
        return (1 - self.tokens) / rate


class RateLimit:
    """At most `rate` requests per second of each organization; 0 for no limit."""

    def __init__(self, rate: float) -> None:
        if not (rate >= 0 and math.isfinite(rate)):
            raise ValueError(f"a rate limit is a number of requests a second, 0 for none, not {rate}")
        self._rate = rate
        self._buckets: dict[str, Bucket] = {}

    def wait(self, org_id: str, now: float) -> float:
        """Count a request of the organization and return 0 if it is allowed now; otherwise return the seconds to
        wait."""
        if not self._rate:
            return 0.0
        bucket = self._buckets.get(org_id)
        if bucket is None:
            bucket = self._buckets[org_id] = Bucket(max(1.0, self._rate), now)
        return bucket.take(self._rate, now)
