"""One HTTP/1.1 connection: request, answer, next request."""

from __future__ import annotations

from typing import Final

from arker._http.deadline import Deadline
from arker._http.http1 import Body, Head, ProtocolError, answer_body, answer_head, request_head
from arker._io import Buffer
from arker._io_async import async_closing

from .request import AsyncRequest
from .stream import AsyncStream

Origin = tuple[str, str, int]

#: Bytes passed to a socket at a time: fewer cost speed, more cost memory.
PIECE: Final = 256 * 1024


class AsyncConnection:
    """One connection, open or not yet open; one request at a time."""

    __slots__ = (
        "__weakref__",
        "_body",
        "_persistent",
        "_stream",
        "beyond",
        "idle_since",
        "origin",
        "sent",
    )

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._stream: AsyncStream | None = None
        #: The body of the answer, once its head has arrived.
        self._body: Body | None = None
        self._persistent = False
        #: Bytes read beyond the head of an answer that switched protocols.
        self.beyond = b""
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
        body = self._body
        # Unrequested bytes after an answer would be taken for the next answer.
        return self.sent and self._persistent and body is not None and body.ended and not body.beyond

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
        """Send a request. Raises OSError, TimeoutError, and ValueError for one that cannot be sent as it is."""
        self._body = None
        self.sent = False
        write, timeout = self.stream.write, request.timeouts.write
        head = request_head(request.method, request.target, request.headers)
        # Views, as tracebacks that show variables show their contents for bytes, but not for views.
        if isinstance(request.body, bytes):
            data = memoryview(b"".join([head, request.body]))
            # A typical small request fits one packet.
            for start in range(0, len(data), PIECE):
                await write(data[start : start + PIECE], deadline.within(timeout))
        else:
            await write(memoryview(head), deadline.within(timeout))
            left = request.body.size
            async with async_closing(request.body.pieces()) as pieces:
                async for piece in pieces:
                    left -= len(piece)
                    if left < 0:
                        break
                    await write(piece, deadline.within(timeout))
            if left:
                raise ValueError("the body of the request does not have its size")
        self.sent = True

    async def receive(self, request: AsyncRequest, deadline: Deadline, timeout: float) -> Head:
        """Receive the status line and headers of the answer, or those of a protocol switch (101). Raises
        OSError, TimeoutError, ProtocolError."""
        data = b""
        while True:
            while (found := answer_head(data)) is None:
                more = await self.stream.read(deadline.within(timeout))
                if not more:
                    raise ProtocolError("the connection was closed without an answer")
                data += more
            head, data = found
            if head.status >= 200:
                self._body = answer_body(request.method, head, data)
                self._persistent = head.persistent
                return head
            if head.status == 101:
                if not any(name.lower() == b"upgrade" for name, _ in request.headers):
                    raise ProtocolError("the server switched protocols, which the request had not asked for")
                self.beyond = data
                return head

    async def piece(self, deadline: Deadline, timeout: float) -> Buffer | None:
        """Return the next piece of the answer's body, None at its end. Raises as `receive`."""
        body = self._body
        assert body is not None
        while (piece := body.piece()) is None and not body.ended:
            body.feed(await self.stream.read(deadline.within(timeout)))
        return piece

    def abort(self) -> None:
        """End the exchange in progress; callable from any thread."""
        if self._stream is not None:
            self._stream.abort()

    def close(self) -> None:
        """Close the connection at once."""
        if self._stream is not None:
            self._stream.close()
