"""Requests that can be sent any number of times."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from arker._io import Buffer
from arker.config import Timeouts, Url

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class AsyncBody:
    """A streamed body that can be streamed again.

    Attributes:
        size: Its size in bytes.
        pieces: Starts to stream it.
    """

    size: int
    pieces: Callable[[], AsyncGenerator[Buffer]]


@dataclass(frozen=True, slots=True, repr=False)
class AsyncRequest:
    """A request.

    Attributes:
        url: The host to send it to; its `target` is not used.
        method: In capitals.
        target: Path and query.
        route: Template of the path, for people: without ids or signatures.
        headers: All headers, including the length of the body.
        body: The body; empty for none.
        timeouts: How long each step may take.
        read: Longest wait for the answer and between two pieces of it, in seconds.
        repeatable: Whether it may be sent again when it is unknown whether the server acted on it.
        keyed: Whether it has an `Idempotency-Key`.
    """

    url: Url
    method: str
    target: str
    route: str
    headers: Headers
    body: bytes | AsyncBody
    timeouts: Timeouts
    read: float
    repeatable: bool
    keyed: bool
