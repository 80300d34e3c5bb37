"""One request to a server in a computer, and its response. What the server sends is checked, as a guest may send
anything."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from typing import Final

import httptools
from starlette.requests import ClientDisconnect, Request

from arker.local.service.ports import ByteStream

from .upgrades import Turn

Headers = list[tuple[bytes, bytes]]

#: Bytes to read at a time.
READ: Final = 1 << 18
#: Maximum bytes of a response without data of its body: heads, chunk extensions, trailers.
_HEAD: Final = 64 * 1024
#: Maximum number of informational responses (100 to 199) before the response.
_INFORMATIONAL: Final = 16
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class ResponseError(Exception):
    """The server sent no valid response."""


class Exchange:
    """One request and its response on a connection to a server.

    Args:
        stream: the connection.
        method: of the request.
        path: of the request, with the query.
        headers: of the request; `transfer-encoding: chunked` among them if its body is sent in chunks.
    """

    def __init__(self, stream: ByteStream, method: str, path: bytes, headers: Headers) -> None:
        self._stream = stream
        self._method = method
        self._chunked = (b"transfer-encoding", b"chunked") in headers
        lines = [b"%s %s HTTP/1.1\r\n" % (method.encode(), path)]
        lines += [b"%s: %s\r\n" % header for header in headers]
        self._request = b"".join([*lines, b"\r\n"])
        #: Status and headers of the response, once its head has arrived. Names are lowercase.
        self.status: int = 0
        self.headers: Headers = []
        #: Bytes received after a 101.
        self.beyond: bytes = b""
        self._parser = httptools.HttpResponseParser(self)
        self._has_head = False
        self._complete = False
        self._informational = 0
        #: Bytes received since the last data of the body.
        self._bare = 0
        self._data: list[bytes] = []
        #: Whether the response says where its body ends; else the end of the connection does.
        self._delimited = False
        # What is passed on is written anew, so it does not matter here.
        self._parser.set_dangerous_leniencies(
            lenient_chunked_length=True, lenient_optional_cr_before_lf=True, lenient_data_after_close=True
        )

    async def ask(self) -> None:
        """Send the head of the request. Raises OSError."""
        await self._stream.send(self._request)

    async def send_body(self, request: Request) -> None:
        """Send the body of the request. A server may respond before it has read all; errors show in its response."""
        with contextlib.suppress(OSError, ClientDisconnect):
            async for piece in request.stream():
                if piece:
                    await self._stream.send(b"%x\r\n%s\r\n" % (len(piece), piece) if self._chunked else piece)
            if self._chunked:
                await self._stream.send(b"0\r\n\r\n")

    async def head(self) -> None:
        """Receive the head of the response, which may be a 101. Raises OSError, ResponseError."""
        while not self._has_head:
            if not await self._receive():
                raise ResponseError("it closed the connection")
        if self.status > 599:
            raise ResponseError(f"{self.status} is no status")
        if any(_CONTROL.search(value) for _, value in self.headers):
            raise ResponseError("one of its headers contains control characters")
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings not in ([], [b"chunked"]):
            raise ResponseError("its transfer coding is not known")
        length = any(name == b"content-length" for name, _ in self.headers)
        self._delimited = bool(codings) or length
        if codings or self.status in (204, 304):
            # The chunks count, if both are there (RFC 9112, section 6.3). A 304 has the length of another response.
            self.headers = [header for header in self.headers if header[0] != b"content-length"]

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the pieces of the response's body. Raises OSError, ResponseError."""
        turn = Turn()
        if self._method == "HEAD":
            return
        while True:
            data, self._data = self._data, []
            for piece in data:
                yield piece
            if self._complete:
                return
            if not await self._receive():
                if self._delimited:
                    raise ResponseError("it closed the connection before the end")
                return
            await turn.may_end()

    async def _receive(self) -> bool:
        """Receive and parse some bytes; return False at the end of the connection."""
        data = await self._stream.receive(READ)
        if not data:
            return False
        self._bare += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as end:
            self.beyond = data[end.args[0] :]
        except httptools.HttpParserError as error:
            # What follows the response does not matter.
            if not self._complete:
                raise ResponseError(str(error)) from None
        if self._informational > _INFORMATIONAL:
            raise ResponseError("it sent too many informational responses")
        if self._bare > _HEAD and not self._complete:
            raise ResponseError("its headers are too large")
        return True

    # Called by the parser

    def on_message_begin(self) -> None:
        """Begin a response; after an informational one, the next."""
        if not self._has_head:
            self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; those of a trailer are ignored."""
        if not self._has_head:
            self.headers.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        """The head is complete."""
        if not self._has_head:
            self.status = self._parser.get_status_code()
            self._has_head = self.status >= 200 or self._parser.should_upgrade()
            self._informational += not self._has_head

    def on_body(self, data: bytes) -> None:
        """Add data of the body."""
        if not self._complete:
            self._bare = 0
            self._data.append(data)

    def on_message_complete(self) -> None:
        """The response is complete."""
        self._complete = self._has_head
