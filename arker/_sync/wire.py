# Derived from arker/_async/wire.py by `make generate`; do not edit.
"""One HTTP exchange, whose failures are ArkerErrors, over our own connections; see `through_httpx` for another way."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Generator
from types import TracebackType
from typing import Protocol

import h11

from arker._io import Buffer
from arker._io_sync import Scoped
from arker.config import Timeouts, Url, is_loopback
from arker.errors import no_answer

from .pool import Connection, Pool

Headers = list[tuple[bytes, bytes]]

#: What can go wrong on a connection of our own.
_BROKEN = (OSError, h11.RemoteProtocolError)


class Reply(Protocol):
    """An answer whose head has come; a context manager that gives the connection back, or closes it if it is
    not done."""

    status: int
    #: By lowercase name.
    headers: dict[str, str]

    def piece(self) -> Buffer | None:
        """The next piece of the body, None at its end. Raises ArkerError when it is cut."""
        ...

    def __enter__(self) -> Reply: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Wire(Protocol):
    """A way to send requests."""

    def send(
        self,
        url: Url,
        method: str,
        target: str,
        headers: Headers,
        body: bytes | Generator[Buffer],
        timeouts: Timeouts,
        read: float,
        deadline: float,
    ) -> Reply:
        """Send one and wait for the head of its answer; `read` is the longest wait for it. Raises
        ArkerError."""
        ...

    def close(self) -> None:
        """Close what it opened."""


class _PooledReply:
    __slots__ = ("_connection", "_deadline", "_pool", "_read", "_url", "headers", "status")

    def __init__(
        self,
        pool: Pool,
        connection: Connection,
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

    def piece(self) -> Buffer | None:
        try:
            return self._connection.piece(self._read, self._deadline)
        except _BROKEN as error:
            raise no_answer(error, self._url.authority, sent=True, answering=True) from error

    def __enter__(self) -> Reply:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.release(self._connection)


class Pooled:
    """Requests over our own pool."""

    def __init__(self, limit: int) -> None:
        self._pools = Scoped(lambda: Pool(limit))

    def send(
        self,
        url: Url,
        method: str,
        target: str,
        headers: Headers,
        body: bytes | Generator[Buffer],
        timeouts: Timeouts,
        read: float,
        deadline: float,
    ) -> Reply:
        """See Wire."""
        pool = self._pools.get()
        left = deadline - time.monotonic()
        try:
            connection = pool.acquire(
                url.origin, connect=min(timeouts.connect, left), patience=min(timeouts.pool, left)
            )
        except OSError as error:
            raise no_answer(error, url.authority, sent=False) from error
        try:
            refused: OSError | None = None
            try:
                connection.send(method, target, headers, body, timeouts.write, deadline)
            except OSError as error:
                # A server may refuse a body that it has not read to its end; its answer says why.
                if isinstance(error, TimeoutError) and not connection.is_readable():
                    raise
                refused = error
            try:
                head = connection.receive(1.0 if refused else read, deadline)
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

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.all():
            pool.close()


def needs_proxy(host: str) -> bool:
    """Whether the environment (or the system's settings) sends requests to this host through a proxy."""
    named = any(name.lower().endswith("_proxy") for name in os.environ)
    if is_loopback(host) or not (named or sys.platform in ("darwin", "win32")):
        return False
    # Not before it is needed: it takes 20 ms.
    from urllib.request import getproxies, proxy_bypass

    return bool(getproxies().keys() & {"http", "https", "all"}) and not proxy_bypass(host)


def whole(reply: Reply) -> bytes:
    """All of the body. Raises ArkerError when it is cut."""
    content = io.BytesIO()
    while (piece := reply.piece()) is not None:
        content.write(piece)
    # Its own buffer, not a copy.
    return content.getvalue()
