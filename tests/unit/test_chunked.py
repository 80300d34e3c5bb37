"""Bodies in chunks, and the frames of a run's events, in pieces of any size."""

from __future__ import annotations

import json
import struct

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arker._http.chunked import Chunked
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
    chunked, body = Chunked(), b""
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
    with pytest.raises(h11.RemoteProtocolError, match="the answer"):
        decoded([body])


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
