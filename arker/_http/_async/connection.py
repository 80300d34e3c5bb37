"""One HTTP/1.1 connection: request, answer, next request."""

from __future__ import annotations

from typing import Final, NamedTuple, cast

import h11

from arker._http.chunked import Chunked
from arker._http.deadline import Deadline
from arker._io import Buffer
from arker._io_async import async_closing
from arker.config import SecretBytes

from .request import AsyncRequest
from .stream import AsyncStream

Origin = tuple[str, str, int]

#: Bytes passed to a socket at a time: fewer cost speed, more cost memory.
PIECE: Final = 256 * 1024
#: The headers that say how an exchange goes on. h11 sees only these: it would check each header of each request anew,
#: although most are the same, which takes 6 % of the CPU time of a small call.
_FRAMING: Final = frozenset(
    {b"connection", b"content-length", b"expect", b"host", b"transfer-encoding", b"upgrade"}
)


def _head(request: AsyncRequest) -> SecretBytes:
    """Return the request line and all headers."""
    parts = [request.method.encode(), b" ", request.target.encode(), b" HTTP/1.1\r\n"]
    for name, value in request.headers:
        parts += (name, b": ", value, b"\r\n")
    parts.append(b"\r\n")
    return SecretBytes(b"".join(parts))


class Head(NamedTuple):
    """The head of an answer; the names of its headers are lowercase."""

    status: int
    headers: dict[str, str]


class AsyncConnection:
    """One connection, open or not yet open; one request at a time."""

    __slots__ = (
        "__weakref__",
        "_ahead",
        "_chunked",
        "_h11",
        "_missing",
        "_stream",
        "idle_since",
        "origin",
        "sent",
    )

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._stream: AsyncStream | None = None
        self._h11 = h11.Connection(h11.CLIENT)
        #: How much of the answer's body is still to come, if its length is known, and what decodes one in chunks. Such
        #: bodies bypass h11, which would copy every byte three times.
        self._missing: int | None = None
        self._chunked: Chunked | None = None
        #: Bytes read beyond the head, or beyond the body.
        self._ahead = b""
        self.idle_since = 0.0
        #: Whether the request in progress was sent completely, so that the server may act
        #: on it.
        self.sent = False

    @property
    def connected(self) -> bool:
        """Whether the connection was opened."""
        return self._stream is not None

    @property
    def reusable(self) -> bool:
        """Whether the last exchange ended so that another can follow."""
        if self._h11.our_state is not h11.DONE:
            return False
        # Unrequested bytes after an answer would be taken for the next answer.
        if self._missing is not None:
            return self._missing == 0 and not self._ahead
        if self._chunked is not None:
            return self._chunked.ended and not self._chunked.beyond
        return self._h11.their_state is h11.DONE and not self._h11.trailing_data[0]

    async def open(self, timeout: float) -> None:
        """Connect. Raises OSError, TimeoutError."""
        scheme, host, port = self.origin
        self._stream = await AsyncStream.connect(host, port, tls=scheme == "https", timeout=timeout)

    def is_readable(self) -> bool:
        """Whether the server has sent something or closed the connection; either makes an idle connection useless."""
        return self.stream.is_readable()

    @property
    def stream(self) -> AsyncStream:
        """The open connection."""
        assert self._stream is not None
        return self._stream

    async def send(self, request: AsyncRequest, deadline: Deadline) -> None:
        """Send a request. Raises OSError, TimeoutError, h11.LocalProtocolError."""
        self._h11 = h11.Connection(h11.CLIENT)
        self._missing = self._chunked = None
        self.sent = False
        write, timeout = self.stream.write, request.timeouts.write
        framing = [header for header in request.headers if header[0].lower() in _FRAMING]
        self._h11.send(h11.Request(method=request.method, target=request.target, headers=framing))
        head = _head(request)
        lines = len(request.headers) + 2
        if head.count(b"\n") != lines or head.count(b"\r") != lines or head.count(b"\0"):
            raise h11.LocalProtocolError("a header has a character that no header may have")
        if isinstance(request.body, bytes):
            self._h11.send(h11.Data(data=request.body))
            self._h11.send(h11.EndOfMessage())
            # Views, as tracebacks that show variables show their contents for bytes, but not for views.
            data = memoryview(b"".join([head, request.body]))
            # A typical small request fits one packet.
            for start in range(0, len(data), PIECE):
                await write(data[start : start + PIECE], deadline.within(timeout))
        else:
            await write(memoryview(head), deadline.within(timeout))
            async with async_closing(request.body.pieces()) as pieces:
                async for piece in pieces:
                    event = h11.Data(data=cast("bytes", piece))
                    for part in self._h11.send_with_data_passthrough(event) or ():
                        await write(part, deadline.within(timeout))
            self._h11.send(h11.EndOfMessage())
        self.sent = True

    async def receive(self, request: AsyncRequest, deadline: Deadline, timeout: float) -> Head:
        """Receive the status line and headers of the answer, or those of a protocol switch (101). Raises
        OSError, TimeoutError, h11.RemoteProtocolError."""
        while True:
            event = await self._event(deadline, timeout)
            if not isinstance(event, (h11.Response, h11.InformationalResponse)):
                raise h11.RemoteProtocolError("the connection was closed without an answer")
            if isinstance(event, h11.Response) or event.status_code == 101:
                break
        # Iterating over the headers themselves takes several times as long.
        head = Head(
            event.status_code,
            {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in event.headers.raw_items()
            },
        )
        if isinstance(event, h11.Response):
            self._pass_by(head, request.method)
        return head

    async def piece(self, deadline: Deadline, timeout: float) -> Buffer | None:
        """Return the next piece of the answer's body, None at its end. Raises as `receive`."""
        if self._chunked is not None:
            return await self._chunk(self._chunked, deadline, timeout)
        if self._missing is None:
            event = await self._event(deadline, timeout)
            return event.data if isinstance(event, h11.Data) else None
        if self._missing == 0:
            return None
        data, self._ahead = self._ahead or await self.stream.read(deadline.within(timeout)), b""
        if not data:
            raise h11.RemoteProtocolError(f"the connection was closed {self._missing} bytes before the end")
        if len(data) > self._missing:
            data, self._ahead = data[: self._missing], data[self._missing :]
        self._missing -= len(data)
        return data

    async def _chunk(self, chunked: Chunked, deadline: Deadline, timeout: float) -> Buffer | None:
        while (piece := chunked.piece()) is None and not chunked.ended:
            data = await self.stream.read(deadline.within(timeout))
            if not data:
                raise h11.RemoteProtocolError("the connection was closed before the end of the answer")
            chunked.feed(data)
        return piece

    @property
    def beyond(self) -> bytes:
        """Bytes read beyond the head of an answer that switched protocols."""
        return self._h11.trailing_data[0]

    def _pass_by(self, head: Head, method: str) -> None:
        if head.status in (204, 304) or method == "HEAD":
            return
        if "transfer-encoding" in head.headers:
            # h11 knows no other coding than chunks.
            self._chunked = Chunked()
            self._chunked.feed(self._h11.trailing_data[0])
        elif "content-length" in head.headers:
            self._missing = int(head.headers["content-length"])
            self._ahead = self._h11.trailing_data[0]

    async def _event(self, deadline: Deadline, timeout: float) -> h11.Event | type[h11.PAUSED]:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            data = await self.stream.read(deadline.within(timeout))
            if not data and self._h11.their_state is h11.SEND_RESPONSE:
                raise h11.RemoteProtocolError("the connection was closed without an answer")
            self._h11.receive_data(data)
        return event  # type: ignore[return-value]  # NEED_DATA is gone

    def abort(self) -> None:
        """End the exchange in progress; callable from any thread."""
        if self._stream is not None:
            self._stream.abort()

    def close(self) -> None:
        """Close the connection at once."""
        if self._stream is not None:
            self._stream.close()
