"""Requests, ready to be sent any number of times."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from arker._io import Buffer
from arker.config import Timeouts, Url

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class AsyncBody:
    """A body that is streamed, and can be again.

    Attributes:
        size: Its bytes.
        pieces: Begins to stream it.
    """

    size: int
    pieces: Callable[[], AsyncGenerator[Buffer]]


@dataclass(frozen=True, slots=True, repr=False)
class AsyncRequest:
    """A request.

    Attributes:
        url: Where it goes; its `target` is not used.
        method: In capitals.
        target: Path and query.
        route: Template of the path, for people: without ids, and never what signs a URL.
        headers: All of them, with the length of the body.
        body: The body; empty for none.
        timeouts: How long each step may take.
        read: Longest wait for the answer and from one piece of it to the next, in seconds.
        repeatable: Whether it may be sent again when nobody knows what became of the first.
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
