"""Whether and when to retry, as one pure decision."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ArkerError

__all__ = ["RetryPolicy"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How to retry a call after a temporary failure; immutable, and may be shared.

    Temporary failures are: no connection, a broken connection, a timeout, HTTP 429, 502, 503 and 504, and an
    `internal` error whose message mentions throttling. A final code (`not_found`, `conflict`, `quota_exceeded`
    ...) is never retried.

    Reads, lists, deletes and writes of files can be repeated, so they are retried. A `run` or a `fork` is retried
    only if the server certainly did not act on the first request: it was not sent completely, or the answer was
    429, or 503 with an error of Arker's own other than `internal`. After a timeout, a broken connection, a 502 or
    a 504 the command may have run, so the call raises the error with `processed="maybe"`, unless `resend` allows
    the retry.

    Args:
        attempts: Most tries, including the first; 1 or more.
        backoff: Upper bound of the first delay, in seconds. It doubles with every try; the delay is drawn
            evenly between 0 and the bound.
        max_delay: Limit of that bound and of a server's `Retry-After`, in seconds.
        resend: Resend a `run` or `fork` (or any request with an `Idempotency-Key`) under the same key even if the
            server may have acted on the first. Safe if the deployment honours the key, as the embedded one does;
            otherwise a command may run twice.

    Raises:
        TypeError, ValueError: if attempts is not an int or below 1, or a time is negative.
    """

    attempts: int = 4
    backoff: float = 0.2
    max_delay: float = 30.0
    resend: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int):
            raise TypeError(f"attempts is an int, not {type(self.attempts).__name__}")
        if self.attempts < 1:
            raise ValueError(f"attempts must be 1 or more, not {self.attempts}")
        if not (self.backoff >= 0 and self.max_delay >= 0):  # nor NaN
            raise ValueError(
                f"backoff and max_delay must be 0 or more, not {self.backoff} and {self.max_delay}"
            )


DEFAULT = RetryPolicy()
NEVER = RetryPolicy(attempts=1)


def decide(
    policy: RetryPolicy,
    error: ArkerError,
    *,
    attempt: int,
    repeatable: bool,
    keyed: bool,
    remaining: float,
    draw: float,
) -> float | None:
    """Return the delay before the next try in seconds, or None to give up.

    `attempt` counts from 1, `keyed` is whether the request has an `Idempotency-Key`, `remaining` is the time until
    the call's deadline in seconds, `draw` is from [0, 1).
    """
    if attempt >= policy.attempts or not error.retryable:
        return None
    if not (repeatable or (keyed and policy.resend) or error.processed == "no"):
        return None
    # float() of a huge exponent overflows; beyond 2**32 the delay is at its limit anyway.
    delay = draw * min(policy.max_delay, policy.backoff * 2 ** min(attempt - 1, 32))
    if error.retry_after is not None:
        delay = min(policy.max_delay, error.retry_after)
    return delay if delay < remaining else None
