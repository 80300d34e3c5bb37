"""Connections that stop speaking HTTP: after a 101 response they carry bytes both ways, for terminals and ports.

ASGI has no message for this. The scope of a request that asks for an upgrade has `UPGRADE`: a function that takes
the connection over, once, instead of a response. Until then it is a normal request and can be refused normally.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl

from arker.local.service.errors import ApiError

#: Key in the scope of a request that asks for an upgrade.
UPGRADE: Final = "arker.upgrade"
#: Key in the scope once the connection was taken over.
TAKEN: Final = "arker.upgraded"

Headers = Iterable[tuple[bytes, bytes]]
#: Sends 101 with headers, and takes the connection over.
Upgrade = Callable[[Headers], Awaitable["Upgraded"]]

#: Maximum bytes buffered in each direction.
_HELD: Final = 256 * 1024
#: Seconds after which a transfer that never has to wait lets other tasks run.
_TURN: Final = 0.005


class Turn:
    """Lets other tasks run now and then: a task whose reads and writes never have to wait would keep the event loop."""

    def __init__(self) -> None:
        self._until = time.monotonic() + _TURN

    async def may_end(self) -> None:
        """Let other tasks run if the turn is over."""
        if time.monotonic() > self._until:
            await asyncio.sleep(0)
            self._until = time.monotonic() + _TURN


class Upgraded:
    """The bytes of a connection after its upgrade; a `ByteStream`."""

    def __init__(self, transport: asyncio.Transport, flow: FlowControl, early: bytes) -> None:
        self._transport = transport
        self._flow = flow
        self._held = bytearray(early)
        self._ready = asyncio.Event()
        self._ended = False
        self._lost = False

    # Called by the connection

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._held += data
        self._ready.set()
        if len(self._held) > _HELD:
            self._transport.pause_reading()

    def end(self, *, lost: bool) -> None:
        """Note that no more bytes will arrive; if `lost`, none can be sent either."""
        self._ended = True
        self._lost = self._lost or lost
        self._ready.set()

    # Called by the route

    async def receive(self, size: int = 65536) -> bytes:
        """Return up to `size` bytes as soon as there are any; empty at the end."""
        while not self._held:
            if self._ended:
                return b""
            self._ready.clear()
            await self._ready.wait()
        data = bytes(self._held[:size])
        del self._held[:size]
        if not self._ended and len(self._held) <= _HELD and not self._transport.is_closing():
            self._transport.resume_reading()
        return data

    async def send(self, data: bytes) -> None:
        """Send all of `data`; waits while the client does not read. Raises ConnectionResetError when it is gone."""
        if self._lost or self._transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self._transport.write(data)
        if self._flow.write_paused:
            await self._flow.drain()

    async def send_eof(self) -> None:
        """Close the sending direction; the other one stays open."""
        if not self._lost and not self._transport.is_closing():
            self._transport.write_eof()

    async def close(self) -> None:
        """Close both directions after sending pending data. May be called twice."""
        self._transport.close()


class Taken(Response):
    """The empty response to a request whose connection was taken over."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send nothing."""


def upgrade_of(request: Request, protocol: str) -> Upgrade:
    """Return the function that takes the connection of a request over, if it asks for `protocol`.

    Raises:
        ApiError: `bad_request`.
    """
    asked = [name.strip() for name in request.headers.get("upgrade", "").lower().split(",")]
    found: Upgrade | None = request.scope.get(UPGRADE)
    if found is None or protocol not in asked:
        raise ApiError(
            "bad_request",
            f"this path needs an upgrade: send `Connection: Upgrade` and `Upgrade: {protocol}`",
        )
    return found
