"""If the deployment owns a part of the cgroup tree, each sandbox has its own group."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from arker.local.engine import BubblewrapEngine, ComputerBusy, Limits, cgroups

from .harness import Box, content, sh
from .test_processes import HIDDEN, until


def test_the_place_of_the_cgroup_tree() -> None:
    mounts = (
        "proc /proc proc rw 0 0\ncgroup /c/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/a\\040b cgroup2 rw 0 0\n"
    )
    assert cgroups.mount_point(mounts) == Path("/sys/fs/a b")
    assert cgroups.mount_point("proc /proc proc rw 0 0\n") is None


def test_ones_own_group() -> None:
    assert cgroups.own_group("3:cpu:/x\n0::/user.slice/a b\n") == "user.slice/a b"
    assert cgroups.own_group("0::/\n") == ""
    assert cgroups.own_group("3:cpu:/x\n") is None


def test_limits_are_set_where_a_controller_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "part" / "one"
    mkdir = Path.mkdir

    def make_group(self: Path) -> None:
        mkdir(self)
        for name in ("cgroup.procs", "memory.max", "cpu.weight"):
            (self / name).touch()

    (tmp_path / "part").mkdir()
    monkeypatch.setattr(Path, "mkdir", make_group)
    group = cgroups.Group.make(tmp_path / "part", "one", 42, Limits(memory=1 << 20))
    assert group is not None
    assert (made / "cgroup.procs").read_text() == "42"
    assert (made / "memory.max").read_text() == str(1 << 20)
    assert (made / "cpu.weight").read_text() == "100"
    assert not (made / "pids.max").exists()
    (made / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    (made / "memory.peak").write_text("4096\n")
    (made / "memory.events").write_text("oom 2\noom_kill 3\noom_group_kill 0\n")
    assert group.usage() == cgroups.Usage(1.5, 4096)
    assert group.killed == 3


async def test_the_event_loop_goes_on_while_a_sandbox_joins_its_group(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, goes_on = asyncio.get_running_loop(), threading.Event()

    def make(*_: object) -> None:
        loop.call_soon_threadsafe(goes_on.set)
        assert goes_on.wait(30)

    monkeypatch.setattr(cgroups, "find_part", lambda: box.folder)
    monkeypatch.setattr(cgroups.Group, "make", make)
    async with box.engine() as engine:
        await engine.create("a", "arkuntu")
        assert await sh(engine, "echo up") == "up\n"
    assert goes_on.is_set()


def test_a_group_that_does_not_freeze_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "_FREEZE_SECONDS", 0.01)
    (tmp_path / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    with pytest.raises(ComputerBusy):
        asyncio.run(cgroups.Group(tmp_path).freeze())
    assert (tmp_path / "cgroup.freeze").read_text() == "0"


def _group(engine: BubblewrapEngine) -> cgroups.Group:
    sandbox = engine._computers["a"].sandbox
    assert sandbox is not None
    if sandbox.group is None:
        pytest.skip("needs a part of the cgroup tree")
    return sandbox.group


async def test_everything_in_a_sandbox_is_in_its_group(engine: BubblewrapEngine, box: Box) -> None:
    await sh(engine, "; ".join(HIDDEN.values()).replace("&;", "&"))
    group = _group(engine)
    sandbox = engine._computers["a"].sandbox
    assert sandbox is not None
    # Some are still starting others.
    await until(lambda: len(group._read("cgroup.procs").splitlines()) == sandbox.processes.count() + 1)
    assert group.usage().cpu_seconds is not None
    path = group._path
    await engine.stop("a")
    await until(lambda: not path.exists())


async def test_a_freeze_by_group_is_not_noticed(engine: BubblewrapEngine, box: Box) -> None:
    await sh(
        engine, "trap 'echo stopped >> seen' CONT; (trap 'echo stopped >> seen' CONT; while :; do :; done) &"
    )
    group = _group(engine)
    await engine.fork("a", "b")
    assert not group.frozen
    assert await sh(engine, "ls seen 2>/dev/null || echo none") == "none\n"
    await engine.write_file("a", "/home/user/f", b"on")
    assert await content(engine, "/home/user/f") == b"on"


def test_a_part_of_the_tree_is_made_and_used(box: Box, as_root: None) -> None:
    from arker.local.engine import drop_privileges

    own = cgroups._own()
    if own is None or not os.access(own, os.W_OK):
        pytest.skip("no cgroup v2 tree to write to")
    drop_privileges(box.store)
    part = cgroups.find_part()
    assert part is not None

    async def use() -> None:
        async with box.engine() as engine:
            await engine.create("a", "arkuntu")
            await sh(engine, ":")
            _group(engine)

    asyncio.new_event_loop().run_until_complete(use())
    assert [group.name for group in part.iterdir() if group.is_dir()] == ["deployment"]
