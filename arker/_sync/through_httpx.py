# Derived from arker/_async/through_httpx.py by `make generate`; do not edit.
"""HTTP exchanges by an httpx client: the user's, or one of our own for the sake of a proxy. Apart, because httpx takes
longer to import than all the rest."""

from __future__ import annotations

import time
from collections.abc import Generator
from types import TracebackType
from typing import cast

import httpx

from arker._io import Buffer, reset_after_fork
from arker._io_sync import Scoped
from arker.config import Timeouts, Url
from arker.errors import ArkerError, bad_request, no_answer, redact

from .wire import Headers, Reply


class _HttpxReply:
    __slots__ = ("_deadline", "_raw", "_response", "_url", "headers", "status")

    def __init__(self, response: httpx.Response, url: Url, deadline: float) -> None:
        self.status = response.status_code
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self._response = response
        # A transport for tests, or a hook of the user's, may have read it already.
        self._raw = _content(response) if response.is_stream_consumed else response.iter_raw()
        self._url = url
        self._deadline = deadline

    def piece(self) -> Buffer | None:
        try:
            if time.monotonic() > self._deadline:
                raise TimeoutError("the deadline of the call has passed")
            return next(self._raw, None)
        except (httpx.HTTPError, httpx.StreamError, OSError, RuntimeError) as error:
            raise _from_httpx(error, self._url.authority, answering=True) from error

    def __enter__(self) -> Reply:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.close()


class _Url(httpx.URL):
    """A URL that httpx logs without what signs it."""

    def __str__(self) -> str:
        return redact(super().__str__())


class ThroughHttpx:
    """Requests through an httpx client: the user's, which stays open, or (None) our own."""

    def __init__(self, client: httpx.Client | None) -> None:
        if not isinstance(client, httpx.Client | None):
            raise TypeError(f"http_client is an httpx.Client, not {type(client).__name__}")
        self._given = client
        self._own: Scoped[httpx.Client] | None = None
        if client is None:
            self.reset_after_fork()
            reset_after_fork(self)

    def reset_after_fork(self) -> None:
        """In a forked child: the connections are the parent's."""
        self._own = Scoped(_own_client)

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
                content=cast("bytes | Generator[bytes]", body),
                timeout=httpx.Timeout(
                    connect=min(timeouts.connect, left),
                    read=min(read, left),
                    write=min(timeouts.write, left),
                    pool=min(timeouts.pool, left),
                ),
            )
            if self._given is None:
                # Not for the user's: other transports than httpx's own may take the text for the URL.
                request.url = _Url(request.url)
            ours = {name.lower() for name, _ in headers}
            for private in ("authorization", "cookie"):
                # What a user's client adds to every request is not for a signed URL.
                if private.encode() not in ours and private in request.headers:
                    del request.headers[private]
            response = client.send(request, stream=True, auth=None, follow_redirects=False)
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
        """Close a client of our own."""
        if self._own is not None and self._own.all():
            self._own.get().close()


def _content(response: httpx.Response) -> Generator[bytes]:
    yield response.content


def _own_client() -> httpx.Client:
    try:
        return httpx.Client()
    except (httpx.InvalidURL, ImportError, OSError, ValueError) as error:
        raise bad_request(f"the proxy of the environment cannot be used: {error}") from error


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
