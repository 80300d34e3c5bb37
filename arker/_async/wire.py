"""One HTTP exchange, by our own connections or by an httpx client; either way its failures are
ArkerErrors."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Protocol, cast

import h11
import httpx

from arker._io import Buffer, reset_after_fork
from arker._io_async import AsyncScoped
from arker.config import Timeouts, Url, is_loopback
from arker.errors import ArkerError, bad_request, no_answer

from .pool import AsyncConnection, AsyncPool

Headers = list[tuple[bytes, bytes]]

#: What can go wrong on a connection of our own.
_BROKEN = (OSError, h11.RemoteProtocolError)


class AsyncReply(Protocol):
    """An answer whose head has come; a context manager that gives the connection back, or closes it if it is
    not done."""

    status: int
    #: By lowercase name.
    headers: dict[str, str]

    async def piece(self) -> Buffer | None:
        """The next piece of the body, None at its end. Raises ArkerError when it is cut."""
        ...

    async def __aenter__(self) -> AsyncReply: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class AsyncWire(Protocol):
    """A way to send requests."""

    async def send(
        self,
        url: Url,
        method: str,
        target: str,
        headers: Headers,
        body: bytes | AsyncGenerator[Buffer],
        timeouts: Timeouts,
        read: float,
        deadline: float,
    ) -> AsyncReply:
        """Send one and wait for the head of its answer; `read` is the longest wait for it. Raises
        ArkerError."""
        ...

    async def aclose(self) -> None:
        """Close what it opened."""


class _PooledReply:
    __slots__ = ("_connection", "_deadline", "_pool", "_read", "_url", "headers", "status")

    def __init__(
        self,
        pool: AsyncPool,
        connection: AsyncConnection,
        head: h11.Response,
        url: Url,
        read: float,
        deadline: float,
    ) -> None:
        self.status = head.status_code
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        self._pool = pool
        self._connection = connection
        self._url = url
        self._read = read
        self._deadline = deadline

    async def piece(self) -> Buffer | None:
        try:
            return await self._connection.piece(self._read, self._deadline)
        except _BROKEN as error:
            raise no_answer(error, self._url.authority, sent=True, answering=True) from error

    async def __aenter__(self) -> AsyncReply:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.release(self._connection)


class AsyncPooled:
    """Requests over our own pool."""

    def __init__(self, limit: int) -> None:
        self._pools = AsyncScoped(lambda: AsyncPool(limit))

    async def send(
        self,
        url: Url,
        method: str,
        target: str,
        headers: Headers,
        body: bytes | AsyncGenerator[Buffer],
        timeouts: Timeouts,
        read: float,
        deadline: float,
    ) -> AsyncReply:
        """See AsyncWire."""
        pool = self._pools.get()
        left = deadline - time.monotonic()
        try:
            connection = await pool.acquire(
                url.origin, connect=min(timeouts.connect, left), patience=min(timeouts.pool, left)
            )
        except OSError as error:
            raise no_answer(error, url.authority, sent=False) from error
        try:
            refused: OSError | None = None
            try:
                await connection.send(method, target, headers, body, timeouts.write, deadline)
            except TimeoutError:
                raise
            except OSError as error:
                # A server may refuse a body that it has not read to its end; its answer says why.
                refused = error
            try:
                head = await connection.receive(1.0 if refused else read, deadline)
            except _BROKEN as error:
                raise (refused or error) from None
            return _PooledReply(pool, connection, head, url, read, deadline)
        except _BROKEN as error:
            connection.close()
            pool.release(connection)
            raise no_answer(error, url.authority, sent=connection.sent) from error
        except BaseException:
            connection.close()
            pool.release(connection)
            raise

    async def aclose(self) -> None:
        """Close all connections."""
        for pool in self._pools.all():
            pool.close()


class _HttpxReply:
    __slots__ = ("_deadline", "_raw", "_response", "_url", "headers", "status")

    def __init__(self, response: httpx.Response, url: Url, deadline: float) -> None:
        self.status = response.status_code
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self._response = response
        self._raw = response.aiter_raw()
        self._url = url
        self._deadline = deadline

    async def piece(self) -> Buffer | None:
        try:
            if time.monotonic() > self._deadline:
                raise TimeoutError("the deadline of the call has passed")
            return await anext(self._raw, None)
        except (httpx.HTTPError, httpx.StreamError, TimeoutError) as error:
            raise _from_httpx(error, self._url.authority, answering=True) from error

    async def __aenter__(self) -> AsyncReply:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._response.aclose()


class AsyncThroughHttpx:
    """Requests through an httpx client: the user's, which stays open, or our own for the sake of a proxy."""

    def __init__(self, client: httpx.AsyncClient | None) -> None:
        self._given = client
        self._own: AsyncScoped[httpx.AsyncClient] | None = None
        if client is None:
            self.reset_after_fork()
            reset_after_fork(self)

    def reset_after_fork(self) -> None:
        """In a forked child: the connections are the parent's."""
        self._own = AsyncScoped(httpx.AsyncClient)

    async def send(
        self,
        url: Url,
        method: str,
        target: str,
        headers: Headers,
        body: bytes | AsyncGenerator[Buffer],
        timeouts: Timeouts,
        read: float,
        deadline: float,
    ) -> AsyncReply:
        """See AsyncWire."""
        left = max(0.001, deadline - time.monotonic())
        try:
            client = self._given or (self._own.get() if self._own else None)
            assert client is not None
            if client.is_closed:
                raise bad_request("the http_client is closed")
            request = client.build_request(
                method,
                f"{url.scheme}://{url.authority}{target}",
                headers=headers,
                content=cast("bytes | AsyncGenerator[bytes]", body),
                timeout=httpx.Timeout(
                    connect=min(timeouts.connect, left),
                    read=min(read, left),
                    write=min(timeouts.write, left),
                    pool=min(timeouts.pool, left),
                ),
            )
            ours = {name.lower() for name, _ in headers}
            for private in ("authorization", "cookie"):
                # What a user's client adds to every request is not for a signed URL.
                if private.encode() not in ours and private in request.headers:
                    del request.headers[private]
            response = await client.send(request, stream=True, auth=None, follow_redirects=False)
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            httpx.StreamError,
            OSError,
            ImportError,
            RuntimeError,
        ) as error:
            raise _from_httpx(error, url.authority) from error
        return _HttpxReply(response, url, deadline)

    async def aclose(self) -> None:
        """Close a client of our own."""
        if self._own is not None:
            await self._own.get().aclose()


def _from_httpx(error: Exception, host: str, *, answering: bool = False) -> ArkerError:
    unsent = (
        httpx.ConnectError,
        httpx.ConnectTimeout,
        httpx.PoolTimeout,
        httpx.ProxyError,
        httpx.UnsupportedProtocol,
        httpx.InvalidURL,
        ImportError,
    )
    # Whatever else it is may have been raised when the answer was there, by a hook or a transport of the user's.
    sent = answering or not isinstance(error, unsent)
    if isinstance(error, httpx.TimeoutException):
        error = TimeoutError(str(error) or type(error).__name__)
    return no_answer(error, host, sent=sent, answering=answering)


def needs_proxy(host: str) -> bool:
    """Whether the environment (or the system's settings) sends requests to this host through a proxy."""
    return (
        not is_loopback(host)
        and bool(urllib.request.getproxies().keys() & {"http", "https", "all"})
        and not urllib.request.proxy_bypass(host)
    )


async def whole(reply: AsyncReply) -> bytes:
    """All of the body. Raises ArkerError when it is cut."""
    pieces: list[Buffer] = []
    while (piece := await reply.piece()) is not None:
        pieces.append(piece)
    return b"".join(pieces)
