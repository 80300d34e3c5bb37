# Derived from arker/_http/_async/httpx_transport.py by `make generate`; do not edit.
"""HTTP exchanges through an httpx client: the user's, or our own when a proxy is needed. A separate module, because
importing httpx takes longer than everything else."""

from __future__ import annotations

import socket
from collections.abc import Generator
from types import TracebackType
from typing import Any, cast

import httpcore
import httpx

from arker._http.deadline import FURTHEST, Deadline
from arker._io import Buffer, reset_after_fork
from arker._io_sync import Scoped
from arker.config import Url
from arker.errors import ArkerError, bad_request, no_answer, redact

from .request import Request
from .stream import READ
from .transport import ByteStream, Reply, nothing_came, one_way

#: Seconds for clients of other event loops to close.
_CLOSING = 1.0


class _HttpxReply:
    __slots__ = ("_deadline", "_raw", "_response", "_url", "headers", "status")

    def __init__(self, response: httpx.Response, url: Url, deadline: Deadline) -> None:
        self.status = response.status_code
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self._response = response
        # A test transport, or a hook of the user's, may have read it already; then it is decoded.
        self._raw = _content(response) if response.is_stream_consumed else response.iter_raw()
        if response.is_stream_consumed:
            self.headers.pop("content-encoding", None)
        self._url = url
        self._deadline = deadline

    def piece(self) -> Buffer | None:
        try:
            self._deadline.within(FURTHEST)
            return next(self._raw, None)
        except (httpx.HTTPError, httpx.StreamError, OSError, RuntimeError) as error:
            raise _from_httpx(error, self._url.authority, answering=True) from error

    def hold(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def upgraded(self) -> ByteStream:
        stream = self._response.extensions.get("network_stream")
        if stream is None:
            raise ArkerError(
                "network", "the http_client does not give out its connections", processed="maybe"
            )
        return _Upgraded(stream, self._url)

    def close(self) -> None:
        self._response.close()

    def __enter__(self) -> Reply:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.close()


class _Upgraded:
    def __init__(self, stream: Any, url: Url) -> None:
        self._stream: httpcore.NetworkStream = stream
        self._url = url

    def read(self, timeout: float) -> bytes:
        try:
            return self._stream.read(READ, timeout)
        except httpcore.TimeoutException as error:
            raise nothing_came(timeout) from error
        except (httpcore.NetworkError, OSError) as error:
            raise _cut(error, self._url) from error

    def write(self, data: Buffer, timeout: float) -> None:
        try:
            self._stream.write(bytes(data), timeout)
        except (httpcore.NetworkError, httpcore.TimeoutException, OSError) as error:
            raise _cut(error, self._url) from error

    def send_eof(self) -> None:
        sock = self._stream.get_extra_info("socket")
        if sock is None or self._stream.get_extra_info("ssl_object") is not None:
            raise one_way()
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise _cut(error, self._url) from error


def _cut(error: Exception, url: Url) -> ArkerError:
    if isinstance(error, httpcore.TimeoutException):
        error = TimeoutError(str(error) or "timed out")
    return no_answer(error, url.authority, sent=True, answering=True)


class _Url(httpx.URL):
    """A URL that httpx logs without its signature."""

    def __str__(self) -> str:
        return redact(super().__str__())


class HttpxTransport:
    """Sends requests through an httpx client: the user's, which stays open, or (None) our own."""

    def __init__(self, client: httpx.Client | None, limit: int) -> None:
        if not isinstance(client, httpx.Client | None):
            raise TypeError(f"http_client is an httpx.Client, not {type(client).__name__}")
        self._given = client
        self._limit = limit
        self._own: Scoped[httpx.Client] | None = None
        if client is None:
            self.reset_after_fork()
            reset_after_fork(self)

    def reset_after_fork(self) -> None:
        """Forget the connections in a forked child: they belong to the parent."""
        self._own = Scoped(self._own_client)

    def _own_client(self) -> httpx.Client:
        try:
            return httpx.Client(limits=httpx.Limits(max_connections=self._limit))
        except (httpx.InvalidURL, ImportError, OSError, ValueError) as error:
            raise bad_request(f"the proxy of the environment cannot be used: {error}") from error

    def send(self, request: Request, deadline: Deadline) -> Reply:
        """See Transport."""
        url, timeouts, body = request.url, request.timeouts, request.body
        left = max(0.001, deadline.left)
        try:
            client = self._given or (self._own.get() if self._own else None)
            assert client is not None
            if client.is_closed:
                raise bad_request("the http_client is closed")
            sent = client.build_request(
                request.method,
                f"{url.scheme}://{url.netloc}{request.target}",
                headers=request.headers,
                content=body if isinstance(body, bytes) else cast("Generator[bytes]", body.pieces()),
                timeout=httpx.Timeout(
                    connect=min(timeouts.connect, left),
                    read=min(request.read, left),
                    write=min(timeouts.write, left),
                    pool=min(timeouts.pool, left),
                ),
            )
            if self._given is None:
                # Not for the user's client: other transports than httpx's may use the text as the URL.
                sent.url = _Url(sent.url)
            ours = {name.lower() for name, _ in request.headers}
            for private in ("authorization", "cookie"):
                # A signed URL must not receive what a user's client adds to every request.
                if private.encode() not in ours and private in sent.headers:
                    del sent.headers[private]
            response = client.send(sent, stream=True, auth=None, follow_redirects=False)
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

    def close(self) -> None:
        """Close our own clients, each in its event loop."""
        if self._own is not None:
            self._own.each(_close, _CLOSING)


def _close(client: httpx.Client) -> None:
    client.close()


def _content(response: httpx.Response) -> Generator[bytes]:
    yield response.content


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
    # Any other exception, from a hook or a transport of the user's, may come after the answer.
    sent = answering or not isinstance(error, unsent)
    if isinstance(error, httpx.TimeoutException):
        error = TimeoutError(str(error) or type(error).__name__)
    return no_answer(error, host, sent=sent, answering=answering)
