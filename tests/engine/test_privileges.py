"""Root drops to an unprivileged user; the store stays accessible, wherever it is."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from arker.local.engine import DEFAULT_UID, BubblewrapEngine, SandboxUnavailable, drop_privileges, run

from .harness import Box, sh


async def use(store: Path, vm: str) -> None:
    engine = BubblewrapEngine(store)
    await engine.start()
    try:
        if vm not in set(engine._computers):
            await engine.create(vm, "arkuntu")
        assert (await run(engine, vm, "0", "echo $((2+3))")).stdout == b"5\n"
    finally:
        await engine.close()


async def test_privileges_are_dropped_permanently(box: Box, as_root: None) -> None:
    assert drop_privileges(box.store) == box.store
    assert os.getresuid() == (DEFAULT_UID,) * 3
    assert os.getresgid() == (DEFAULT_UID,) * 3
    assert os.getgroups() == []
    with pytest.raises(PermissionError):
        os.setuid(0)
    with pytest.raises(PermissionError):
        Path("/etc/shadow").read_bytes()
    capabilities = [
        line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "CapEff" in line
    ]
    assert capabilities == ["0000000000000000"]


@pytest.mark.parametrize("umask", [0o022, 0o077])
async def test_below_a_closed_home(box: Box, as_root: None, umask: int) -> None:
    os.umask(umask)
    home = box.folder / "home"
    store = home / "deep" / "store"
    store.mkdir(parents=True)
    (home / "private").write_text("private")
    home.chmod(0o700)
    drop_privileges(store)
    await use(store, "a")
    # Of the home, only the way is to be seen.
    assert not (home / "private").exists()
    import colorsys  # a module that nothing has imported so far, below a closed home on many machines

    assert colorsys


async def test_a_second_start(box: Box, as_root: None) -> None:
    home = box.folder / "home"
    store = home / "store"
    store.mkdir(parents=True)
    home.chmod(0o700)
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            try:
                import asyncio

                drop_privileges(store)
                asyncio.new_event_loop().run_until_complete(use(store, "kept"))
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert store.stat().st_uid == DEFAULT_UID
    assert home.stat().st_uid == 0


async def test_the_owner_of_a_store_is_who_root_becomes(box: Box, as_root: None) -> None:
    os.chown(box.store, 4711, 4711)
    drop_privileges(box.store)
    assert os.getuid() == 4711
    await use(box.store, "a")


async def test_a_store_of_several_owners_is_refused(box: Box, as_root: None) -> None:
    (box.store / "theirs").mkdir()
    os.chown(box.store / "theirs", 4711, 4711)
    with pytest.raises(SandboxUnavailable, match="4711"):
        drop_privileges(box.store)
    assert os.geteuid() == 0


async def test_files_that_root_adds_to_a_store_later(box: Box, as_root: None) -> None:
    os.chown(box.store, DEFAULT_UID, DEFAULT_UID)
    (box.store / "theirs").mkdir()
    os.chown(box.store / "theirs", DEFAULT_UID, DEFAULT_UID)
    (box.store / "theirs" / "file").write_text("root's")
    drop_privileges(box.store)
    (box.store / "theirs" / "file").write_text("ours")


async def test_links_in_a_store_are_not_followed(box: Box, as_root: None) -> None:
    outside = box.folder / "outside"
    outside.write_text("")
    (box.store / "link").symlink_to(outside)
    (box.store / "folder").symlink_to(box.folder)
    drop_privileges(box.store)
    assert outside.stat().st_uid == 0


async def test_open_sockets_stay_usable(box: Box, as_root: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        drop_privileges(box.store)
        with socket.create_connection(server.getsockname()):
            assert server.accept()[1]


async def test_as_a_plain_user(box: Box) -> None:
    assert os.geteuid() != 0
    async with box.engine() as engine:
        await engine.create("a", "arkuntu")
        assert await sh(engine, "echo fine") == "fine\n"


def test_a_linked_file_of_root_keeps_its_owner(box: Box, as_root: None) -> None:
    ours = box.folder / "of-root"
    ours.write_text("root's")
    os.chown(box.store, 4711, 4711)
    os.link(ours, box.store / "mine")
    with pytest.raises(SandboxUnavailable, match="belongs to root"):
        drop_privileges(box.store)
    assert ours.stat().st_uid == 0
