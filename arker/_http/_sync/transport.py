# Derived from arker/_http/_async/transport.py by `make generate`; do not edit.
"""One HTTP exchange over our own connections; failures are ArkerErrors. See `httpx_transport` for the
alternative."""

from __future__ import annotations

import io
import os
import sys
from types import TracebackType
from typing import Final, Protocol

from arker._http.deadline import Deadline
from arker._http.http1 import Head, ProtocolError
from arker._io import Buffer
from arker._io_sync import Scoped
from arker.config import Url, is_loopback
from arker.errors import ArkerError, no_answer

from .connection import Connection
from .pool import Pool
from .request import Request

#: Failures of our own connections.
_BROKEN: Final = (OSError, ProtocolError)
#: Seconds to wait for the answer to a request that could not be sent completely.
_REFUSAL: Final = 1.0


class ByteStream(Protocol):
    """The connection of an answer that switched protocols (101), as a stream of bytes in both directions. One task or
    thread may read while another one writes; closing the reply closes it."""

    def read(self, timeout: float) -> bytes:
        """Read some bytes; none at the end. Raises ArkerError: `timeout` after `timeout` seconds, then reading may
        continue; or `network`."""
        ...

    def write(self, data: Buffer, timeout: float) -> None:
        """Write all of `data`. Raises ArkerError; after that, nothing more can be written."""
        ...

    def send_eof(self) -> None:
        """End this direction; reading goes on. Raises ArkerError: `unsupported_operation` over TLS, or `network`."""
        ...


class Reply(Protocol):
    """An answer whose head has arrived. Closing it, or leaving its with-statement, returns the connection, or closes
    it if the body was not read to its end."""

    status: int
    #: Names are lowercase.
    headers: dict[str, str]

    def piece(self) -> Buffer | None:
        """Return the next piece of the body, None at its end. Raises ArkerError if it is incomplete."""
        ...

    def hold(self, deadline: Deadline) -> None:
        """Replace the deadline of the call; the wait for each piece stays limited."""
        ...

    def upgraded(self) -> ByteStream:
        """The byte stream of an answer with status 101."""
        ...

    def close(self) -> None:
        """Close the answer. May be called twice."""
        ...

    def __enter__(self) -> Reply: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Transport(Protocol):
    """Sends requests."""

    def send(self, request: Request, deadline: Deadline) -> Reply:
        """Send a request and wait for the head of its answer. Raises ArkerError."""
        ...

    def close(self) -> None:
        """Close what it opened, and end the exchanges in progress."""


class _PooledReply:
    __slots__ = ("_connection", "_deadline", "_pool", "_read", "_url", "headers", "status")

    def __init__(
        self,
        pool: Pool,
        connection: Connection,
        head: Head,
        request: Request,
        deadline: Deadline,
    ) -> None:
        self.status = head.status
        self.headers = head.headers
        self._pool = pool
        self._connection: Connection | None = connection
        self._url = request.url
        self._read = request.read
        self._deadline = deadline

    @property
    def _open(self) -> Connection:
        if self._connection is None:
            raise ValueError("the answer is closed")
        return self._connection

    def piece(self) -> Buffer | None:
        try:
            return self._open.piece(self._deadline, self._read)
        except _BROKEN as error:
            raise no_answer(error, self._url.authority, sent=True, answering=True) from error

    def hold(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def upgraded(self) -> ByteStream:
        return _Upgraded(self._open, self._url)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.release(connection)

    def __enter__(self) -> Reply:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Upgraded:
    def __init__(self, connection: Connection, url: Url) -> None:
        self._stream = connection.stream
        self._ahead = connection.beyond
        self._url = url

    def read(self, timeout: float) -> bytes:
        if self._ahead:
            data, self._ahead = self._ahead, b""
            return data
        try:
            return self._stream.read(timeout)
        except TimeoutError as error:
            raise nothing_came(timeout) from error
        except OSError as error:
            raise _cut(error, self._url) from error

    def write(self, data: Buffer, timeout: float) -> None:
        try:
            self._stream.write(data, timeout)
        except OSError as error:
            raise _cut(error, self._url) from error

    def send_eof(self) -> None:
        try:
            if not self._stream.send_eof():
                raise one_way()
        except OSError as error:
            raise _cut(error, self._url) from error


def nothing_came(timeout: float) -> ArkerError:
    """The error of a read from an upgraded connection that timed out."""
    return ArkerError("timeout", f"nothing arrived within {timeout:g} s", processed="maybe")


def one_way() -> ArkerError:
    """The error of ending one direction of a connection that cannot do that."""
    return ArkerError("unsupported_operation", "TLS cannot end one direction alone", processed="no")


def _cut(error: Exception, url: Url) -> ArkerError:
    return no_answer(error, url.authority, sent=True, answering=True)


class PooledTransport:
    """Sends requests over our own pool."""

    def __init__(self, limit: int) -> None:
        self._pools = Scoped(lambda: Pool(limit))

    def send(self, request: Request, deadline: Deadline) -> Reply:
        """See Transport."""
        url, timeouts = request.url, request.timeouts
        pool = self._pools.get()
        try:
            connection = pool.acquire(
                url.origin, connect=deadline.within(timeouts.connect), patience=deadline.within(timeouts.pool)
            )
        except OSError as error:
            raise no_answer(error, url.authority, sent=False) from error
        try:
            refused: OSError | None = None
            try:
                connection.send(request, deadline)
            except OSError as error:
                # A server may reject a body before it has read it all; its answer says why.
                if isinstance(error, TimeoutError) and not connection.is_readable():
                    raise
                refused = error
            try:
                head = connection.receive(request, deadline, _REFUSAL if refused else request.read)
            except _BROKEN as error:
                raise (refused or error) from None
            return _PooledReply(pool, connection, head, request, deadline)
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
    """Whether the environment (or the system's settings) selects a proxy for this host."""
    named = any(name.lower().endswith("_proxy") for name in os.environ)
    if is_loopback(host) or not (named or sys.platform in ("darwin", "win32")):
        return False
    # Imported on first use: it takes 20 ms.
    from urllib.request import getproxies, proxy_bypass

    return bool(getproxies().keys() & {"http", "https", "all"}) and not proxy_bypass(host)


def whole(reply: Reply, most: int) -> bytes:
    """Return the complete body. Raises ArkerError if it is incomplete, or longer than `most` bytes."""
    content = io.BytesIO()
    while (piece := reply.piece()) is not None:
        if content.write(piece) and content.tell() > most:
            raise ArkerError(
                "internal",
                f"HTTP {reply.status}: the answer is longer than {most} bytes",
                reply.status,
                processed="maybe" if reply.status >= 500 or reply.status < 300 else "yes",
            )
    # Returns the buffer itself, not a copy.
    return content.getvalue()
