"""What runs keep of their output, alone and together."""

from __future__ import annotations

import asyncio
import errno
import threading
from pathlib import Path

import pytest

from arker.local.engine import journal
from arker.local.engine.journal import Journal, OutputQuota
from arker.local.engine.protocol import End, Reason, Stream
from arker.local.engine.runs import RunBook


@pytest.fixture
def quota(monkeypatch: pytest.MonkeyPatch) -> OutputQuota:
    monkeypatch.setattr(journal, "_ASSURED", 10)
    return OutputQuota(20)


@pytest.fixture
def of(tmp_path: Path, quota: OutputQuota, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """A journal that may keep 1 MiB, and at most 1 000 bytes of it in memory."""
    monkeypatch.setattr(journal, "_ASSURED", 1 << 20)
    monkeypatch.setattr(journal, "_MEMORY", 1000)
    return Journal(str(tmp_path / "a"), 1 << 20, quota)


def kept(of: Journal) -> bytes:
    data = b""
    while pieces := of.read(len(data)):
        data += b"".join(piece.data for piece in pieces)
    return data


def test_runs_that_go_on_share_what_they_keep_beyond_what_each_is_assured(
    tmp_path: Path, quota: OutputQuota
) -> None:
    first, second = (Journal(str(tmp_path / name), 1000, quota) for name in "ab")
    first.append(Stream.STDOUT, b"x" * 100)
    assert (len(kept(first)), first.cut, quota.free) == (30, True, 0)
    second.append(Stream.STDOUT, b"y" * 10)
    assert (kept(second), second.cut) == (b"y" * 10, False)
    second.append(Stream.STDERR, b"z")
    assert (kept(second), second.cut) == (b"y" * 10, True)
    first.end()
    assert quota.free == 20
    third = Journal(str(tmp_path / "c"), 1000, quota)
    third.append(Stream.STDOUT, b"w" * 25)
    assert (len(kept(third)), third.cut) == (25, False)
    third.forget()
    assert quota.free == 20


def test_nothing_follows_a_gap(tmp_path: Path, quota: OutputQuota) -> None:
    first, second = (Journal(str(tmp_path / name), 1000, quota) for name in "ab")
    first.append(Stream.STDOUT, b"x" * 30)
    second.append(Stream.STDOUT, b"y" * 11)
    first.end()
    second.append(Stream.STDOUT, b"later")
    assert (kept(second), second.totals[Stream.STDOUT]) == (b"y" * 10, 16)


def test_output_on_disk_reads_like_output_in_memory(of: Journal) -> None:
    written = b""
    for number in range(20):
        piece = b"%d" % (number % 10) * 300
        of.append(Stream.STDOUT, piece)
        written += piece
        assert kept(of) == written
        # Both a reader that keeps up, and one that is behind.
        assert b"".join(piece.data for piece in of.read(len(written) - 100)) == written[-100:]
    of.spill()
    assert kept(of) == written


def test_a_full_disk_cuts_the_output_at_what_is_in_the_file(
    tmp_path: Path, of: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        of.append(Stream.STDOUT, b"x" * 300)
    assert (tmp_path / "a").stat().st_size > 0

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("os.pwrite", full)
    before = of.size
    for _ in range(4):
        of.append(Stream.STDOUT, b"y" * 300)
    assert of.cut
    assert of.size < before + 1200
    assert kept(of) == (b"x" * 1200 + b"y" * 1200)[: of.size]


def test_what_cannot_be_saved_is_still_there(of: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    of.append(Stream.STDERR, b"No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", full)
        with pytest.raises(OSError, match="full"):
            of.spill()
        assert (kept(of), of.cut) == (b"No space left on device", False)
    of.spill()
    of.append(Stream.STDERR, b", still")
    assert kept(of) == b"No space left on device, still"


def test_pieces_of_one_stream_are_one_frame_on_disk(tmp_path: Path, of: Journal) -> None:
    for stream in (Stream.STDOUT, Stream.STDOUT, Stream.STDERR, Stream.STDOUT):
        of.append(stream, b"x")
    of.spill()
    assert (tmp_path / "a").read_bytes() == b"O\2\0\0\0xxE\1\0\0\0xO\1\0\0\0x"


async def test_a_long_output_on_disk_is_read_beside_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_BLOCK", 16)
    written = Journal(str(tmp_path / "a"), 1 << 20, OutputQuota(0))
    for number in range(20):
        written.append(Stream.STDOUT, b"o" * number)
        written.append(Stream.STDERR, b"e" * number)
        written.spill()
    scan, go, waited = journal._scan, threading.Event(), []

    def scan_later(path: str) -> journal._Scanned:
        waited.append(go.wait(30))
        return scan(path)

    monkeypatch.setattr(journal, "_scan", scan_later)
    read = Journal.of_ended(str(tmp_path / "a"))
    readers = [asyncio.create_task(read.load()) for _ in range(2)]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*readers)
    assert waited == [True]
    assert read.totals == written.totals
    assert kept(read) == kept(written)


def test_output_that_comes_little_by_little_takes_few_segments(of: Journal) -> None:
    told = []
    of.on_output = lambda: told.append(of.size)
    for number in range(100):
        of.append(Stream.STDERR, b"%099d\n" % number)
        of.spill()
    assert told == [100 * number for number in range(1, 101)]
    assert len(kept(of)) == 10_000
    assert len(of._segments) <= 12
    assert of._memory <= 1000


async def test_the_output_of_a_run_that_goes_on_is_on_disk_soon(tmp_path: Path) -> None:
    changes: list[str] = []
    book = RunBook(tmp_path, 1 << 20, lambda: changes.append("changed"))
    run = book.start("vm", "r", "0", "a server", soon=False)
    run.journal.append(Stream.STDOUT, b"before, ")
    assert changes == []
    book.keep(run)
    book.save_soon(run)
    book.save()
    changes.clear()
    run.journal.append(Stream.STDOUT, b"and after")
    run.journal.append(Stream.STDOUT, b".")
    assert changes == ["changed"]
    book.save()
    # The process that held it is gone.
    saved = await RunBook(tmp_path, 1 << 20, changes.clear).get("vm", "r")
    assert kept(saved.journal) == b"before, and after."


def test_a_run_that_is_forgotten_soon_is_never_on_disk(tmp_path: Path) -> None:
    changes: list[str] = []
    book = RunBook(tmp_path, 1 << 20, lambda: changes.append("changed"))
    short, _ = (book.start("vm", name, "0", "true") for name in ("short", "long"))
    changes.clear()
    book.save(but_new=True)
    assert changes
    assert not list(tmp_path.rglob("*.json"))
    short.end(End(0, Reason.EXITED, "/", 0.1, 0, 0))
    book.forget("vm", "short")
    book.save(but_new=True)
    assert [path.stem for path in tmp_path.rglob("*.json")] == ["long"]


def test_the_oldest_runs_make_room_also_after_a_restart(tmp_path: Path) -> None:
    def record(book: RunBook, *names: str) -> list[str]:
        for name in names:
            run = book.start("a", name, "0", "true")
            run.journal.append(Stream.STDOUT, bytes(400))
            run.end(End(0, Reason.EXITED, "/", 0.1, 400, 0))
        book.save()
        return sorted(run.id for run in book.written("a", set()))

    book = RunBook(tmp_path, 1000, lambda: None)
    assert record(book, "1", "2", "3") == ["2", "3"]
    book = RunBook(tmp_path, 1000, lambda: None)
    assert record(book, "4") == ["3", "4"]
    book.forget("a", "4")
    assert record(book, "5") == ["3", "5"]
    assert not (tmp_path / "a/2.out").exists()
