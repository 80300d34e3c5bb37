"""HTTP/1.1 connections: uvicorn's, with bounds on all that is not body, and errors that speak the contract."""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from arker.local.service.errors import ApiError

from .errors import error_body

#: Bytes of a request's line and headers at the most, and seconds within which they have to come.
MAX_HEAD: Final = 64 * 1024
HEAD_WAIT: Final = 30.0


class Connection(HttpToolsProtocol):
    """A connection of a client."""

    _head = 0  # bytes since the last that were of a body, or ended a head or a request
    _head_timer: asyncio.TimerHandle | None = None
    _in_head = True
    _in_request = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the timer."""
        self._head_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, as long as what is not body has its bound."""
        self._head += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._head > MAX_HEAD:
            if self._in_head:
                self.send_400_response(f"the line and headers of a request have at most {MAX_HEAD} bytes")
            else:
                # Trailers, extensions of a chunk, blank lines: perhaps an answer is on its way already.
                self.transport.close()
        elif self._in_head and self._head_timer is None:
            self._wait_for_head()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = self._in_request = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of the head, not of a trailer."""
        # A trailer is no header: whatever stands before this deployment has not looked at it.
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head has arrived."""
        self._in_head = False
        self._head = 0
        self._head_arrived()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Bytes of a body are bounded elsewhere."""
        self._head = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request has arrived."""
        self._in_request = False
        self._head = 0
        self._head_arrived()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The request is answered."""
        super().on_response_complete()
        if self._in_request and self._head_timer is None and not self.transport.is_closing():
            # Answered before the request had ended: its rest has as long to come as a head.
            self._wait_for_head()

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_WAIT, self._head_is_late)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Malformed HTTP gets the JSON error envelope, too."""
        request_id = secrets.token_hex(8)
        message = "this is not a well-formed HTTP request" if msg.startswith("Invalid") else msg
        body = error_body(ApiError("bad_request", message), request_id)
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
            f"x-request-id: {request_id}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
