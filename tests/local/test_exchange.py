"""What servers in computers respond, and what of it is passed on."""

from __future__ import annotations

import pytest

from arker.local.http.exchange import Exchange, ResponseError


class Server:
    """A `ByteStream` of a server that sends these pieces, and closes the connection."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.sent = b""

    async def receive(self, size: int = 65536) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    async def send(self, data: bytes) -> None:
        self.sent += data

    async def send_eof(self) -> None: ...

    async def close(self) -> None: ...


async def answer(server: Server, method: str = "GET") -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    exchange = Exchange(server, method, b"/", [(b"host", b"x")])
    await exchange.ask()
    await exchange.head()
    return exchange.status, exchange.headers, b"".join([piece async for piece in exchange.body()])


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("response", "headers", "body"),
    [
        (OK + b"Content-Length: 3\r\nA:  b \r\n\r\nabc", [(b"content-length", b"3"), (b"a", b"b")], b"abc"),
        (OK + b"Connection: close\r\n\r\nabc", [(b"connection", b"close")], b"abc"),
        (OK + b"\r\n", [], b""),
        (b"HTTP/1.1 200 OK\nA: b\n\nabc", [(b"a", b"b")], b"abc"),
        (b"HTTP/1.0 200\r\n\r\nabc", [], b"abc"),
        (
            b"HTTP/1.1 100 C\r\nX: y\r\n\r\nHTTP/1.1 103 E\r\n\r\n" + OK + b"A: b\r\n\r\nx",
            [(b"a", b"b")],
            b"x",
        ),
        (
            OK + b"Content-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nB: c\r\n\r\n",
            [(b"content-length", b"3")],
            b"abc",
        ),
        (OK + b"Content-Length: 0\r\n\r\n", [(b"content-length", b"0")], b""),
        (
            OK + b"Transfer-Encoding: Chunked\r\n\r\n2;a=b\r\nab\r\n1\r\nc\r\n0\r\nT: x\r\n\r\n",
            [(b"transfer-encoding", b"Chunked")],
            b"abc",
        ),
        (
            OK + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            [(b"transfer-encoding", b"chunked")],
            b"abc",
        ),
    ],
)
async def test_a_response_is_passed_on(
    response: bytes, headers: list[tuple[bytes, bytes]], body: bytes, together: bool
) -> None:
    pieces = [response] if together else [response[at : at + 1] for at in range(len(response))]
    server = Server(*pieces)
    assert await answer(server) == (200, headers, body)
    assert server.sent == b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.mark.parametrize("status", [204, 304])
async def test_a_response_without_a_body_has_no_length(status: int) -> None:
    server = Server(b"HTTP/1.1 %d X\r\nContent-Length: 5\r\nETag: 1\r\n\r\n" % status)
    assert await answer(server) == (status, [(b"etag", b"1")], b"")


async def test_a_response_to_head_has_a_length_and_no_body() -> None:
    server = Server(OK + b"Content-Length: 5\r\n\r\n")
    assert await answer(server, "HEAD") == (200, [(b"content-length", b"5")], b"")


async def test_a_protocol_switch_keeps_what_comes_with_it() -> None:
    server = Server(b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nearly")
    exchange = Exchange(server, "GET", b"/", [])
    await exchange.head()
    assert (exchange.status, exchange.beyond) == (101, b"early")


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"HTTP/1.1 200",),
        (b"SSH-2.0-OpenSSH\r\n",),
        (b"HTTP/1.1 999 X\r\n\r\n",),
        (b"HTTP/1.1 101 S\r\n\r\n",),
        (OK + b"A: \x01\r\n\r\n",),
        (OK + b"Content-Length: x\r\n\r\n",),
        (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",),
        (OK + b"Transfer-Encoding: gzip\r\n\r\n",),
        (OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",),
        (b"HTTP/1.1 100 C\r\n\r\n" * 17 + OK + b"\r\n",),
        (OK + b"A: b", *[b"b" * 10_000] * 7),
        (OK + b"Content-Length: 5\r\n\r\nhalf",),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", *[b"1;" + b"a" * 10_000] * 7),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nT: ", *[b"a" * 10_000] * 7),
    ],
)
async def test_malformed_responses_are_refused(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(ResponseError):
        await answer(Server(*pieces))
