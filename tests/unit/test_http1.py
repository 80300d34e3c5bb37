"""Heads and bodies of HTTP/1.1, and the frames of a run's events, in pieces of any size. h11 reads the same heads."""

from __future__ import annotations

import json
import struct
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arker._http._sync.connection import Connection
from arker._http._sync.request import Request
from arker._http._sync.stream import Stream
from arker._http.deadline import Deadline
from arker._http.http1 import (
    Chunked,
    ProtocolError,
    Sized,
    UntilClosed,
    answer_body,
    answer_head,
    request_head,
)
from arker._io import Buffer
from arker.config import Timeouts, parse_url
from arker.events import Event, Frames, RunInfo, RunOutput

SIZES = st.lists(st.integers(1, 40), min_size=1)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """Cut into pieces of these sizes, over and over."""
    pieces = []
    while data:
        for size in sizes:
            pieces.append(data[:size])
            data = data[size:]
    return [piece for piece in pieces if piece]


def decoded(pieces: list[bytes]) -> tuple[bytes, Chunked]:
    chunked, body = Chunked(b""), b""
    for number, piece in enumerate(pieces):
        chunked.feed(piece)
        while (part := chunked.piece()) is not None:
            body += part
        if chunked.ended:
            assert number == len(pieces) - 1
    return body, chunked


@given(st.lists(st.binary(min_size=1, max_size=50)), st.sampled_from([b"", b";a=b", b" ; a"]), SIZES)
def test_chunks_arrive_in_pieces_of_any_size(chunks: list[bytes], extension: bytes, sizes: list[int]) -> None:
    body = b"".join(b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    pieces = cut(body + b"0\r\nA-Trailer: 1\r\n\r\n", sizes)
    got, chunked = decoded(pieces)
    assert (got, chunked.ended, chunked.beyond) == (b"".join(chunks), True, b"")


def test_bytes_beyond_a_body_are_not_lost() -> None:
    _, chunked = decoded([b"1\r\nx\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"])
    assert (chunked.ended, chunked.beyond) == (True, b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b"1_0\r\n",
        b"1 1\r\n",
        b"1\nx\n0\n\n" + bytes(5000),
        b"1\r\nxy\r\n",
        b"1" * 16 + b"\r\n",
        b"1;" + b"a" * 5000,
        b"0\r\n" + b"a" * 5000,
    ],
)
def test_a_malformed_body_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="the answer"):
        decoded([body])


def by_h11(method: str, data: bytes) -> Any:
    """What h11 makes of an answer's head: None if it is incomplete, "refused" for an error."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return "refused"
    if event is h11.NEED_DATA:
        return None
    assert isinstance(event, h11.Response)
    headers: dict[str, list[str]] = {}
    for name, value in event.headers:
        headers.setdefault(name.decode(), []).append(value.decode("latin-1"))
    joined = {name: ", ".join(values) for name, values in headers.items()}
    return event.status_code, joined, connection.our_state is h11.DONE, connection.trailing_data[0]


def by_us(method: str, data: bytes) -> Any:
    try:
        found = answer_head(data)
        if found is None:
            return None
        head, rest = found
        answer_body(method, head, rest)
    except ProtocolError:
        return "refused"
    return head.status, head.headers, head.persistent, rest


LINES = st.lists(
    st.sampled_from(
        [
            b"Date: Fri, 27 Nov 2026 19:03:09 GMT",
            b"X-Empty:",
            b"x-spaces:\t a  b \t",
            b"X-Latin: \xe9",
            b"X-Long: a\r\n  b",
            b"A: 1",
            b"a: 2",
            b"Content-Length: 7",
            b"Content-Length: x",
            b"Content-Length: " + b"1" * 21,
            b"Transfer-Encoding: gzip",
            b"Connection: x, CLOSE",
            b"Connection: keep-alive",
            b"no colon",
            b"a space : 1",
            b": no name",
            b"x: \0",
        ]
    ),
    unique=True,
    max_size=5,
)


@given(
    st.sampled_from(
        [b"HTTP/1.1 200 OK", b"HTTP/1.0 404 ", b"HTTP/1.1 500", b"HTTP/1.1 20 OK", b"HTTP/1.1 099"]
    ),
    LINES,
    st.sampled_from([b"\r\n", b"\n"]),
    st.integers(0, 20),
)
def test_heads_are_read_as_h11_reads_them(
    status: bytes, lines: list[bytes], end: bytes, cut_off: int
) -> None:
    data = end.join([status, *lines, b"", b"body"])
    data = data[: len(data) - cut_off]
    assert by_us("GET", data) == by_h11("GET", data)


class Pieces(Stream):
    """A stream that takes everything, and has these pieces to read, then its end."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def read(self, timeout: float) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    def write(self, data: Buffer, timeout: float) -> None: ...

    def close(self) -> None: ...


@given(
    st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n"]),
    st.sampled_from(
        [
            b"Content-Length: 7\r\n\r\n1234567",
            b"Transfer-Encoding: chunked\r\n\r\n3\r\n123\r\n4\r\n4567\r\n0\r\nA: b\r\n\r\n",
            b"Connection: close\r\n\r\n1234567",
        ]
    ),
    st.sampled_from([b"", b"\r\n", b"HTTP/1.1 500"]),
    SIZES,
)
def test_an_answer_is_the_same_in_pieces_of_any_size(
    interim: bytes, answer: bytes, beyond: bytes, sizes: list[int]
) -> None:
    until_closed = b"close" in answer
    connection = Connection(("http", "host", 80))
    pieces = Pieces(cut(interim + b"HTTP/1.1 200 OK\r\n" + answer + (b"" if until_closed else beyond), sizes))
    connection._stream = pieces
    url = parse_url("http://host/")
    request = Request(
        url, "GET", "/", "/", [(b"Host", b"host")], b"", Timeouts(), 9, repeatable=True, keyed=False
    )
    connection.send(request, Deadline(9))
    head = connection.receive(request, Deadline(9), 9)
    body = b""
    while (piece := connection.piece(Deadline(9), 9)) is not None:
        body += piece
    assert (head.status, body) == (200, b"1234567")
    # What is not read yet is found before the connection is used again.
    read_beyond = len(beyond) - sum(map(len, pieces.pieces))
    assert connection.reusable == (not until_closed and not read_beyond)


@pytest.mark.parametrize("length", [b"7, 7", b"7\r\nContent-Length: 7"])
def test_the_same_length_twice_is_one(length: bytes) -> None:
    found = answer_head(b"HTTP/1.1 200 OK\r\nContent-Length: " + length + b"\r\n\r\n1234567")
    assert found is not None
    body = answer_body("GET", *found)
    assert (body.piece(), body.ended) == (b"1234567", True)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 7, 8",
        b"Content-Length: 7\r\nContent-Length: 8",
        b"Content-Length: -7",
        b"Content-Length: 0x7",
        b"Content-Length: \xb2",
        b"Content-Length:",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"A: " + b"a" * 20_000,
        b"A: b\x0bc",
    ],
)
def test_a_head_that_does_not_say_where_the_answer_ends_is_refused(head: bytes) -> None:
    assert by_us("GET", b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n") == "refused"


@pytest.mark.parametrize(
    "start", [b"\x16\x03\x01", b"SSH-2.0", b"HTTP/2", b"\r\n\r\n", b"HTTP/1.1 OK\r\n\r\n"]
)
def test_another_protocol_is_noticed_at_once(start: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"not HTTP/1\.1"):
        answer_head(start)


@pytest.mark.parametrize(("method", "status"), [("HEAD", b"200"), ("GET", b"204"), ("GET", b"304")])
def test_some_answers_have_no_body_whatever_they_say(method: str, status: bytes) -> None:
    found = answer_head(b"HTTP/1.1 " + status + b" -\r\nContent-Length: 7\r\n\r\nHTTP")
    assert found is not None
    body = answer_body(method, *found)
    assert (body.piece(), body.ended, body.beyond) == (None, True, b"HTTP")


@given(st.binary(min_size=1, max_size=80), st.binary(max_size=5), SIZES)
def test_bodies_of_a_known_length_arrive_in_pieces_of_any_size(
    content: bytes, beyond: bytes, sizes: list[int]
) -> None:
    body, got = Sized(len(content), b""), b""
    for piece in cut(content + beyond, sizes):
        if body.ended:
            break
        body.feed(piece)
        while (part := body.piece()) is not None:
            got += part
    assert (got, body.ended) == (content, True)
    assert (content + beyond).startswith(got + body.beyond)


@pytest.mark.parametrize("body", [Sized(7, b"123"), Chunked(b"7\r\n123")])
def test_a_body_that_the_connection_cuts_is_refused(body: Sized | Chunked) -> None:
    assert body.piece() == b"123"
    assert (body.piece(), body.ended) == (None, False)
    with pytest.raises(ProtocolError, match="the connection was closed"):
        body.feed(b"")


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    body = UntilClosed(b"1")
    assert (body.piece(), body.piece(), body.ended) == (b"1", None, False)
    body.feed(b"2")
    assert (body.piece(), body.piece(), body.ended) == (b"2", None, False)
    body.feed(b"")
    assert (body.piece(), body.ended) == (None, True)


@pytest.mark.parametrize("target", ["", "/a b", "/\r\nx: y", "/\x7f", "/é"])
def test_a_target_is_printable_ascii_without_spaces(target: str) -> None:
    with pytest.raises(ValueError, match="character"):
        request_head("GET", target, [(b"Host", b"x")])


@given(st.lists(st.tuples(st.sampled_from("OEK"), st.binary(max_size=60))), SIZES)
def test_events_arrive_in_pieces_of_any_size(output: list[tuple[str, bytes]], sizes: list[int]) -> None:
    run = {"run_id": "r", "session_id": "s", "command": "c", "started_at": "2026-01-01T00:00:00+00:00"}
    sent = [
        ("S", json.dumps({**run, "state": "running"}).encode()),
        *output,
        ("X", json.dumps({**run, "state": "completed", "exit_code": 0}).encode()),
    ]
    frames = Frames(7)
    body = b"".join(struct.pack("<cI", letter.encode(), len(data)) + data for letter, data in sent)
    events: list[Event] = [event for piece in cut(body, sizes) for event in frames.feed(piece)]
    first, *pieces, last = events
    assert isinstance(first, RunInfo)
    assert isinstance(last, RunInfo)
    assert (first.state, last.state, frames.ended) == ("running", "completed", True)
    offset = 7
    for (letter, data), event in zip([each for each in output if each[0] != "K"], pieces, strict=True):
        assert event == RunOutput("stdout" if letter == "O" else "stderr", offset, data)
        offset += len(data)
    assert frames.offset == offset
