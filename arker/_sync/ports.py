# Derived from arker/_async/ports.py by `make generate`; do not edit.
"""Ports of computers: servers inside, reached from outside."""

from __future__ import annotations

import functools
from types import TracebackType
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from arker._http._sync.transport import Reply
from arker._http.deadline import FURTHEST
from arker._io_sync import sleep
from arker.errors import ArkerError

if TYPE_CHECKING:
    from .computer import Computer

#: Seconds that a piece may take to be sent.
_SENDING: Final = 300.0


class Port:
    """A port of a computer; made by `computer.port()`. Needs a deployment of one's own."""

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
        """Where HTTP and WebSockets of a server at this port answer, for requests with the key in `Authorization`.

        The key does not reach the server. The name leads to this machine.
        """
        base = urlsplit(str(self._computer._client._pipeline.config.regional))
        where = f":{base.port}" if base.port else ""
        return f"{base.scheme}://{self._computer._known_id('port').lower()}-{self._number}.localhost{where}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._computer.id!r}, {self._number})"

    def link(self) -> str:
        """A URL that opens the server in a browser, without the key, for 15 minutes.

        Raises:
            ArkerError: whatever fails.
        """
        client = self._computer._client
        make = functools.partial(
            client._pipeline.request,
            "post",
            f"{self._path}/link",
            client._timeouts,
            control=False,
            repeatable=True,
        )

        def consume(reply: Reply) -> str:
            answer = client._pipeline.answer(reply)
            try:
                return str(answer.body["url"])
            except (LookupError, TypeError) as error:
                raise ArkerError("internal", "the answer is no link", processed="yes") from error

        return client._pipeline.perform(client._budget(None), make, consume)

    def connect(self) -> PortConnection:
        """A TCP connection to the server.

        Raises:
            ArkerError: `port_closed` when nothing listens there, and whatever else fails.
        """
        client = self._computer._client
        make = functools.partial(
            client._pipeline.request,
            "post",
            self._path,
            client._timeouts,
            control=False,
            # Nothing was sent through it yet.
            repeatable=True,
            headers={"Connection": "Upgrade", "Upgrade": "tcp"},
        )
        return PortConnection(client._pipeline.hold(client._budget(None), make, 101))

    def wait(self, *, timeout: float = 60.0) -> None:
        """Wait until a server accepts connections.

        Args:
            timeout: Longest time to wait, in seconds.

        Raises:
            ArkerError: `timeout`, and whatever else fails.
        """
        pause, waited = 0.02, 0.0
        while True:
            try:
                connection = self.connect()
            except ArkerError as error:
                if error.code != "port_closed":
                    raise
                if waited >= timeout:
                    message = f"nothing listens on port {self._number} after {timeout:g} s"
                    raise ArkerError("timeout", message, processed="yes") from error
            else:
                connection.close()
                return
            sleep(pause)
            waited += pause
            pause = min(pause * 1.5, 0.5)

    @property
    def _path(self) -> str:
        return f"/api/v1/local/vms/{self._computer._known_id('port')}/ports/{self._number}"


class PortConnection:
    """A TCP connection to a server in a computer. One task may read while another writes; in a with-statement it is
    closed at the end."""

    __slots__ = ("_reply", "_stream")

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._stream = reply.upgraded()

    def read(self, *, timeout: float | None = None) -> bytes:
        """What comes next; b"" at the end.

        Args:
            timeout: Longest time to wait, in seconds; one may read on afterwards. Default: no limit.

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

    def close(self) -> None:
        """Close it. May be called twice.

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
