"""Ports of computers: reach servers inside from outside."""

from __future__ import annotations

import functools
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from arker._http._async.transport import AsyncReply
from arker._http.deadline import FURTHEST
from arker._io_async import async_opening
from arker.errors import ArkerError, bad_request, needing

if TYPE_CHECKING:
    import httpx

    from .computer import AsyncComputer
    from .runs import AsyncRun

_NEEDED: Final = "has no ports: they need a deployment of your own"
#: Longest time to send a piece, in seconds.
_SENDING: Final = 300.0


class AsyncPort:
    """A port of a computer; made by `computer.port()`. Needs your own deployment."""

    __slots__ = ("_computer", "_number")

    def __init__(self, computer: AsyncComputer, number: int) -> None:
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

    def http(self, **options: Any) -> httpx.AsyncClient:
        """Return an HTTP client whose `base_url` is this port: `client.get("/path")`. Sends no request.

        Its requests reach the deployment whether or not the host name of `url` resolves, without a proxy. The key goes
        with them to the deployment and nowhere else: not to the server, whose `Authorization` is yours, and not to
        another URL. A with-statement closes the client.

        Args:
            options: Those of `httpx.AsyncClient`, such as `headers`, `timeout` (httpx's default is 5 s), `auth` and
                `follow_redirects`, but not `base_url` and `mounts`.

        Raises:
            ArkerError: `bad_request` if the handle was made with a name. The client raises `httpx.HTTPError`; when
                nothing listens at the port, the status of the answer is 502.
        """
        from .porthttp import async_port_client

        return async_port_client(self._computer._client._pipeline.config, self.url, options)

    async def link(self) -> str:
        """Return a URL that opens the server in a browser without the key, for 15 minutes.

        Raises:
            ArkerError: any failure.
        """
        client = self._computer._client
        request = client._pipeline.local_request("post", f"{self._path}/link", client._timeouts)
        with needing(_NEEDED):
            return await client._pipeline.ask(client._budget(None), request, lambda body: str(body["url"]))

    @async_opening
    async def connect(self) -> AsyncPortConnection:
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
            return AsyncPortConnection(await client._pipeline.hold(client._budget(None), make, 101))

    async def wait(self, *, run: AsyncRun | None = None, timeout: float = 60.0) -> None:
        """Wait until a server accepts connections.

        Args:
            run: The run of the server; if it ends first, this raises `command_failed`.
            timeout: Longest time to wait, in seconds.

        Raises:
            ArkerError: `timeout`; `command_failed` when the run ended before, with its result as `result`; any other
                failure.
        """
        from .waiting import wait_until

        await wait_until(self._accepts, f"a server on port {self._number}", timeout, run)

    async def _accepts(self) -> bool:
        try:
            connection = await self.connect()
        except ArkerError as error:
            if error.code != "port_closed":
                raise
            return False
        await connection.aclose()
        return True

    @property
    def _path(self) -> str:
        return f"vms/{self._computer._segment}/ports/{self._number}"


class AsyncPortConnection:
    """A TCP connection to a server in a computer. One task may read while another writes. A with-statement closes it at
    its end."""

    __slots__ = ("_reply", "_stream")

    def __init__(self, reply: AsyncReply) -> None:
        self._reply = reply
        self._stream = reply.upgraded()

    async def read(self, *, timeout: float | None = None) -> bytes:
        """Return the next bytes; b"" at the end.

        Args:
            timeout: Longest time to wait, in seconds; reading may continue afterwards. Default: no limit.

        Raises:
            ArkerError: `timeout`, or `network` when the connection was cut.
        """
        return await self._stream.read(FURTHEST if timeout is None else timeout)

    async def write(self, data: bytes) -> None:
        """Send all of `data`. Waits while the server does not read.

        Args:
            data: The bytes.

        Raises:
            ArkerError: `network` when the connection was cut.
        """
        await self._stream.write(data, _SENDING)

    def send_eof(self) -> None:
        """Tell the server that nothing more will be sent; what it sends can still be read.

        Raises:
            ArkerError: `unsupported_operation` where the deployment is reached over TLS, which cannot do that;
                `network` when the connection was cut.
        """
        self._stream.send_eof()

    async def aclose(self) -> None:
        """Close the connection. May be called twice.

        Raises:
            ArkerError: never.
        """
        await self._reply.aclose()

    async def __aenter__(self) -> AsyncPortConnection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
