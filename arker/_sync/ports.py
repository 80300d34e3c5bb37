# Derived from arker/_async/ports.py by `make generate`; do not edit.
"""Ports of computers: reach servers inside from outside."""

from __future__ import annotations

import functools
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from arker._http._sync.transport import Reply
from arker._http.deadline import FURTHEST
from arker._io_sync import opening
from arker.errors import ArkerError, bad_request, needing

if TYPE_CHECKING:
    import httpx

    from .computer import Computer
    from .runs import Run

_NEEDED: Final = "has no ports: they need a deployment of your own"
#: Longest time to send a piece, in seconds.
_SENDING: Final = 300.0


class Port:
    """A port of a computer; made by `computer.port()`. Needs your own deployment."""

    __slots__ = ("_computer", "_number")

    def __init__(self, computer: Computer, number: int) -> None:
        self._computer = computer
        self._number = number

    @property
    def number(self) -> int:
        """Its number."""
        return self._number

    @property
    def url(self) -> str:
        """The URL for HTTP and WebSocket requests to a server at this port, with the API key in `Authorization`.

        The server does not receive the key. Browsers and curl resolve the host name to this machine; many other
        programs, Python's resolver among them, do not: use `http()` there.

        Raises:
            ArkerError: `bad_request` if the handle was made with a name.
        """
        base = urlsplit(str(self._computer._client._pipeline.config.regional))
        where = f":{base.port}" if base.port else ""
        if not self._computer._by_id:
            raise bad_request(
                f"the URL contains the id, and {self._computer.id!r} is a name; info() returns the id"
            )
        return f"{base.scheme}://{self._computer.id.lower()}-{self._number}.localhost{where}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._computer.id!r}, {self._number})"

    def http(self, **options: Any) -> httpx.Client:
        """Return an HTTP client whose `base_url` is this port: `client.get("/path")`. Sends no request.

        Its requests reach the deployment whether or not the host name of `url` resolves, without a proxy. The key goes
        with them to the deployment and nowhere else: not to the server, whose `Authorization` is yours, and not to
        another URL. A with-statement closes the client.

        Args:
            options: Those of `httpx.Client`, such as `headers`, `timeout` (httpx's default is 5 s), `auth` and
                `follow_redirects`, but not `base_url` and `mounts`.

        Raises:
            ArkerError: `bad_request` if the handle was made with a name. The client raises `httpx.HTTPError`; when
                nothing listens at the port, the status of the answer is 502.
        """
        from .porthttp import port_client

        return port_client(self._computer._client._pipeline.config, self.url, options)

    def link(self) -> str:
        """Return a URL that opens the server in a browser without the key, for 15 minutes.

        Raises:
            ArkerError: any failure.
        """
        client = self._computer._client
        request = client._pipeline.local_request("post", f"{self._path}/link", client._timeouts)
        with needing(_NEEDED):
            return client._pipeline.ask(client._budget(None), request, lambda body: str(body["url"]))

    @opening
    def connect(self) -> PortConnection:
        """Open a TCP connection to the server.

        Raises:
            ArkerError: `port_closed` when nothing listens there, and any other failure.
        """
        client = self._computer._client
        make = functools.partial(
            client._pipeline.local_request,
            "post",
            self._path,
            client._timeouts,
            headers={"Connection": "Upgrade", "Upgrade": "tcp"},
        )
        with needing(_NEEDED):
            return PortConnection(client._pipeline.hold(client._budget(None), make, 101))

    def wait(self, *, run: Run | None = None, timeout: float = 60.0) -> None:
        """Wait until a server accepts connections.

        Args:
            run: The run of the server; if it ends first, this raises `command_failed`.
            timeout: Longest time to wait, in seconds.

        Raises:
            ArkerError: `timeout`; `command_failed` when the run ended before, with its result as `result`; any other
                failure.
        """
        from .waiting import wait_until

        wait_until(self._accepts, f"a server on port {self._number}", timeout, run)

    def _accepts(self) -> bool:
        try:
            connection = self.connect()
        except ArkerError as error:
            if error.code != "port_closed":
                raise
            return False
        connection.close()
        return True

    @property
    def _path(self) -> str:
        return f"vms/{self._computer._segment}/ports/{self._number}"


class PortConnection:
    """A TCP connection to a server in a computer. One task may read while another writes. A with-statement closes it at
    its end."""

    __slots__ = ("_reply", "_stream")

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._stream = reply.upgraded()

    def read(self, *, timeout: float | None = None) -> bytes:
        """Return the next bytes; b"" at the end.

        Args:
            timeout: Longest time to wait, in seconds; reading may continue afterwards. Default: no limit.

        Raises:
            ArkerError: `timeout`, or `network` when the connection was cut.
        """
        return self._stream.read(FURTHEST if timeout is None else timeout)

    def write(self, data: bytes) -> None:
        """Send all of `data`. Waits while the server does not read.

        Args:
            data: The bytes.

        Raises:
            ArkerError: `network` when the connection was cut.
        """
        self._stream.write(data, _SENDING)

    def send_eof(self) -> None:
        """Tell the server that nothing more will be sent; what it sends can still be read.

        Raises:
            ArkerError: `unsupported_operation` where the deployment is reached over TLS, which cannot do that;
                `network` when the connection was cut.
        """
        self._stream.send_eof()

    def close(self) -> None:
        """Close the connection. May be called twice.

        Raises:
            ArkerError: never.
        """
        self._reply.close()

    def __enter__(self) -> PortConnection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
