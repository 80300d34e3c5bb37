"""A web server that takes little CPU time, so that benchmarks measure the client.

One thread, one epoll loop, no framework: a request is found by its request line in a table of ready-made
answers, its body is read and dropped. It runs in a process of its own (pinned to a core of its own by the
harness) and speaks to that process's standard streams: it prints its port, answers every line with the
requests and connections since the last line, and ends when standard input closes.

    python -m benchmarks.server '{"cert": null, "delay": 0.05, "rivals": ["arker", "httpx"]}'
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import resource
import select
import socket
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.rivals import RIVALS, Answer

#: Number of bytes of a request's body that a response may depend on.
BODY_HEAD = 256
RECEIVE = 1 << 20
#: Bytes that are sent at once: over TLS, `send` encrypts all of its data, even if the socket takes only a part.
SEND = 1 << 18

#: From the head of the request's body to the parts of the whole response.
Responder = Callable[[bytes], tuple[bytes | memoryview, ...]]


def encoded(answer: Answer) -> tuple[bytes | memoryview, ...]:
    fields = f"Content-Type: {answer.content_type}\r\nContent-Length: {len(answer.body)}"
    head = f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode()
    # A small answer leaves in one segment, a large body is not copied.
    return (head + answer.body,) if len(answer.body) < SEND else (head, memoryview(answer.body))


def routes(rivals: list[str], base_url: str) -> dict[bytes, Responder]:
    """Responses by request line (without the version)."""

    def responder(answer: Answer | Callable[[bytes], Answer]) -> Responder:
        if callable(answer):
            return lambda head: encoded(answer(head))
        parts = encoded(answer)
        return lambda head: parts

    return {
        request.encode(): responder(answer)
        for rival in rivals
        for request, answer in RIVALS[rival].answers(base_url).items()
    }


def not_found(_body: bytes) -> tuple[bytes]:
    return (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",)


class Connection:
    """One client's connection, and how far it has read a request or sent a response."""

    __slots__ = ("body_head", "chunked", "handshaken", "head", "missing", "out", "responder", "sock", "tail")

    def __init__(self, sock: socket.socket, *, tls: bool) -> None:
        self.sock = sock
        self.handshaken = not tls
        self.head = b""
        self.responder: Responder | None = None  # set while a request's body is being read
        self.body_head = b""
        self.missing = 0
        self.chunked = False
        self.tail = b""
        self.out: list[memoryview] = []


class Server:
    def __init__(self, tls: ssl.SSLContext | None, delay: float) -> None:
        self.tls, self.delay = tls, delay
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        self.epoll = select.epoll()
        self.epoll.register(self.listener, select.EPOLLIN)
        self.connections: dict[int, Connection] = {}
        self.delayed: collections.deque[tuple[float, Connection]] = collections.deque()
        self.buffer = memoryview(bytearray(RECEIVE))
        self.routes: dict[bytes, Responder] = {}
        self.requests = self.accepted = 0

    def serve(self) -> None:
        """Serve until standard input closes."""
        control = sys.stdin.fileno()
        self.epoll.register(control, select.EPOLLIN)
        while True:
            for fd, _ in self.epoll.poll(self.next_due()):
                if fd == self.listener.fileno():
                    self.accept()
                elif fd == control:
                    if not os.read(control, 1 << 10):
                        return
                    print(json.dumps({"requests": self.requests, "connections": self.accepted}), flush=True)
                    self.requests = self.accepted = 0
                elif (connection := self.connections.get(fd)) is not None:
                    try:
                        self.step(connection)
                    except (ssl.SSLWantReadError, BlockingIOError):
                        self.epoll.modify(fd, select.EPOLLIN)
                    except ssl.SSLWantWriteError:
                        self.epoll.modify(fd, select.EPOLLOUT)
                    except (OSError, EOFError):
                        self.close(connection)
            now = time.monotonic()
            while self.delayed and self.delayed[0][0] <= now:
                connection = self.delayed.popleft()[1]
                if connection.sock.fileno() in self.connections:
                    with contextlib.suppress(OSError):
                        self.send(connection)

    def next_due(self) -> float:
        return max(0.0, self.delayed[0][0] - time.monotonic()) if self.delayed else -1

    def accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self.listener.accept()
                self.accepted += 1
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self.tls is not None:
                    sock = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                self.connections[sock.fileno()] = Connection(sock, tls=self.tls is not None)
                self.epoll.register(sock, select.EPOLLIN)

    def close(self, connection: Connection) -> None:
        fd = connection.sock.fileno()
        self.epoll.unregister(fd)
        del self.connections[fd]
        connection.sock.close()

    def step(self, connection: Connection) -> None:
        """Read or write, as the connection is ready."""
        if not connection.handshaken:
            connection.sock.do_handshake()  # type: ignore[attr-defined]
            connection.handshaken = True
        if connection.out:
            self.send(connection)
            return
        received = connection.sock.recv_into(self.buffer)
        if not received:
            raise EOFError
        if connection.responder is None:
            data = connection.head + bytes(self.buffer[:received])
            head, end, rest = data.partition(b"\r\n\r\n")
            if not end:
                connection.head = data
                return
            connection.head = b""
            self.begin(connection, head, rest)
        else:
            piece = self.buffer[:received]
            if len(connection.body_head) < BODY_HEAD:
                connection.body_head += bytes(piece[:BODY_HEAD])
            connection.missing -= received
            connection.tail = connection.tail[-4:] + bytes(piece[-5:])
            self.finish(connection)

    def begin(self, connection: Connection, head: bytes, body: bytes) -> None:
        line, _, headers = head.partition(b"\r\n")
        target = line.partition(b"?")[0].removesuffix(b" HTTP/1.1")
        headers = headers.lower()
        connection.responder = self.routes.get(target, not_found)
        connection.body_head = body[:BODY_HEAD]
        connection.chunked = b"transfer-encoding: chunked" in headers
        _, _, length = headers.partition(b"content-length:")
        connection.missing = int(length.partition(b"\r\n")[0]) - len(body) if length else 0
        connection.tail = body[-5:]
        self.finish(connection)

    def finish(self, connection: Connection) -> None:
        """Respond, if the request's body is complete."""
        # The data that the benchmarks send never contains the end mark of a chunked body.
        if connection.missing > 0 or (connection.chunked and not connection.tail.endswith(b"0\r\n\r\n")):
            return
        assert connection.responder is not None
        self.requests += 1
        connection.out = [memoryview(part) for part in connection.responder(connection.body_head)]
        connection.responder = None
        if self.delay:
            self.delayed.append((time.monotonic() + self.delay, connection))
        else:
            self.send(connection)

    def send(self, connection: Connection) -> None:
        fd = connection.sock.fileno()
        try:
            while connection.out:
                part = connection.out[0]
                sent = connection.sock.send(part[:SEND])
                if sent == len(part):
                    del connection.out[0]
                else:
                    connection.out[0] = part[sent:]
                    if not isinstance(connection.sock, ssl.SSLSocket) and sent < SEND:
                        raise BlockingIOError
        except (BlockingIOError, ssl.SSLWantWriteError):
            self.epoll.modify(fd, select.EPOLLOUT)
        else:
            self.epoll.modify(fd, select.EPOLLIN)


def main() -> None:
    options = json.loads(sys.argv[1])
    tls = None
    if options["cert"]:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(Path(options["cert"]))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    server = Server(tls, options["delay"])
    base_url = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"
    server.routes = routes(options["rivals"], base_url)
    print(base_url, flush=True)
    server.serve()


if __name__ == "__main__":
    main()
