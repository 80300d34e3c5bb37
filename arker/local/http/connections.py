"""HTTP/1.1 connections: uvicorn's, with limits on everything but bodies, and errors in the contract's format."""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import Any, ClassVar, Final
from urllib.parse import unquote

import httptools
from pydantic_core import to_json
from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from arker.local.service.access import Principal
from arker.local.service.errors import ApiError

from .answers import FOLLOWED
from .bodies import ARRIVED
from .bounds import Bounds
from .errors import error_body
from .upgrades import TAKEN, UPGRADE, Headers, Upgraded

#: Maximum bytes of the request line and headers; and the seconds within which they have to arrive.
MAX_HEAD: Final = 64 * 1024
HEAD_WAIT: Final = 30.0
#: Size in bytes above which the first piece of a body is not written together with the head.
_LARGE: Final = 64 * 1024
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Cycle(RequestResponseCycle):
    """A request and its response. Unlike uvicorn's, it sends a short response as one piece, for which the client wakes
    up once."""

    body: bytearray
    #: Bytes of the body that are still to be sent.
    expected_content_length: int
    chunked_encoding: bool | None
    #: The rendered head, until its body follows.
    _head = b""

    def arrived(self) -> bytearray | None:
        """Return the whole body; None if it has not arrived."""
        if self.more_body or self.disconnected:
            return None
        body, self.body = self.body, bytearray()
        self.message_event.clear()
        self.flow.resume_reading()
        return body

    async def send(self, message: Message) -> None:  # type: ignore[override]
        """Send a part of the response."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            head = self._begin(message)
            if FOLLOWED in message:
                self._head = head
            else:
                self.transport.write(head)
        elif self.response_complete:
            raise RuntimeError("the response is complete")
        else:
            self._continue(message.get("body", b""), more=message.get("more_body", False))

    def _begin(self, message: Message) -> bytes:
        """Return the head of the response."""
        self.response_started = True
        self.waiting_for_100_continue = False
        status: int = message["status"]
        lines = [STATUS_LINE[status]]
        closes = False
        for name, value in (*self.default_headers, *message.get("headers", ())):
            if not _NAME.fullmatch(name) or _CONTROL.search(value):
                raise RuntimeError(f"a header cannot be sent: {name!r}")
            name = name.lower()
            if name == b"content-length" and self.chunked_encoding is None:
                self.expected_content_length = int(value)
                self.chunked_encoding = False
            elif name == b"transfer-encoding" and value.lower() == b"chunked":
                self.expected_content_length = 0
                self.chunked_encoding = True
            elif name == b"connection":
                closes = closes or b"close" in [token.strip().lower() for token in value.split(b",")]
            lines.append(b"%b: %b\r\n" % (name, value))
        if closes:
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close\r\n")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in (204, 304):
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)

    def _continue(self, body: bytes | memoryview, *, more: bool) -> None:
        """Send a piece of the body."""
        parts: list[bytes | memoryview] = []
        if self._head:
            if len(body) > _LARGE:
                self.transport.write(self._head)  # joining would copy the body
            else:
                parts.append(self._head)
            self._head = b""
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
        elif self.chunked_encoding:
            if body:
                parts += [b"%x\r\n" % len(body), body, b"\r\n"]
            if not more:
                parts.append(b"0\r\n\r\n")
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("the body is longer than its Content-Length")
            if body:
                parts.append(body)
        if parts:
            self.transport.write(parts[0] if len(parts) == 1 else b"".join(parts))
        if not more:
            if self.expected_content_length:
                raise RuntimeError("the body is shorter than its Content-Length")
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()


class Connection(HttpToolsProtocol):
    """A connection of a client; `bounded` makes the class for a deployment."""

    bounds: ClassVar[Bounds]
    cycle: RequestResponseCycle
    headers: list[tuple[bytes, bytes]]
    _head = 0  # bytes since the last body data, end of head or end of request
    _head_timer: asyncio.TimerHandle | None = None
    _in_head = True
    _in_request = False
    #: When the last response was complete, by the clock of the loop; None once more bytes have arrived.
    _idle_since: float | None = None
    _upgraded: Upgraded | None = None
    #: Bytes after a head that asks for an upgrade; None before there is one.
    _early: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(transport)
        self._wait_for_head()
        self.bounds.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self._head_arrived()
        self._unset_keepalive_if_required()
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
        self._idle_since = None
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
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """The head is complete: begin to answer, once the requests before are answered."""
        self._in_head = False
        self._head = 0
        self._head_arrived()
        self.bounds.busy(self)
        parser = self.parser
        assert parser is not None  # it calls this method
        version = parser.get_http_version()
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": "http",
            "root_path": "",
            "headers": self.headers,
            "method": parser.get_method().decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "raw_path": url.path,
            "query_string": url.query or b"",
        }
        if parser.should_upgrade():
            scope[UPGRADE] = self._take_over
        before = self.cycle
        cycle = self.cycle = Cycle(
            scope=scope,  # type: ignore[arg-type]
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        scope[ARRIVED] = cycle.arrived
        app: Any = self.app
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))
        # Proxies in front of this deployment do not check trailers, so they must not count as headers.
        self.headers = []

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.tasks.add(self.loop.create_task(self._answer(cycle, app)))

    async def _answer(self, cycle: RequestResponseCycle, app: Any) -> None:
        try:
            await cycle.run_asgi(app)
        finally:
            # Not in a callback, which would take another turn of the loop.
            task = asyncio.current_task()
            assert task is not None
            self.tasks.discard(task)
            # It refers to the cycle, which refers to the scope: both would be left to the garbage collector.
            del cycle.scope[ARRIVED]  # type: ignore[typeddict-item]

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
        """The request is answered: begin with the next one, if it is there already."""
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
            else:
                self._idle_since = self.loop.time()
                if self.timeout_keep_alive_task is None:
                    self._close_if_idle_in(self.timeout_keep_alive)
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

    def _close_if_idle_in(self, seconds: float) -> None:
        # It runs on during the next requests: a timer for each would take more time.
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been idle for long enough."""
        self.timeout_keep_alive_task = None
        if self._idle_since is None:
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._close_if_idle_in(left)
        elif not self.transport.is_closing():
            self.transport.close()

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
