"""Digests that are sent with files."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from arker.local.engine import digests
from arker.local.engine.digests import Digests

from .kit import Bench, fork


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How often a file was read for its digest."""
    calls: list[int] = []
    real = digests.sha256_of

    def counting(fd: int, check: Callable[[], None]) -> str:
        calls.append(fd)
        return real(fd, check)

    monkeypatch.setattr(digests, "sha256_of", counting)
    before = set(Path("/proc/self/fd").iterdir())
    yield calls
    assert len(set(Path("/proc/self/fd").iterdir()) - before) == 0


def of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def settled(path: Path) -> None:
    while time.time_ns() - path.stat().st_ctime_ns < digests._TICKS:
        time.sleep(0.01)


async def test_a_version_is_read_once_however_many_ask(tmp_path: Path, hashed: list[int]) -> None:
    path = tmp_path / "f"
    path.write_bytes(data := os.urandom(3_000_001))
    settled(path)

    known = Digests()
    with path.open("rb") as file:
        assert await asyncio.gather(*[known.read("vm", file.fileno()) for _ in range(5)]) == [of(data)] * 5
    with path.open("rb") as again:
        assert await known.read("vm", again.fileno()) == of(data)
        assert known.known("vm", path.stat()) == of(data)
        assert known.known("another", path.stat()) is None
    assert len(hashed) == 1


async def test_another_content_of_the_same_size_and_time_has_another_digest(
    tmp_path: Path, hashed: list[int]
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    settled(path)

    known = Digests()
    for content in (b"old", b"new", b"NEW"):
        times = path.stat()
        path.write_bytes(content)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        with path.open("rb") as file:
            # Just written: a further write may show in no time of the file.
            assert await known.read("vm", file.fileno()) == of(content)
            assert await known.read("vm", file.fileno()) == of(content)


async def test_a_cancelled_wait_for_a_digest_does_not_affect_others(
    tmp_path: Path, hashed: list[int]
) -> None:
    path = tmp_path / "f"
    path.write_bytes(data := os.urandom(20_000_000))
    settled(path)

    known = Digests()
    file = path.open("rb")
    first = asyncio.create_task(known.read("vm", file.fileno()))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    file.close()
    # Its descriptor is another file's now.
    with (tmp_path / "other").open("wb+") as other, path.open("rb") as again:
        other.write(b"other")
        assert await known.read("vm", again.fileno()) == of(data)
    assert len(hashed) == 1


def test_a_digest_known_from_a_write_is_kept_only_if_a_later_change_would_show(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"data")
    known = Digests()
    now = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == now:  # changes with the clock of the file system
        os.utime(path, ns=(now, now))
    known.written("vm", path.stat(), of(b"data"))
    assert known.known("vm", path.stat()) == of(b"data")

    os.utime(path, ns=(now, path.stat().st_ctime_ns + 10**9))
    known.written("vm", path.stat(), of(b"data"))
    assert known.known("vm", path.stat()) is None


async def test_a_signed_url_sends_the_digest_if_it_is_known_and_reads_the_file_only_if_asked(
    bench: Bench, hashed: list[int]
) -> None:
    async with bench.client() as client:
        vm, data = await fork(client), os.urandom(5_000_000)
        bench.engine.files[vm]["/home/user/f"] = data
        answer = await client.post(f"/api/v1/vms/{vm}/sync", json={"op": "read", "path": "/home/user/f"})
        url = answer.json()["presigned_url"]
        settled(bench.engine.path(vm, "/home/user/f"))
        named = f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"
        want = {"Want-Repr-Digest": "sha-256=10"}
        for headers, content, told, reads in (
            ({}, data, None, 0),
            (want | {"Range": "bytes=0-0"}, data[:1], named, 1),
            (want, data, named, 1),
            ({}, data, named, 1),
            ({"Range": "bytes=4999990-"}, data[-10:], named, 1),
        ):
            answer = await client.get(url, headers={"Authorization": "", **headers})
            assert answer.content == content
            assert answer.headers.get("repr-digest") == told
            assert ("arker-digest" in answer.headers) is (told is None)
            assert len(hashed) == reads
