"""Durability: over restarts, over kill -9 at any moment, and with one engine at a time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
import sqlite3
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import pytest

from arker.local.engine import BubblewrapEngine, EngineError, run
from arker.local.engine import store as engine_store
from arker.local.engine.sandbox_files import PARTIAL
from arker.local.engine.store import SessionRow, Store, VmRow
from tests.conftest import KILLS

from .harness import Box, _processes_of, content, sh

pytestmark = pytest.mark.on_disk

HOME = "/home/user"


async def test_computers_files_and_forks_outlive_the_engine(box: Box) -> None:
    async with box.engine() as engine:
        await engine.create("a", "arkuntu")
        await engine.write_file("a", f"{HOME}/file", b"one")
        await engine.fork("a", "b")
        await sh(engine, "echo two > file; echo tmp > /tmp/t", vm="b")
        await engine.create("c", "arkuntu")
        await engine.delete("c")
    async with box.engine() as engine:
        assert set(engine._computers) == {"a", "b"}
        assert "a" not in await engine.running()
        assert await content(engine, f"{HOME}/file") == b"one"
        assert await sh(engine, "cat file /tmp/t", vm="b") == "two\ntmp\n"


async def test_one_engine_at_a_time(box: Box) -> None:
    async with box.engine():
        with pytest.raises(EngineError, match="in use"):
            async with box.engine():
                pass
    async with box.engine():
        pass


async def test_a_newer_store_is_refused(box: Box) -> None:
    async with box.engine():
        pass
    with contextlib.closing(sqlite3.connect(box.store / "engine.sqlite3")) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(EngineError, match="newer release"):
        async with box.engine():
            pass


@pytest.mark.parametrize(("keep", "reason"), [(0, "file is not a database"), (4096, "malformed")])
async def test_a_damaged_store_is_reported(box: Box, keep: int, reason: str) -> None:
    async with box.engine():
        pass
    file = box.store / "engine.sqlite3"
    whole = file.read_bytes()
    file.write_bytes(whole[:keep] + b"?" * (len(whole) - keep))
    with pytest.raises(EngineError, match=f"cannot use .*/engine.sqlite3: .*{reason}"):
        async with box.engine():
            pass


async def test_leftovers_are_swept(box: Box) -> None:
    async with box.engine() as engine:
        await engine.create("a", "arkuntu")
        await engine.write_file("a", f"{HOME}/file", b"x")
        top = engine._computers["a"].top
    layers = box.store / "layers"
    (layers / "orphan" / "home" / "user" / "deep").mkdir(parents=True)
    (layers / "orphan" / "home").chmod(0)
    (layers / "half.bin" / "0").mkdir(parents=True)
    (layers / top / HOME.lstrip("/") / f"{PARTIAL}{7:016x}").write_bytes(b"half")
    (box.store / "work" / "orphan" / "work").mkdir(parents=True)
    (box.store / "work" / "orphan" / "work").chmod(0)
    (box.store / "run" / "gone" / "0").mkdir(parents=True)
    os.mkfifo(box.store / "run" / "gone" / "0" / "c")
    async with box.engine() as engine:
        assert [p.name for p in layers.iterdir()] == [top]
        assert list((box.store / "run").iterdir()) == []
        assert "orphan" not in [p.name for p in (box.store / "work").iterdir()]
        assert await sh(engine, "ls -A") == "file\n"


async def test_scratch_folders_are_used_again(box: Box) -> None:
    async with box.engine() as engine:
        for vm in ("a", "b"):
            await engine.create(vm, "arkuntu")
            assert await sh(engine, "echo x > file; cat file", vm) == "x\n"
            await engine.stop(vm)
        assert len(list((box.store / "work").iterdir())) == 1


async def test_a_store_with_a_long_path_is_refused_in_words(box: Box) -> None:
    from arker.local.engine import SandboxUnavailable

    box.folder = box.folder / "store" / ("x" * 200) / ("y" * 200)
    (box.folder / "store").mkdir(parents=True)
    with pytest.raises(SandboxUnavailable, match="too long"):
        async with box.engine():
            pass


@pytest.mark.parametrize("name", ["with space", "c:o,l=o\\ns", "é", "quo'te\"s"])
async def test_a_store_with_any_name(box: Box, name: str) -> None:
    box.folder = box.folder / "store" / name
    (box.folder / "store").mkdir(parents=True)
    async with box.engine() as engine:
        await engine.create("a", "arkuntu")
        await engine.write_file("a", f"{HOME}/file", b"x")
        await engine.fork("a", "b")
        assert await sh(engine, "cat file; echo y > file; cat file", vm="b") == "xy\n"


async def test_removal_of_any_depth_and_mode(box: Box) -> None:
    async with box.engine() as engine:
        await engine.create("a", "arkuntu")
        code = "import os\nfor _ in range(3000):\n  os.mkdir('d'); os.chdir('d')\nopen('f', 'w'); os.chmod('.', 0)"
        await sh(engine, f'python3 -c "{code}"; cd ~; mkdir -p x/y; chmod 0 x/y x', timeout=60)
        await engine.delete("a")
        for _ in range(3000):
            if not list((box.store / "layers").iterdir()):
                break
            await asyncio.sleep(0.02)
        assert not list((box.store / "layers").iterdir())


async def test_forks_of_trees_that_are_too_deep_are_refused(box: Box) -> None:
    async with box.engine() as engine:
        await engine.create("a", "arkuntu")
        code = "import os\nfor _ in range(600):\n  os.mkdir('d'); os.chdir('d')"
        await sh(engine, f'python3 -c "{code}"; sleep 60 &', timeout=60)
        with pytest.raises(EngineError, match=r"could not be copied.*deep"):
            await engine.fork("a", "b")
        # Woken up, it sleeps on as soon as it has had its turn.
        awake = "until grep -q 'State:.S' /proc/$!/status; do sleep 0.01; done; echo unharmed"
        assert await sh(engine, awake, timeout=60) == "unharmed\n"
        await engine.stop("a")
        await engine.fork("a", "b")
        assert await sh(engine, "ls", vm="b") == "d\n"


# kill -9


async def work(store: Path, seed: int, say: Callable[[str], object]) -> None:
    """Make, write, run and delete, and say before and after what is asked; until it is killed."""
    rng = random.Random(seed)
    engine = BubblewrapEngine(store)
    await engine.start()
    say("ready\n")

    async def client(n: int) -> None:
        made: list[str] = []
        for count in itertools.count(1):
            what = rng.random()
            if not made or what < 0.2:
                vm = f"k{seed}c{n}n{count}"
                if made and rng.random() < 0.7:
                    await engine.fork(rng.choice(made), vm)
                else:
                    await engine.create(vm, "arkuntu")
                made.append(vm)
                say(f"made {vm}\n")
            elif what < 0.7:
                vm = rng.choice(made)
                text = f"{count}" * rng.choice((1, 1000, 30000))
                name = f"f{rng.randrange(3)}"
                say(f"writing {vm} {name} {count} {len(text)}\n")
                await engine.write_file(vm, f"{HOME}/{name}", text.encode())
                say(f"wrote {vm} {name} {count} {len(text)}\n")
            elif what < 0.85:
                await run(engine, rng.choice(made), "0", f"echo {count} > g; sleep 0.00{rng.randrange(9)}")
            else:
                vm = made.pop(rng.randrange(len(made)))
                say(f"deleting {vm}\n")
                await engine.delete(vm)
                say(f"deleted {vm}\n")

    await asyncio.gather(*(client(n) for n in range(3)))


def start_work(store: Path, seed: int) -> tuple[int, TextIO]:
    """Start a process that works; its id, and what it says."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            with os.fdopen(writer, "w", buffering=1) as said:
                asyncio.run(work(store, seed, said.write))
        finally:
            traceback.print_exc()
            os._exit(1)
    os.close(writer)
    return pid, os.fdopen(reader)


class Told:
    """What the engine answered before it was killed, and what it had been asked."""

    def __init__(self) -> None:
        self.made: set[str] = set()
        self.deleting: set[str] = set()
        self.deleted: set[str] = set()
        #: (computer, file) -> contents that it may have: the last that was answered, or one asked for since.
        self.files: dict[tuple[str, str], list[bytes]] = {}
        #: All contents that any file was ever to have.
        self.asked: set[bytes] = {b""}

    def take(self, line: str) -> None:
        kind, *rest = line.split()
        if kind == "made":
            self.made.add(rest[0])
        elif kind == "deleting":
            self.deleting.add(rest[0])
        elif kind == "deleted":
            self.deleted.add(rest[0])
        elif kind in ("writing", "wrote"):
            vm, name, count, size = rest
            text = (count * (int(size) // len(count))).encode()
            self.asked.add(text)
            if kind == "wrote":
                self.files[vm, name] = [text]
            else:
                self.files.setdefault((vm, name), [b""]).append(text)


async def check(engine: BubblewrapEngine, told: Told) -> None:
    assert told.made - told.deleting <= set(engine._computers)
    assert not told.deleted & set(engine._computers)
    for (vm, name), may_be in told.files.items():
        if vm in set(engine._computers):
            try:
                found = await content(engine, f"{HOME}/{name}", vm)
            except EngineError:
                found = b""
            # One that was never answered here may be what the parent of a fork had there.
            assert found in (told.asked if may_be[0] == b"" else may_be), (vm, name, found[:50])
    for folder, _, files in os.walk(engine._path / "layers"):
        assert not [name for name in files if name.startswith(PARTIAL)], folder


@pytest.mark.parametrize("seed", range(KILLS // 5))
def test_killed_at_any_moment(box: Box, seed: int) -> None:
    rng = random.Random(seed)
    told = Told()

    async def check_all() -> None:
        async with box.engine(probe=False) as engine:
            # One that waits for a bwrap which was killed before it released it is ended by the next engine.
            assert _processes_of(Path(box.folder)) == []
            await check(engine, told)
            if engine._computers:
                await sh(engine, "ls", vm=rng.choice(sorted(engine._computers)))

    for life in range(4):
        pid, lines = start_work(box.store, seed * 100 + life)
        with lines:
            assert lines.readline() == "ready\n"
            killer = threading.Timer(rng.random() * 0.6, os.kill, (pid, signal.SIGKILL))
            killer.start()
            for line in lines:
                if line.endswith("\n"):
                    told.take(line)
        killer.join()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        asyncio.run(check_all())


def rows(count: int, size: int) -> tuple[SessionRow, ...]:
    return tuple(SessionRow(str(n), b"/", b"%d" % n + bytes(size)) for n in range(count))


def test_states_of_sessions_are_kept_once_for_all_forks(box: Box) -> None:
    store = Store(box.store)
    parent = VmRow("parent", "arkuntu", (), "t", rows(32, 700_000))
    store.save([parent])
    for index in range(30):
        store.save([VmRow(f"child-{index}", "arkuntu", (), f"t{index}", rows(32, 700_000))])
    store.close()
    assert (box.store / "engine.sqlite3").stat().st_size < 40_000_000
    store = Store(box.store)
    loaded = {row.id: row for row in store.load()}
    assert sorted(loaded["child-7"].sessions, key=lambda s: int(s.id)) == list(parent.sessions)
    # In memory, too.
    assert len({id(session.state) for row in loaded.values() for session in row.sessions}) == 32
    store.close()


def test_a_state_goes_with_the_last_session_that_has_it(box: Box) -> None:
    store = Store(box.store)
    store.save([VmRow("a", "arkuntu", (), "t", rows(1, 10)), VmRow("b", "arkuntu", (), "u", rows(1, 10))])

    def states() -> int:
        return int(store._db.execute("SELECT count(*) FROM states").fetchone()[0])

    assert (states(), store._held) == (1, 11)
    store.delete("a")
    assert states() == 1
    store.save_sessions([("b", SessionRow("0", b"/", b"other"))])
    assert (states(), store._held) == (1, 5)
    store.delete("b")
    assert (states(), store._held) == (0, 0)
    store.close()


def test_states_of_all_sessions_together_have_a_bound(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_store, "_STATES", 25)
    store = Store(box.store)
    store.save([VmRow("a", "arkuntu", (), "t", rows(3, 10))])
    assert [s.state is not None for row in store.load() for s in row.sessions] == [True, True, False]
    store.close()


def test_a_store_of_format_1_is_copied_and_migrated(box: Box) -> None:
    with contextlib.closing(sqlite3.connect(box.store / "engine.sqlite3", isolation_level=None)) as db:
        db.executescript(engine_store._SCHEMA + "PRAGMA user_version = 1;")
        db.execute("INSERT INTO vms VALUES ('a', 'arkuntu', '[]', 't')")
        db.execute("INSERT INTO sessions VALUES ('a', '0', X'2F', X'783D31')")
        db.execute("INSERT INTO sessions VALUES ('a', '1', X'2F', NULL)")
    store = Store(box.store)
    expected = (SessionRow("0", b"/", b"x=1"), SessionRow("1", b"/", None))
    assert store.load() == [VmRow("a", "arkuntu", (), "t", expected)]
    store.close()
    with contextlib.closing(sqlite3.connect(box.store / "engine.sqlite3.1")) as db:
        assert db.execute("SELECT state FROM sessions WHERE id = '0'").fetchone() == (b"x=1",)
