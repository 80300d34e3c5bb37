"""HTTP/1.1 connections: uvicorn's, with bounds on all that is not body, and errors that speak the contract."""

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

#: Bytes of a request's line and headers at the most, and seconds within which they have to come.
MAX_HEAD: Final = 64 * 1024
HEAD_WAIT: Final = 30.0


class Connection(HttpToolsProtocol):
    """A connection of a client; `bounded` makes the class for a deployment."""

    bounds: ClassVar[Bounds]
    _head = 0  # bytes since the last that were of a body, or ended a head or a request
    _head_timer: asyncio.TimerHandle | None = None
    _in_head = True
    _in_request = False
    _upgraded: Upgraded | None = None
    #: What came beyond a head that asks for an upgrade, once there is one.
    _early: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(transport)
        self._wait_for_head()
        self.bounds.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the timer."""
        self._head_arrived()
        self.bounds.closed(self)
        if self._upgraded is not None:
            self._upgraded.end(lost=True)
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more; after an upgrade it may still be sent to."""
        if self._upgraded is not None:
            self._upgraded.end(lost=False)
        return self._upgraded is not None

    def data_received(self, data: bytes) -> None:
        """Take bytes, as long as what is not body has its bound."""
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
                # Trailers, extensions of a chunk, blank lines: perhaps an answer is on its way already.
                self.transport.close()
        elif self._in_head:
            self.bounds.head(self, self._head)
            if self._head_timer is None:
                self._wait_for_head()

    def _parse(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._early is not None:
            # The parser takes no more, and nobody the connection yet: whoever does, reads what came.
            self._early += data
            self.flow.pause_reading()
            return
        assert self.parser is not None  # before connection_lost
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as end:
            self._early = data[end.args[0] :]
            # Unless somebody takes the connection over, there is no next request to be found in it.
            self.cycle.keep_alive = False
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    async def _take_over(self, headers: Headers) -> Upgraded:
        """Answer 101; the connection is no longer HTTP's."""
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
        self.bounds.busy(self)
        assert self.parser is not None  # it is what calls
        if self.parser.should_upgrade():
            self.scope[UPGRADE] = self._take_over  # type: ignore[typeddict-unknown-key]
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
        if self.cycle.response_complete:
            self.bounds.waits(self, keyed=bool(self._whose()))
        if self._in_request and self._head_timer is None and not self.transport.is_closing():
            # Answered before the request had ended: its rest has as long to come as a head.
            self._wait_for_head()

    def pause_writing(self) -> None:
        """The client does not read as fast as it is sent to."""
        super().pause_writing()
        self.bounds.stuck(self, self._whose(), self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """It reads on."""
        super().resume_writing()
        self.bounds.moves(self)

    def give_up(self) -> None:
        """End it at once: others need what it takes."""
        self.transport.abort()

    def _whose(self) -> str:
        """The organization whose key the last request had; empty without a valid one."""
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
        """Malformed HTTP gets the JSON error envelope, too."""
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
    """The class of connections that share bounds."""

    class Bound(Connection):
        bounds = sums

    return Bound
