# Derived from tests/client/_async/test_held.py by `make generate`; do not edit.
"""Answers that stay open: byte streams, and connections that switch to another protocol."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from arker_api.regional.api.service import health

from arker import Arker, ArkerError, RetryPolicy, Timeouts
from arker._http._sync.pipeline import Budget
from arker._http._sync.request import Request
from arker._http._sync.transport import Reply, whole
from arker._io_sync import in_thread, sleep
from arker._sync.gather import gather
from arker.retry import NEVER
from tests.faults.server import CERTIFICATE, KEY

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"


class Peer:
    """A server whose every connection is one of a test's functions, in a thread; and a proxy to it."""

    def __init__(self, *serve: Callable[[Peer, socket.socket], None], tls: bool = False) -> None:
        self._serve = list(serve)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self.ended: list[threading.Event] = []
        self.go_on = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            for serve in self._serve:
                sock, _ = self._listener.accept()
                ended = threading.Event()
                self.ended.append(ended)
                thread = threading.Thread(target=self._run, args=(serve, sock, ended), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _run(
        self, serve: Callable[[Peer, socket.socket], None], sock: socket.socket, ended: threading.Event
    ) -> None:
        sock.settimeout(60)
        with contextlib.suppress(OSError), sock:
            if self._tls:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(CERTIFICATE)
                with context.wrap_socket(sock, server_side=True) as secured:
                    serve(self, secured)
            else:
                serve(self, sock)
        ended.set()

    def head(self, sock: socket.socket) -> bytes:
        """The head of a request."""
        head = b""
        while b"\r\n\r\n" not in head:
            data = sock.recv(1)
            if not data:
                raise OSError
            head += data
        self.requests.append(head)
        return head

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        # Wakes the thread that accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(60)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def echo(peer: Peer, sock: socket.socket) -> None:
    peer.head(sock)
    # Something comes with the head.
    sock.sendall(SWITCH + b"hello")
    while data := sock.recv(1 << 16):
        sock.sendall(data)


def events(peer: Peer, sock: socket.socket) -> None:
    peer.head(sock)
    sock.sendall(HEAD + chunk(b"one"))
    assert peer.go_on.wait(60)
    sock.sendall(chunk(b"two") + b"0\r\n\r\n")
    events(peer, sock)


def client(peer: Peer, **options: object) -> Arker:
    return Arker(KEY, f"http://127.0.0.1:{peer.port}", **{"retry": None, **options})  # type: ignore[arg-type]


def asking(arker: Arker, *, read: float = 60.0, upgrade: bool = False) -> Callable[[], Request]:
    request = arker._pipeline.request(
        "get",
        "/api/v1/local/events",
        Timeouts(),
        control=False,
        repeatable=True,
        headers={"Connection": "Upgrade", "Upgrade": "echo"} if upgrade else None,
        read=read,
    )
    return lambda: request


def hold(arker: Arker, *statuses: int, seconds: float = 60.0, read: float = 60.0) -> Reply:
    return arker._pipeline.hold(
        Budget(NEVER, seconds), asking(arker, read=read, upgrade=101 in statuses), *statuses
    )


def test_pieces_come_as_they_are_sent_and_the_connection_is_used_again() -> None:
    with Peer(events) as peer:
        with client(peer) as arker:
            pool = arker._pipeline._pooled._pools.get()
            for again in range(2):
                with hold(arker, 200) as reply:
                    assert reply.headers["content-type"] == "text/event-stream"
                    assert reply.piece() == b"one"
                    assert len(pool._open) == 1
                    peer.go_on.set()
                    assert reply.piece() == b"two"
                    assert reply.piece() is None
                assert len(peer.requests) == again + 1
                assert sum(len(queue) for queue in pool._idle.values()) == 1


def test_one_that_is_not_read_to_its_end_gives_its_place_away() -> None:
    with Peer(events, events) as peer:
        with client(peer, max_connections=1) as arker:
            for _ in range(2):
                with hold(arker, 200) as reply:
                    assert reply.piece() == b"one"
                # Once more is harmless.
                reply.close()
            peer.go_on.set()
        assert len(peer.requests) == 2


def test_a_held_answer_counts_as_a_connection() -> None:
    with Peer(events) as peer:
        with client(peer, max_connections=1, timeout=Timeouts(pool=0.05)) as arker:
            with hold(arker, 200):
                with pytest.raises(ArkerError, match="all of 1 connections are in use"):
                    arker.vm("arkuntu").fork()
            peer.go_on.set()


def test_the_deadline_ends_with_the_head() -> None:
    with Peer(events) as peer:
        with client(peer) as arker:
            budget = Budget(NEVER, 60)
            with arker._pipeline.hold(budget, asking(arker), 200) as reply:
                # As if a minute had passed.
                budget.deadline.extend(-60)
                peer.go_on.set()
                assert [reply.piece() for _ in range(3)] == [b"one", b"two", None]


def test_a_piece_that_does_not_come_is_a_timeout() -> None:
    with Peer(events) as peer:
        with client(peer) as arker:
            with hold(arker, 200, read=0.1) as reply:
                assert reply.piece() == b"one"
                with pytest.raises(ArkerError, match="timeout: the answer was cut"):
                    reply.piece()
            peer.go_on.set()


def test_an_error_answer_of_a_held_request_is_raised() -> None:
    body = b'{"ok": false, "error": {"code": "not_found", "message": "no such run"}}'

    def refuse(peer: Peer, sock: socket.socket) -> None:
        for status in (b"503 Busy", b"404 Not Found"):
            peer.head(sock)
            sock.sendall(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)

    with Peer(refuse) as peer:
        with client(peer) as arker:
            budget = Budget(RetryPolicy(backoff=0), 60)
            for status in (503, 404):
                with pytest.raises(ArkerError, match="not_found: no such run") as caught:
                    arker._pipeline.hold(budget, asking(arker), 200)
                assert caught.value.status == status


def test_bytes_both_ways_after_a_switch_of_protocols() -> None:
    with Peer(echo) as peer:
        with client(peer, max_connections=1) as arker:
            with hold(arker, 101) as reply:
                stream = reply.upgraded()
                assert stream.read(10) == b"hello"
                with pytest.raises(ArkerError, match="timeout"):
                    stream.read(0.02)
                # It goes on after a timeout.
                stream.write(b"ping", 10)
                assert stream.read(10) == b"ping"
            assert in_thread(peer.ended[0].wait, 30)
            assert len(arker._pipeline._pooled._pools.get()._open) == 0


@pytest.mark.parametrize("tls", [False, True])
def test_closing_ends_a_read_of_another(tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    trusting = ssl.create_default_context(cafile=str(CERTIFICATE))
    monkeypatch.setattr("arker._http._sync.stream.ssl_context", lambda: trusting)
    with Peer(echo, tls=tls) as peer:
        with Arker(KEY, f"http{'s' * tls}://127.0.0.1:{peer.port}", retry=None) as arker:
            reply = hold(arker, 101)
            stream = reply.upgraded()
            assert stream.read(10) == b"hello"

            def read() -> bytes:
                return stream.read(60)

            def close() -> None:
                sleep(0.05)
                if tls:
                    with pytest.raises(ArkerError, match="unsupported_operation: TLS"):
                        stream.send_eof()
                stream.write(b"", 10)
                reply.close()

            started = time.monotonic()
            outcome, closed = gather([read, close], 2)
            assert time.monotonic() - started < 30
            closed.get()
            # Its end, or that it was closed.
            assert outcome.value == b"" or isinstance(outcome.error, ArkerError)
            assert in_thread(peer.ended[0].wait, 30)


def test_a_switch_that_is_refused() -> None:
    def refuse(peer: Peer, sock: socket.socket) -> None:
        peer.head(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with Peer(refuse) as peer:
        with client(peer) as arker:
            with pytest.raises(ArkerError, match="internal: HTTP 200 where 101 was expected"):
                hold(arker, 101)


def test_closing_the_client_ends_what_is_held() -> None:
    with Peer(echo) as peer:
        arker = client(peer)
        reply = hold(arker, 101)
        stream = reply.upgraded()
        assert stream.read(10) == b"hello"
        arker.close()
        assert stream.read(10) == b""
        reply.close()
        assert in_thread(peer.ended[0].wait, 30)


# --- what is not held ---


def test_an_answer_to_head_has_no_body() -> None:
    def length(peer: Peer, sock: socket.socket) -> None:
        for _ in range(2):
            peer.head(sock)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")

    def consume(reply: Reply) -> bytes:
        assert reply.headers["content-length"] == "1000000"
        return whole(reply, 10)

    with Peer(length) as peer:
        with client(peer) as arker:
            request = arker._pipeline.request("head", "/x", Timeouts(), control=False, repeatable=True)
            for _ in range(2):
                assert arker._pipeline.perform(Budget(NEVER, 60), lambda: request, consume) == b""


@pytest.mark.parametrize("status", [200, 400, 502])
def test_a_body_without_end_is_not_read_for_ever(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arker._http._sync.pipeline._LARGEST_ANSWER", 1 << 20)
    monkeypatch.setattr("arker._http._sync.pipeline._LARGEST_ERROR", 1 << 10)
    sent = 0

    def flood(peer: Peer, sock: socket.socket) -> None:
        nonlocal sent
        peer.head(sock)
        sock.sendall(b"HTTP/1.1 %d Reason\r\nTransfer-Encoding: chunked\r\n\r\n" % status)
        while True:
            sock.sendall(chunk(b" " * (1 << 16)))
            sent += 1 << 16

    with Peer(flood) as peer:
        with client(peer) as arker:
            limit = 1 << 20 if status == 200 else 1 << 10
            with pytest.raises(
                ArkerError, match=f"HTTP {status}: the answer is longer than {limit} bytes"
            ) as caught:
                arker.call(health)
            assert caught.value.status == status
            assert caught.value.retryable == (status == 502)
            assert in_thread(peer.ended[0].wait, 30)
    # What the sockets hold comes on top.
    assert sent < 64 << 20


@pytest.fixture
def through(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Peer], Peer]]:
    """A proxy of the environment that tunnels to a peer, whatever host it is asked for."""
    with contextlib.ExitStack() as stack:

        def proxied(peer: Peer) -> Peer:
            def tunnel(proxy: Peer, near: socket.socket) -> None:
                proxy.head(near)
                with socket.create_connection(("127.0.0.1", peer.port)) as far:
                    near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                    back = threading.Thread(target=copy, args=(far, near), daemon=True)
                    back.start()
                    copy(near, far)
                    back.join(60)

            proxy = stack.enter_context(Peer(tunnel))
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
            return proxy

        yield proxied


def copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def test_through_a_proxy(through: Callable[[Peer], Peer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arker._http._sync.transport.is_loopback", lambda host: False)
    with Peer(events, tls=True) as peer:
        proxy = through(peer)
        with (
            Arker(KEY, f"https://127.0.0.1:{peer.port}", retry=None) as arker,
            hold(arker, 200) as reply,
        ):
            assert reply.piece() == b"one"
            peer.go_on.set()
            assert reply.piece() == b"two"
            assert reply.piece() is None
        assert proxy.requests[0].startswith(b"CONNECT ")
        # The key is for the host behind the proxy alone.
        assert KEY.encode() not in proxy.requests[0]
        assert KEY.encode() in peer.requests[0]


def test_bytes_both_ways_through_a_proxy(
    through: Callable[[Peer], Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arker._http._sync.transport.is_loopback", lambda host: False)
    with Peer(echo, tls=True) as peer:
        through(peer)
        with Arker(KEY, f"https://127.0.0.1:{peer.port}", retry=None) as arker:
            with hold(arker, 101) as reply:
                stream = reply.upgraded()
                assert stream.read(10) == b"hello"
                with pytest.raises(ArkerError, match="timeout"):
                    stream.read(0.05)
                stream.write(b"ping", 10)
                assert stream.read(10) == b"ping"
            assert in_thread(peer.ended[0].wait, 30)
