"""Connections that stop speaking HTTP: after an answer 101 they are bytes both ways, as terminals and ports need them.

ASGI has no word for that. The scope of a request that asks for an upgrade has `UPGRADE`: what takes the connection
over, once, in place of an answer. Until then it is a request like any other, and is refused like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl

from arker.local.service.errors import ApiError

#: In the scope of a request that asks for an upgrade.
UPGRADE: Final = "arker.upgrade"
#: In the scope once the connection was taken over.
TAKEN: Final = "arker.upgraded"

Headers = Iterable[tuple[bytes, bytes]]
#: Answers 101 with headers, and takes the connection over.
Upgrade = Callable[[Headers], Awaitable["Upgraded"]]

#: Bytes that are held for whoever does not read.
_HELD: Final = 256 * 1024


class Upgraded:
    """The bytes of a connection after its upgrade; a `ByteStream`."""

    def __init__(self, transport: asyncio.Transport, flow: FlowControl, early: bytes) -> None:
        self._transport = transport
        self._flow = flow
        self._held = bytearray(early)
        self._ready = asyncio.Event()
        self._ended = False
        self._lost = False

    # Told by the connection

    def feed(self, data: bytes) -> None:
        """Bytes came."""
        self._held += data
        self._ready.set()
        if len(self._held) > _HELD:
            self._transport.pause_reading()

    def end(self, *, lost: bool) -> None:
        """No more bytes come; if `lost`, none can be sent either."""
        self._ended = True
        self._lost = self._lost or lost
        self._ready.set()

    # Asked by whoever took it over

    async def receive(self, size: int = 65536) -> bytes:
        """Up to `size` bytes as soon as there are any; empty at the end."""
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
        """End this direction; the other goes on."""
        if not self._lost and not self._transport.is_closing():
            self._transport.write_eof()

    async def close(self) -> None:
        """End both directions, after what was sent. May be called twice."""
        self._transport.close()


class Taken(Response):
    """The answer of a request whose connection was taken over: none."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send nothing."""


def upgrade_of(request: Request, protocol: str) -> Upgrade:
    """What takes the connection of a request over, if it asks for `protocol`.

    Raises:
        ApiError: `bad_request`.
    """
    asked = [name.strip() for name in request.headers.get("upgrade", "").lower().split(",")]
    found: Upgrade | None = request.scope.get(UPGRADE)
    if found is None or protocol not in asked:
        raise ApiError(
            "bad_request",
            f"this path speaks {protocol}: ask for it with `Connection: Upgrade` and `Upgrade: {protocol}`",
        )
    return found
