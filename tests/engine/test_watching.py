"""Following the changes of folders of a computer."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from arker.local.engine import BubblewrapEngine, VmMissing
from arker.local.engine.file_protocol import Changes
from arker.local.engine.filesystem import ComputerFiles, inotify, watching
from arker.local.engine.filesystem.root import Root

from .harness import Box, sh

HOME = "/home/user"


async def news(
    files: ComputerFiles, path: str, cursor: str, wait: float = 30
) -> tuple[list[str], list[str], str]:
    """What has changed since a cursor, and the next cursor."""
    changes = await files.changes(path, cursor, wait=wait)
    assert not changes.rescan
    return [entry.path for entry in changes.entries], list(changes.removed), changes.cursor


async def test_changes_of_a_tree_are_noticed(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await sh(engine, "mkdir -p x/y; touch x/y/z")
    first = await files.changes(HOME)
    assert first.rescan
    cursor = first.cursor
    assert await news(files, HOME, cursor, 0.1) == ([], [], cursor)
    for change, there, gone in (
        ("touch f", ["f"], []),
        ("echo x > f", ["f"], []),
        ("chmod 600 f", ["f"], []),
        ("mkdir -p d/e", ["d", "d/e"], []),
        ("mv f d/e/g", ["d/e/g"], ["f"]),
        ("ln -s a d/l", ["d/l"], []),
        ("echo > x/y/z", ["x/y/z"], []),
        ("mv d/e/g x/y/z", ["x/y/z"], ["d/e/g"]),
        ("mv d w", ["w", "w/e", "w/l"], ["d"]),
        ("touch w/e/new", ["w/e/new"], []),
        ("rm -r w", [], ["w", "w/e", "w/e/new", "w/l"]),
    ):
        waiting = asyncio.create_task(news(files, HOME, cursor))
        await sh(engine, change)
        entries, removed, cursor = await waiting
        # It may come in parts; what is not taken here would be taken for the next change.
        more = await news(files, HOME, cursor, 0)
        entries, removed = sorted({*entries, *more[0]} - {*more[1]}), sorted({*removed, *more[1]})
        assert (entries, removed) == (there, gone)
        cursor = more[2]
    # Each follower continues from its own cursor.
    await sh(engine, "touch one")
    entries, _, later = await news(files, HOME, cursor)
    assert entries == ["one"]
    await sh(engine, "touch two")
    assert (await news(files, HOME, later))[0] == ["two"]
    assert sorted((await news(files, HOME, cursor))[0]) == ["one", "two"]
    assert (await files.changes(HOME, "0123.45")).rescan


async def test_a_folder_that_takes_the_place_of_another(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await sh(engine, "mkdir -p d/old other/new")
    cursor = (await files.changes(HOME)).cursor
    await sh(engine, "mv d away && mv other d && touch d/new/f away/old/g")
    entries, removed, cursor = await news(files, HOME, cursor)
    assert sorted(entries) == ["away", "away/old", "away/old/g", "d", "d/new", "d/new/f"]
    assert removed == ["d", "other"]
    await sh(engine, "touch away/old/h; touch d/new/i")
    assert sorted((await news(files, HOME, cursor))[0]) == ["away/old/h", "d/new/i"]


@pytest.mark.parametrize("away", ["mv p q", "rm -r p", "mv p/d q"])
async def test_a_watched_folder_that_is_moved_or_made_anew(engine: BubblewrapEngine, away: str) -> None:
    files = engine.files("a")
    await sh(engine, "mkdir -p p/d")
    changes = await files.changes(f"{HOME}/p/d")
    for command in (away, "mkdir -p p/d"):
        waiting = asyncio.create_task(files.changes(f"{HOME}/p/d", changes.cursor, wait=60))
        await sh(engine, command)
        changes = await waiting
        assert changes.rescan
    await sh(engine, "touch p/d/f")
    assert (await news(files, f"{HOME}/p/d", changes.cursor))[0] == ["f"]


async def test_folders_without_inotify_are_polled(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = engine.files("a")
    await sh(engine, "mkdir -p d/e; ln -s d l")
    cursor = (await files.changes(f"{HOME}/l")).cursor
    monkeypatch.setattr(inotify, "_FOLDERS", 4)
    other = (await files.changes(HOME)).cursor
    waiting = [
        asyncio.create_task(files.changes(f"{HOME}/l", cursor, wait=60)),
        asyncio.create_task(files.changes(HOME, other, wait=60)),
    ]
    await sh(engine, "touch d/e/f")
    assert [changes.rescan for changes in await asyncio.gather(*waiting)] == [True, True]


async def test_more_changes_than_are_remembered(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = engine.files("a")
    cursor = (await files.changes(HOME)).cursor
    monkeypatch.setattr(inotify, "_CHANGES", 20)
    await sh(engine, "mkdir -p d/e; touch d/e/f{1..40}")
    changes = await files.changes(HOME, cursor)
    assert changes.rescan
    await sh(engine, "touch d/e/f1")
    assert (await news(files, HOME, changes.cursor))[0] == ["d/e/f1"]
    # The kernel's queue has a bound of its own, and keeps no two equal events in a row.
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    monkeypatch.setattr(inotify, "_CHANGES", most)
    changes = await files.changes(HOME, changes.cursor)
    await sh(engine, f"for i in {{1..{most // 2 + 1000}}}; do :> a; :> b; done; mkdir x")
    found = await files.changes(HOME, changes.cursor)
    assert found.rescan
    await sh(engine, "touch x/f")
    assert (await news(files, HOME, found.cursor))[0] == ["x/f"]


@pytest.mark.slow
async def test_a_watch_and_the_life_of_its_computer(box: Box) -> None:
    async with box.engine(idle=0.2) as engine:
        await engine.create("a", "arkuntu")
        files = engine.files("a")
        await sh(engine, "mkdir d; touch d/f")
        cursor = (await files.changes(f"{HOME}/d")).cursor
        waiting = asyncio.create_task(files.changes(f"{HOME}/d", cursor, wait=60))
        # Following does not keep a computer from resting, and does not start it.
        while (await engine.loads(["a"]))["a"].processes:
            await asyncio.sleep(0.01)
        assert await files.changes(f"{HOME}/d", cursor, wait=0.3) == Changes(cursor, False)
        assert not (await engine.loads(["a"]))["a"].processes
        await sh(engine, "touch d/g")
        changes = await waiting
        assert changes.rescan
        # A fork changes nothing for the parent.
        await engine.fork("a", "b")
        await sh(engine, "touch d/other", vm="b")
        changes = await files.changes(f"{HOME}/d", changes.cursor, wait=0.3)
        await sh(engine, "touch d/h")
        while "h" not in [entry.path for entry in changes.entries]:
            if changes.rescan and any(entry.path == "h" for entry in (await files.list(f"{HOME}/d")).entries):
                break
            changes = await files.changes(f"{HOME}/d", changes.cursor, wait=60)
        waiting = asyncio.create_task(files.changes(f"{HOME}/d", changes.cursor, wait=60))
        await asyncio.sleep(0)
        await engine.delete("a")
        with pytest.raises(VmMissing):
            await waiting


async def test_a_watch_ends_without_followers(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def descriptors() -> int:
        links = []
        for entry in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                links.append(str(entry.readlink()))
        return links.count("anon_inode:inotify")

    files = engine.files("a")
    await sh(engine, "mkdir d{1..12}")
    before = descriptors()
    for number in range(1, 13):
        await files.changes(f"{HOME}/d{number}")
    assert descriptors() - before == 8
    monkeypatch.setattr(watching, "LINGER", 0.01)
    cursor = (await files.changes(f"{HOME}/d12")).cursor
    waiting = asyncio.create_task(files.changes(f"{HOME}/d12", cursor, wait=60))
    await asyncio.sleep(0.05)
    waiting.cancel()
    while descriptors() - before > 7:
        await asyncio.sleep(0.01)
    assert (await files.changes(f"{HOME}/d12", cursor)).rescan


def test_a_folder_that_was_moved_while_its_parent_was_read_is_known_by_its_last_path_alone(
    tmp_path: Path,
) -> None:
    top = tmp_path.resolve() / "w"
    top.mkdir()
    fd = os.open("/", os.O_PATH | os.O_DIRECTORY)
    watch = inotify.Watch()
    try:
        root = Root(fd)
        assert watch.begin(root, str(top), "") is None

        def entries() -> list[str]:
            watch.drain()
            changes = watch.report(root, str(top), 0)
            assert changes is not None
            return [entry.path for entry in changes.entries]

        (top / "one/inner").mkdir(parents=True)
        assert entries() == ["one", "one/inner"]
        (top / "two").mkdir()
        watch.drain()
        (top / "one/inner").rename(top / "two/inner")
        # The move is not known yet, and the folder is found below the one that is new.
        assert watch.report(root, str(top), 0) is not None
        assert entries() == ["one", "two", "two/inner"]
        (top / "one/inner").mkdir()
        (top / "one/inner").rename(top / "three")
        assert entries() == ["one", "two", "two/inner", "three"]
        for folder in ("two/inner", "three"):
            (top / folder / "file").touch()
        assert entries() == ["one", "two", "two/inner", "three", "two/inner/file", "three/file"]
    finally:
        watch.end()
        os.close(fd)
