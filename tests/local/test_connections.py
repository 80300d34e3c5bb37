"""One connection of a client: what is written to it, and when it is closed."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any, cast

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from arker.local.http.answers import Answer
from arker.local.http.bodies import ARRIVED
from arker.local.http.bounds import Bounds
from arker.local.http.connections import Connection, bounded

GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"
KEEP_ALIVE = 100


class Timer:
    """A timer of `Clock`."""

    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at = at
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """The event loop of a test, with a clock that the test advances."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[..., None], *args: Any) -> Timer:
        self.timers.append(Timer(self.now + delay, lambda: call(*args)))
        return self.timers[-1]

    def create_task(self, work: Any) -> asyncio.Task[None]:
        return asyncio.create_task(work)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self.timers if not timer.cancelled and timer.at <= end]:
            first = min(due, key=lambda timer: timer.at)
            self.timers.remove(first)
            self.now = first.at
            first.call()
        self.now = end


class Transport(asyncio.Transport):
    """A socket that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """An app whose answer to each request is its path."""
    await Answer(scope["path"].encode())(scope, receive, send)


class Peer:
    """A connection to an app, and its other side."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Any] = answer) -> None:
        self.clock = Clock()
        self.transport = Transport()
        config = uvicorn.Config(
            app,
            http=bounded(Bounds(10)),
            ws="none",
            lifespan="off",
            log_config=None,
            timeout_keep_alive=KEEP_ALIVE,
        )
        config.load()
        self.state = ServerState()
        self.connection = cast("type[Connection]", config.http_protocol_class)(
            config, self.state, {}, _loop=cast("asyncio.AbstractEventLoop", self.clock)
        )
        self.connection.connection_made(self.transport)

    async def send(self, data: bytes) -> list[bytes]:
        """Send `data`; what was written in answer to it, once all requests are answered."""
        before = len(self.transport.written)
        self.connection.data_received(data)
        while self.state.tasks:
            await asyncio.wait(set(self.state.tasks))
        return self.transport.written[before:]


async def test_a_short_answer_is_written_as_one_piece() -> None:
    (written,) = await Peer().send(GET % b"one")
    assert written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert written.endswith(b"content-length: 4\r\n\r\n/one")


async def test_the_head_of_other_answers_does_not_wait_for_their_body() -> None:
    going_on = asyncio.Event()

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
        await going_on.wait()
        await send({"type": "http.response.body", "body": b"x"})

    peer = Peer(late)
    sending = asyncio.create_task(peer.send(GET % b""))
    while not peer.transport.written:
        await asyncio.sleep(0)
    assert peer.transport.written[0].endswith(b"\r\n\r\n")
    going_on.set()
    assert (await sending)[1:] == [b"x"]


async def test_a_large_body_is_not_copied_for_its_head() -> None:
    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await Answer(b"x" * 100_000)(scope, receive, send)

    head, body = await Peer(large).send(GET % b"")
    assert head.endswith(b"\r\n\r\n")
    assert body == b"x" * 100_000


async def test_requests_that_come_together_are_answered_in_their_order() -> None:
    written = await Peer().send(GET % b"one" + GET % b"two" + GET % b"three")
    assert [piece.rpartition(b"\r\n")[2] for piece in written] == [b"/one", b"/two", b"/three"]


async def test_the_answer_to_head_has_no_body() -> None:
    (written,) = await Peer().send(b"HEAD /one HTTP/1.1\r\nHost: x\r\n\r\n")
    assert written.endswith(b"content-length: 4\r\n\r\n")


@pytest.mark.parametrize("head", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"])
async def test_a_connection_that_is_not_kept_is_closed_after_the_answer(head: bytes) -> None:
    peer = Peer()
    (written,) = await peer.send(head)
    assert b"\r\nconnection: close\r\n" in written
    assert peer.transport.closed


async def test_a_body_of_unknown_size_is_sent_in_chunks() -> None:
    async def pieces(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    head, *body = await Peer(pieces).send(GET % b"")
    assert b"transfer-encoding: chunked\r\n" in head
    assert body == [b"3\r\none\r\n", b"0\r\n\r\n"]


async def test_a_connection_is_closed_if_one_of_several_headers_says_so() -> None:
    async def closing(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"connection", b"close"), (b"connection", b"x"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    peer = Peer(closing)
    await peer.send(GET % b"")
    assert peer.transport.closed


@pytest.mark.parametrize("size", [0, 2], ids=["shorter", "longer"])
async def test_a_body_of_another_size_than_was_said_breaks_the_connection_off(
    size: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def wrong(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
        await send({"type": "http.response.body", "body": b"x" * size})

    peer = Peer(wrong)
    await peer.send(GET % b"")
    assert peer.transport.closed
    assert "Content-Length" in caplog.text


@pytest.mark.parametrize("header", [(b"a", b"b\r\nc: d"), (b"a b", b"c")], ids=["value", "name"])
async def test_a_header_that_would_be_another_is_not_sent(
    header: tuple[bytes, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    async def split(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [header]})

    peer = Peer(split)
    assert await peer.send(GET % b"") == []
    assert peer.transport.closed
    assert "header" in caplog.text


async def test_a_body_that_has_arrived_is_read_at_once_and_one_that_has_not_is_waited_for() -> None:
    found: list[bytes | None] = []

    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(scope[ARRIVED]())
        if found[-1] is None:
            found.append((await receive())["body"])
        await Answer(b"")(scope, receive, send)

    peer = Peer(reading)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"
    await peer.send(head + b"one")
    assert found == [b"one"]
    sending = asyncio.create_task(peer.send(head))
    while len(found) < 2:
        await asyncio.sleep(0)
    peer.connection.data_received(b"two")
    await sending
    assert found[1:] == [None, b"two"]


async def test_who_waits_to_send_a_body_is_told_to_go_on() -> None:
    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope[ARRIVED]() is None
        await Answer((await receive())["body"])(scope, receive, send)

    peer = Peer(reading)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    sending = asyncio.create_task(peer.send(head))
    while not peer.transport.written:
        await asyncio.sleep(0)
    peer.connection.data_received(b"one")
    first, last = await sending
    assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert last.endswith(b"\r\n\r\none")


async def test_an_answered_request_is_not_left_to_the_garbage_collector() -> None:
    requests: list[weakref.ref[Any]] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        requests.append(weakref.ref(scope[ARRIVED].__self__))
        await answer(scope, receive, send)

    peer = Peer(noting)
    gc.disable()
    try:
        await peer.send(GET % b"" + GET % b"")
        # The connection still has the last one.
        assert [request() is None for request in requests] == [True, False]
    finally:
        gc.enable()


async def test_a_connection_is_closed_when_it_has_been_idle_for_long_enough() -> None:
    peer = Peer()
    await peer.send(GET % b"")
    peer.clock.advance(KEEP_ALIVE - 1)
    assert not peer.transport.closed
    await peer.send(GET % b"")
    peer.clock.advance(KEEP_ALIVE - 1)
    assert not peer.transport.closed
    peer.clock.advance(1)
    assert peer.transport.closed


async def test_a_connection_is_not_idle_during_a_request() -> None:
    going_on = asyncio.Event()

    async def long(scope: Scope, receive: Receive, send: Send) -> None:
        await going_on.wait()
        await answer(scope, receive, send)

    peer = Peer(long)
    going_on.set()
    await peer.send(GET % b"")
    going_on.clear()
    sending = asyncio.create_task(peer.send(GET % b""))
    await asyncio.sleep(0)
    peer.clock.advance(10 * KEEP_ALIVE)
    assert not peer.transport.closed
    going_on.set()
    await sending
    peer.clock.advance(KEEP_ALIVE)
    assert peer.transport.closed
