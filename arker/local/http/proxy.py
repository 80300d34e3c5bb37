"""HTTP proxy to a server in a computer: one request, its streamed response, and upgrades.

The following are not forwarded: the key, our cookie, and the headers that name proxies on the
way. Hop-by-hop headers (RFC 9110, section 7.6.1) are not forwarded either, in both directions.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.types import Send

from arker.local.service.errors import ApiError
from arker.local.service.ports import ByteStream

from .errors import DisconnectedError
from .exchange import READ, Exchange, Headers, ResponseError
from .upgrades import UPGRADE, Turn, Upgrade

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
#: Seconds after which a request without a body is watched for the end of its caller.
_WATCHED_AFTER: Final = 0.1
#: Seconds for which one direction of a connection may be idle once the other has ended. A peer that closes a connection
#: and one that only ends its own direction cannot be told apart, and a server that never answers would keep the
#: connection forever.
HALF_OPEN: Final = 60.0


class Target(NamedTuple):
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
        # The deployment adds its own date to every response.
        if name in _HOP or name in named or name == b"date":
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
    exchange = Exchange(stream, request.method, target.path, headers)
    asking = _Asking(exchange, request)
    began = False
    try:
        await exchange.ask()
        if "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0":
            asking.begin()
        await exchange.head()
        found = response_headers(exchange.headers, own_origin=target.own_origin)
        if exchange.status == 101 and take is None:
            raise ResponseError("it switched protocols, which was not asked for")
        began = True
        if exchange.status == 101 and take is not None:
            await asking.end()
            upgraded = await take([*found, *((n, v) for n, v in exchange.headers if n == b"upgrade")])
            await relay(upgraded, stream, early=exchange.beyond)
            return
        await send({"type": "http.response.start", "status": exchange.status, "headers": found})
        async for piece in exchange.body():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except (OSError, ResponseError) as error:
        if began:
            raise DisconnectedError from None
        raise ApiError("bad_gateway", f"the server in the computer gave no answer: {error}") from error
    except asyncio.CancelledError:
        if not asking.gone:
            raise
        asking.answering.uncancel()
        raise DisconnectedError from None
    finally:
        await asking.end()
        await stream.close()


class _Asking:
    """Sends the body of a request, and cancels the task of its answer when the caller disconnects. Without a body it
    begins only for an answer that takes some time."""

    def __init__(self, exchange: Exchange, request: Request) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.answering: asyncio.Task[None] = task
        #: Whether the caller disconnected.
        self.gone: bool = False
        self._exchange = exchange
        self._request = request
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_WATCHED_AFTER, self.begin)

    def begin(self) -> None:
        """Begin at once."""
        self._timer.cancel()
        self._task = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        await self._exchange.send_body(self._request)
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self.answering.cancel()

    async def end(self) -> None:
        """Cancel it, wait for it, and ignore its result. May be called twice."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            if not self._task.cancelled():
                self._task.exception()


async def relay(one: ByteStream, other: ByteStream, *, early: bytes = b"") -> None:
    """Relay bytes both ways until both directions have ended, one has been idle for `HALF_OPEN` after the other ended,
    or either side breaks; then close both. `early` is sent to `one` first."""
    half = False

    async def pump(source: ByteStream, sink: ByteStream, first: bytes) -> None:
        nonlocal half
        turn = Turn()
        if first:
            await sink.send(first)
        while data := await source.receive(READ):
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
