"""When to try again, and after how long: one pure decision."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ArkerError

__all__ = ["RetryPolicy"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a call is tried again after a passing failure; immutable, and may be shared.

    Passing failures are: no connection, a connection cut, a timeout, HTTP 429, 502, 503 and 504, and an `internal`
    error whose message speaks of throttling. A code that is final (`not_found`, `conflict`, `quota_exceeded`
    ...) never is.

    Reads, lists, deletes and writes of files are repeatable and are simply tried again. A `run` or a `fork`
    is tried again only when the first request was certainly not acted on: it never left whole, or the answer
    was 429, or 503 with an error of Arker's own other than `internal`. After a timeout, a cut connection, a
    502 or a 504 the command may have run, so the error is raised with `processed="maybe"` - unless `resend`
    allows it.

    Args:
        attempts: Tries in all, the first included; 1 or more.
        backoff: Upper bound of the first delay, in seconds. It doubles with every try; the delay is drawn
            evenly between 0 and the bound.
        max_delay: Cap of that bound and of a server's `Retry-After`, in seconds.
        resend: Send a `run` or `fork` (or whatever else has an `Idempotency-Key`) again, under the same key,
            even when the first may have been acted on. Right where the deployment honours the key, as the
            embedded one does; elsewhere a command may run twice.

    Raises:
        TypeError, ValueError: for attempts that are no int, fewer than 1 attempt or a negative time.
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
    """The delay before the next try in seconds, or None to give up.

    `attempt` counts from 1, `keyed` is whether the request has an `Idempotency-Key`, `remaining` is what is
    left of the call's deadline in seconds, `draw` is from [0, 1).
    """
    if attempt >= policy.attempts or not error.retryable:
        return None
    if not (repeatable or (keyed and policy.resend) or error.processed == "no"):
        return None
    # float() of a huge exponent overflows; past 2**32 the cap has long been reached.
    delay = draw * min(policy.max_delay, policy.backoff * 2 ** min(attempt - 1, 32))
    if error.retry_after is not None:
        delay = min(policy.max_delay, error.retry_after)
    return delay if delay < remaining else None
