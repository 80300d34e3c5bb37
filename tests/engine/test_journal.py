"""What runs keep of their output, alone and together."""

from __future__ import annotations

from pathlib import Path

import pytest

from arker.local.engine import journal
from arker.local.engine.journal import Journal, Room
from arker.local.engine.protocol import Stream


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setattr(journal, "_ASSURED", 10)
    return Room(20)


def kept(of: Journal) -> bytes:
    data = b""
    while pieces := of.read(len(data)):
        data += b"".join(piece.data for piece in pieces)
    return data


def test_runs_that_go_on_share_what_they_keep_beyond_what_each_is_assured(tmp_path: Path, room: Room) -> None:
    first, second = (Journal(str(tmp_path / name), 1000, room) for name in "ab")
    first.append(Stream.STDOUT, b"x" * 100)
    assert (len(kept(first)), first.cut, room.free) == (30, True, 0)
    second.append(Stream.STDOUT, b"y" * 10)
    assert (kept(second), second.cut) == (b"y" * 10, False)
    second.append(Stream.STDERR, b"z")
    assert (kept(second), second.cut) == (b"y" * 10, True)
    first.end()
    assert room.free == 20
    third = Journal(str(tmp_path / "c"), 1000, room)
    third.append(Stream.STDOUT, b"w" * 25)
    assert (len(kept(third)), third.cut) == (25, False)
    third.forget()
    assert room.free == 20


def test_nothing_follows_a_gap(tmp_path: Path, room: Room) -> None:
    first, second = (Journal(str(tmp_path / name), 1000, room) for name in "ab")
    first.append(Stream.STDOUT, b"x" * 30)
    second.append(Stream.STDOUT, b"y" * 11)
    first.end()
    second.append(Stream.STDOUT, b"later")
    assert (kept(second), second.totals[Stream.STDOUT]) == (b"y" * 10, 16)
