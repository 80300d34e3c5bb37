"""What a client tells about its work, for metrics and traces. No I/O here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from .errors import ArkerError

__all__ = ["Hooks", "RequestEvent", "RetryEvent", "TransferEvent"]

logger: logging.Logger = logging.getLogger("arker")


@dataclass(frozen=True, slots=True)
class RequestEvent:
    """One try of one request has ended.

    Attributes:
        method: HTTP method, such as `POST`.
        route: Route template, such as `/api/v1/vms/{vm_id}/run`; `(signed url)` for a transfer past the API.
        host: Host and port that it went to.
        attempt: Which try of the call it was, from 1.
        status: HTTP status; 0 if no answer came.
        duration_ms: Wall time, in milliseconds.
        error: What it failed with, or None.
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
    """A call will be tried again.

    Attributes:
        method: HTTP method of the try that failed.
        route: Route template of the try that failed.
        attempt: Which try it was, from 1.
        delay: Seconds until the next one.
        error: Why.
    """

    method: str
    route: str
    attempt: int
    delay: float
    error: ArkerError


@dataclass(frozen=True, slots=True)
class TransferEvent:
    """A file has been read or written, in whole.

    Attributes:
        direction: `upload` (to the computer) or `download`.
        path: The path inside the computer.
        size: Its size, in bytes.
        duration_ms: Wall time of the call, in milliseconds.
        via: `inline` (inside an API call), `signed` (past the API, by a signed URL) or `chunks` (several API
            calls).
    """

    direction: Literal["upload", "download"]
    path: str
    size: int
    duration_ms: float
    via: Literal["inline", "signed", "chunks"]


@dataclass(frozen=True, slots=True)
class Hooks:
    """Functions to call when something has happened; each takes the event. They are called in the thread or
    event loop of the call and should be quick. One that raises is logged under `arker` and changes nothing.

    Args:
        on_request: After every try of every request.
        on_retry: Before every pause that precedes a new try.
        on_transfer: After every file read or written.
    """

    on_request: Callable[[RequestEvent], object] | None = None
    on_retry: Callable[[RetryEvent], object] | None = None
    on_transfer: Callable[[TransferEvent], object] | None = None


Event = TypeVar("Event", RequestEvent, RetryEvent, TransferEvent)


def tell(hook: Callable[[Event], object] | None, event: Event) -> None:
    """Call a hook, and let nothing out but KeyboardInterrupt and its like."""
    if hook is not None:
        try:
            hook(event)
        except Exception:
            logger.warning("a hook for %s failed", type(event).__name__, exc_info=True)
