"""WebSockets (RFC 6455) on upgraded connections."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from typing import Any, Final

from starlette.requests import Request
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from arker.local.service.errors import ApiError

from .upgrades import Turn, Upgraded, upgrade_of

_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: Maximum size of one message in bytes.
MAX_MESSAGE: Final = 1 << 20
#: Maximum number of parts of one message, which may be empty.
MAX_PARTS: Final = 16_384
#: Bytes that are parsed at a time; they contain at most one frame for every six bytes.
_READ: Final = 4096

NORMAL, TOO_LARGE = 1000, 1009


class WebSocket:
    """A WebSocket with a client. One task may receive and one may send."""

    def __init__(self, stream: Upgraded) -> None:
        self._stream = stream
        self._protocol = Connection(ConnectionType.SERVER)
        self._events: Iterator[Event] = iter(())
        self._size = 0
        self._parts: list[str | bytes] = []
        self._turn = Turn()

    async def receive(self) -> bytes | str | None:
        """Return the next message; None when the client closed the WebSocket or disconnected."""
        while True:
            for event in self._events:
                if isinstance(event, Ping):
                    await self._send(event.response())
                elif isinstance(event, CloseConnection):
                    if self._protocol.state is ConnectionState.REMOTE_CLOSING:
                        await self._send(event.response())
                    await self._stream.close()
                    return None
                elif isinstance(event, Message) and (whole := await self._add(event)) is not None:
                    return whole
            if self._protocol.state is ConnectionState.CLOSED:
                return None
            await self._turn.may_end()
            data = await self._stream.receive(_READ)
            try:
                self._protocol.receive_data(data or None)
                self._events = iter(list(self._protocol.events()))
            except RemoteProtocolError as error:
                if error.event_hint is not None:
                    await self._send(error.event_hint)
                await self._stream.close()
                return None

    async def _add(self, event: Message[Any]) -> bytes | str | None:
        """Add a part of a message; return the whole message with its last part."""
        self._size += len(event.data)
        if self._size > MAX_MESSAGE or len(self._parts) >= MAX_PARTS:
            self._parts.clear()
            await self.close(
                TOO_LARGE, f"a message has at most {MAX_MESSAGE} bytes in at most {MAX_PARTS} parts"
            )
            return None
        self._parts.append(event.data)
        if not event.message_finished:
            return None
        parts, self._parts, self._size = self._parts, [], 0
        return "".join(parts) if isinstance(event, TextMessage) else b"".join(parts)  # type: ignore[arg-type]

    async def send(self, data: bytes) -> None:
        """Send a binary message; waits while the client does not read. Raises ConnectionResetError when it is gone."""
        await self._send(BytesMessage(data))

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close the WebSocket. May be called twice."""
        if self._protocol.state is ConnectionState.OPEN:
            await self._send(CloseConnection(code, reason))
        await self._stream.close()

    async def _send(self, event: object) -> None:
        try:
            data = self._protocol.send(event)  # type: ignore[arg-type]
        except LocalProtocolError as error:
            raise ConnectionResetError("the client closed the WebSocket") from error
        await self._stream.send(data)


async def accept(request: Request) -> WebSocket:
    """Answer the handshake of a WebSocket.

    Raises:
        ApiError: `bad_request` when the request is not a handshake.
    """
    take = upgrade_of(request, "websocket")
    key = request.headers.get("sec-websocket-key", "")
    try:
        valid = len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        valid = False
    if not valid or request.headers.get("sec-websocket-version") != "13":
        raise ApiError(
            "bad_request", "the handshake needs a Sec-WebSocket-Key and `Sec-WebSocket-Version: 13`"
        )
    proof = base64.b64encode(hashlib.sha1(key.encode() + _MAGIC, usedforsecurity=False).digest())
    return WebSocket(await take([(b"upgrade", b"websocket"), (b"sec-websocket-accept", proof)]))
