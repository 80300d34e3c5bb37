"""Events of the client for metrics and traces. No I/O here."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Literal, TypeVar

from .errors import ArkerError

__all__ = ["Hooks", "RequestEvent", "RetryEvent", "TransferEvent"]

logger: logging.Logger = logging.getLogger("arker")


@dataclass(frozen=True, slots=True)
class RequestEvent:
    """One try of one request ended.

    Attributes:
        method: HTTP method, such as `POST`.
        route: Route template, such as `/api/v1/vms/{vm_id}/run`; `(signed url)` for a transfer by a signed URL.
        host: Host and port of the request.
        attempt: Which try of the call it was, from 1.
        status: HTTP status; 0 if there was no answer.
        duration_ms: Wall time, in milliseconds.
        error: The error of the try, or None.
    """

    method: str
    route: str
    host: str
    attempt: int
    status: int
    duration_ms: float
    error: ArkerError | None


@dataclass(frozen=True, slots=True)
class RetryEvent:
    """A call will be retried.

    Attributes:
        method: HTTP method of the try that failed.
        route: Route template of the try that failed.
        attempt: The number of that try, from 1.
        delay: Seconds until the next try.
        error: The error of that try.
    """

    method: str
    route: str
    attempt: int
    delay: float
    error: ArkerError


@dataclass(frozen=True, slots=True)
class TransferEvent:
    """A file was read or written completely.

    Attributes:
        direction: `upload` (to the computer) or `download`.
        path: The path inside the computer.
        size: Its size, in bytes.
        duration_ms: Wall time of the call, in milliseconds.
        via: `inline` (inside an API call), `signed` (by a signed URL, not through the API) or `chunks` (several
            API calls).
    """

    direction: Literal["upload", "download"]
    path: str
    size: int
    duration_ms: float
    via: Literal["inline", "signed", "chunks"]


@dataclass(frozen=True, slots=True)
class Hooks:
    """Functions to call on events; each takes the event. They are called in the thread or event loop of the call
    and should be quick. An exception in a hook is logged under `arker` and has no other effect.

    Args:
        on_request: After every try of every request.
        on_retry: Before every pause that precedes a retry.
        on_transfer: After every file read or written.
    """

    on_request: Callable[[RequestEvent], object] | None = None
    on_retry: Callable[[RetryEvent], object] | None = None
    on_transfer: Callable[[TransferEvent], object] | None = None


Event = TypeVar("Event", RequestEvent, RetryEvent, TransferEvent)


def tell(hook: Callable[[Event], object] | None, event: Event) -> None:
    """Call a hook and log its exceptions; KeyboardInterrupt and other exceptions outside of Exception pass."""
    if hook is not None:
        try:
            hook(event)
        except Exception:
            logger.warning("a hook for %s failed", type(event).__name__, exc_info=True)


@contextlib.contextmanager
def leaving(error: BaseException | None, what: str) -> Generator[None]:
    """Clean up at the end of a with-block. A failure is raised if the block raised nothing (`error` is None); otherwise
    it is logged with `what`, such as "run 1 was not ended"."""
    try:
        yield
    except ArkerError as failure:
        if failure.code == "not_found":  # it is gone already
            return
        if error is None:
            raise
        # The block's own exception is more important.
        logger.warning("%s: %s", what, failure)
