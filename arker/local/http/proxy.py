"""HTTP proxy to a server in a computer: one request, its streamed response, and upgrades.

The following are not forwarded: the key, our cookie, and the headers that name proxies on the
way. Hop-by-hop headers (RFC 9110, section 7.6.1) are not forwarded either, in both directions.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final

import h11
from starlette.requests import ClientDisconnect, Request
from starlette.types import Send

from arker.local.service.errors import ApiError
from arker.local.service.ports import ByteStream

from .errors import DisconnectedError
from .upgrades import UPGRADE, Turn, Upgrade

Headers = list[tuple[bytes, bytes]]

#: Cookie that a browser gets from a signed link, for the origin of one port only.
COOKIE: Final = "arker_port"
#: The header for the key when `Authorization` is meant for the server.
KEY_HEADER: Final = "arker-authorization"

_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
_OURS: Final = frozenset({b"forwarded", b"via", b"proxy-authorization", KEY_HEADER.encode()})
_FORWARDING: Final = (b"x-forwarded-", b"x-real-ip", b"x-client-ip", b"cf-connecting-ip", b"true-client-ip")
_DOMAIN: Final = re.compile(rb";\s*domain\s*=[^;]*", re.IGNORECASE)
_READ: Final = 65536
#: Seconds for which one direction of a connection may be idle once the other has ended. A peer that closes a connection
#: and one that only ends its own direction cannot be told apart, and a server that never answers would keep the
#: connection forever.
HALF_OPEN: Final = 60.0
#: Maximum number of informational responses (100 to 199) before the response.
_INFORMATIONAL: Final = 16


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request is forwarded to.

    Attributes:
        path: the path with the query.
        host: the Host header for the server.
        own_origin: whether the port has its own origin in browsers; otherwise cookies are removed in both directions.
        authorization: whether `Authorization` is meant for the server.
    """

    path: bytes
    host: bytes
    own_origin: bool
    authorization: bool


def request_headers(headers: Iterable[tuple[bytes, bytes]], target: Target) -> Headers:
    """Return the request headers for the server; pure."""
    headers = list(headers)
    named = _named_by_connection(headers)
    ours = _OURS if target.authorization else _OURS | {b"authorization"}
    kept: Headers = [(b"host", target.host)]
    for name, value in headers:
        if name in _HOP or name in named or name in ours or name == b"host" or name.startswith(_FORWARDING):
            continue
        if name == b"cookie":
            value = _other_cookies(value) if target.own_origin else b""
            if not value:
                continue
        kept.append((name, value))
    return kept


def response_headers(headers: Iterable[tuple[bytes, bytes]], *, own_origin: bool) -> Headers:
    """Return the response headers for the caller; pure."""
    headers = list(headers)
    named = _named_by_connection(headers)
    kept: Headers = []
    for name, value in headers:
        if name in _HOP or name in named:
            continue
        if name == b"set-cookie":
            if not own_origin or value.split(b"=", 1)[0].strip().lower() == COOKIE.encode():
                continue
            # A cookie for all of `.localhost` would be sent to other computers.
            value = _DOMAIN.sub(b"", value)
        kept.append((name, value))
    if not own_origin:
        # A page of a guest must not act in the origin of the API.
        kept.append((b"content-security-policy", b"sandbox"))
    return kept


def _named_by_connection(headers: Headers) -> set[bytes]:
    return {
        token.strip().lower()
        for name, value in headers
        if name == b"connection"
        for token in value.split(b",")
    }


def _other_cookies(value: bytes) -> bytes:
    pairs = [pair.strip() for pair in value.split(b";")]
    return b"; ".join(pair for pair in pairs if pair.split(b"=", 1)[0] != COOKIE.encode())


async def forward(request: Request, send: Send, stream: ByteStream, target: Target) -> None:
    """Forward a request to a server in a computer and stream its response; after an upgrade, relay bytes until its end.

    `stream` is a new connection to the server; it is closed in any case.

    Raises:
        ApiError: `bad_gateway` when the server sends no valid response.
        DisconnectedError: the caller disconnected, or the response broke off.
    """
    take: Upgrade | None = request.scope.get(UPGRADE)
    headers = request_headers(request.scope["headers"], target)
    if take is None:
        headers.append((b"connection", b"close"))
    else:
        headers += [(b"connection", b"upgrade"), (b"upgrade", request.headers["upgrade"].encode("latin-1"))]
    if "transfer-encoding" in request.headers:
        headers.append((b"transfer-encoding", b"chunked"))
    exchange = _Exchange(stream)
    answering = asyncio.current_task()
    assert answering is not None
    gone = False

    async def ask() -> None:
        nonlocal gone
        await exchange.send(h11.Request(method=request.method, target=target.path, headers=headers), request)
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        answering.cancel()

    asking = asyncio.create_task(ask())
    began = False
    try:
        answer = await exchange.head()
        found = response_headers(answer.headers, own_origin=target.own_origin)
        began = True
        if answer.status_code == 101 and take is not None:
            await _cancelled(asking)
            upgraded = await take([*found, *((n, v) for n, v in answer.headers if n == b"upgrade")])
            await relay(upgraded, stream, early=exchange.beyond)
            return
        await send({"type": "http.response.start", "status": answer.status_code, "headers": found})
        async for piece in exchange.body():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except (OSError, h11.ProtocolError) as error:
        if began:
            raise DisconnectedError from None
        raise ApiError("bad_gateway", f"the server in the computer gave no answer: {error}") from error
    except asyncio.CancelledError:
        if not gone:
            raise
        answering.uncancel()
        raise DisconnectedError from None
    finally:
        await _cancelled(asking)
        await stream.close()


async def _cancelled(task: asyncio.Task[None]) -> None:
    """Cancel a task, wait for it, and ignore its result."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


class _Exchange:
    """One request and its response on a connection to a server."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._h11 = h11.Connection(h11.CLIENT)
        self._turn = Turn()

    async def send(self, head: h11.Request, request: Request) -> None:
        """Send the request with its body. A server may answer before it has read all; errors show in its response."""
        await self._stream.send(self._h11.send(head) or b"")
        with contextlib.suppress(OSError, h11.ProtocolError, ClientDisconnect):
            async for piece in request.stream():
                if piece:
                    await self._stream.send(self._h11.send(h11.Data(data=piece)) or b"")
            if data := self._h11.send(h11.EndOfMessage()):
                await self._stream.send(data)

    async def head(self) -> h11.Response | h11.InformationalResponse:
        """Return the head of the response, which may be a 101. Raises OSError, h11.RemoteProtocolError."""
        for _ in range(_INFORMATIONAL):
            event = await self._next()
            if isinstance(event, h11.Response) or (
                isinstance(event, h11.InformationalResponse) and event.status_code == 101
            ):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError("it closed the connection")
        raise h11.RemoteProtocolError("it sent too many informational responses")

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the pieces of the response's body. Raises OSError, h11.RemoteProtocolError."""
        while isinstance(event := await self._next(), h11.Data):
            yield bytes(event.data)

    @property
    def beyond(self) -> bytes:
        """Return the bytes received after a 101."""
        return self._h11.trailing_data[0]

    async def _next(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            self._h11.receive_data(await self._stream.receive(_READ))
        await self._turn.may_end()
        return event  # type: ignore[return-value]


async def relay(one: ByteStream, other: ByteStream, *, early: bytes = b"") -> None:
    """Relay bytes both ways until both directions have ended, one has been idle for `HALF_OPEN` after the other ended,
    or either side breaks; then close both. `early` is sent to `one` first."""
    half = False

    async def pump(source: ByteStream, sink: ByteStream, first: bytes) -> None:
        nonlocal half
        turn = Turn()
        if first:
            await sink.send(first)
        while data := await source.receive(_READ):
            await sink.send(data)
            await turn.may_end()
            if half:
                limit.reschedule(loop.time() + HALF_OPEN)
        await sink.send_eof()
        half = True
        limit.reschedule(loop.time() + HALF_OPEN)

    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as both:
            both.create_task(pump(other, one, early))
            both.create_task(pump(one, other, b""))
    except* OSError:
        pass  # one side is gone, so close the other; TimeoutError is an OSError, too
    finally:
        await one.close()
        await other.close()
