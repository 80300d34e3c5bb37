"""HTTP/1.1 connections: uvicorn's, with limits on everything but bodies, and errors in the contract's format."""

from __future__ import annotations

import asyncio
import secrets
from typing import ClassVar, Final

import httptools
from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from arker.local.service.access import Principal
from arker.local.service.errors import ApiError

from .bounds import Bounds
from .errors import error_body
from .upgrades import TAKEN, UPGRADE, Headers, Upgraded

#: Maximum bytes of the request line and headers; and the seconds within which they have to arrive.
MAX_HEAD: Final = 64 * 1024
HEAD_WAIT: Final = 30.0


class Connection(HttpToolsProtocol):
    """A connection of a client; `bounded` makes the class for a deployment."""

    bounds: ClassVar[Bounds]
    headers: list[tuple[bytes, bytes]]
    _head = 0  # bytes since the last body data, end of head or end of request
    _head_timer: asyncio.TimerHandle | None = None
    _in_head = True
    _in_request = False
    _upgraded: Upgraded | None = None
    #: Bytes after a head that asks for an upgrade; None before there is one.
    _early: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(transport)
        self._wait_for_head()
        self.bounds.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._head_arrived()
        self.bounds.closed(self)
        if self._upgraded is not None:
            self._upgraded.end(lost=True)
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more data; after an upgrade, data may still be sent to it."""
        if self._upgraded is not None:
            self._upgraded.end(lost=False)
        return self._upgraded is not None

    def data_received(self, data: bytes) -> None:
        """Parse received bytes; limit those that are not part of a body."""
        if self._upgraded is not None:
            self._upgraded.feed(data)
            return
        self._head += len(data)
        self._parse(data)
        if self.transport.is_closing():
            return
        if self._head > MAX_HEAD:
            if self._in_head:
                self.send_400_response(f"the line and headers of a request have at most {MAX_HEAD} bytes")
            else:
                # Trailers, chunk extensions or blank lines: an answer may already have been started.
                self.transport.close()
        elif self._in_head:
            self.bounds.head(self, self._head)
            if self._head_timer is None:
                self._wait_for_head()

    def _parse(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._early is not None:
            # The parser takes no more data, and no route has taken the connection over yet; the route will read these
            # bytes.
            self._early += data
            self.flow.pause_reading()
            return
        assert self.parser is not None  # before connection_lost
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as end:
            self._early = data[end.args[0] :]
            # Unless a route takes the connection over, these bytes are not a next request.
            self.cycle.keep_alive = False
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    async def _take_over(self, headers: Headers) -> Upgraded:
        """Answer 101; from then on the connection is not HTTP."""
        cycle = self.cycle
        await cycle.flow.drain()
        if cycle.response_started or cycle.disconnected or self.transport.is_closing():
            raise ConnectionResetError("the client is gone")
        cycle.response_started = cycle.response_complete = True
        cycle.scope[TAKEN] = True  # type: ignore[typeddict-unknown-key]
        head = [b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n"]
        head += [name + b": " + value + b"\r\n" for name, value in headers]
        self.transport.write(b"".join([*head, b"\r\n"]))
        self._upgraded = Upgraded(self.transport, self.flow, self._early or b"")
        self.flow.resume_reading()
        return self._upgraded

    def on_message_begin(self) -> None:
        """Start a head."""
        self._in_head = self._in_request = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._in_head = False
        self._head = 0
        self._head_arrived()
        self.bounds.busy(self)
        assert self.parser is not None  # the parser calls this method
        if self.parser.should_upgrade():
            self.scope[UPGRADE] = self._take_over  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()
        # Proxies in front of this deployment do not check trailers, so they must not count as headers.
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """Pass on bytes of a body; they are limited elsewhere."""
        self._head = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._in_request = False
        self._head = 0
        self._head_arrived()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The request is answered."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self.bounds.waits(self, keyed=bool(self._whose()))
        if self._in_request and self._head_timer is None and not self.transport.is_closing():
            # Answered before the request was complete: the rest has to arrive within the time for a head.
            self._wait_for_head()

    def pause_writing(self) -> None:
        """The client reads more slowly than the answer is sent."""
        super().pause_writing()
        self.bounds.stuck(self, self._whose(), self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self.bounds.moves(self)

    def give_up(self) -> None:
        """Close the connection at once, because others need its resources."""
        self.transport.abort()

    def _whose(self) -> str:
        """Return the organization of the last request; empty without a valid key."""
        who: Principal | None = self.cycle.scope.get("arker.who")  # type: ignore[assignment]
        return "" if who is None else who.org_id

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
        """Answer malformed HTTP with the JSON error envelope."""
        request_id = secrets.token_hex(8)
        message = "this is not a well-formed HTTP request" if msg.startswith("Invalid") else msg
        scope = {"type": "http", "method": "GET", "headers": [], "arker.id": request_id}
        body = to_json(error_body(ApiError("bad_request", message), scope))
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
            f"x-request-id: {request_id}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def bounded(sums: Bounds) -> type[Connection]:
    """Return a class of connections that share limits."""

    class Bound(Connection):
        bounds = sums

    return Bound
