"""File access from outside: complete or not at all, and never outside the computer."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import threading

import pytest

from arker.local.engine import BubblewrapEngine, FileMissing, FileRefused, LocalFile, StorageFull, VmMissing

from .harness import Box, attempt, content, sh

pytestmark = pytest.mark.on_disk

HOME = "/home/user"


async def test_a_write_that_waits_for_a_thread_lands_in_no_other_computer(engine: BubblewrapEngine) -> None:
    await sh(engine, "true")
    await engine.create("b", "arkuntu")
    free = threading.Event()
    for _ in range(engine._files._max_workers):
        engine._files.submit(free.wait)
    write = asyncio.create_task(engine.write_file("a", f"{HOME}/file-of-a", b"x"))
    sandbox = engine._computers["a"].sandbox
    assert sandbox is not None
    while not engine._files._work_queue.qsize():
        await asyncio.sleep(0)
    await engine.delete("a")
    await sandbox.ended
    # Its descriptors have the numbers that those of the other one had.
    await sh(engine, "true", vm="b")
    free.set()
    with pytest.raises(VmMissing):
        await write
    assert await sh(engine, "ls -A", vm="b") == ""


@pytest.mark.parametrize("size", [0, 1, 1000, 4096, 5_000_000])
async def test_written_files_are_read(engine: BubblewrapEngine, size: int) -> None:
    data = os.urandom(size)
    await engine.write_file("a", f"{HOME}/deep/er/file", data)
    assert await content(engine, f"{HOME}/deep/er/file") == data
    assert await sh(engine, f"stat -c %a:%U:%s {HOME}/deep/er/file") == f"644:user:{size}\n"


async def test_from_a_descriptor_from_its_beginning(engine: BubblewrapEngine) -> None:
    fd = os.memfd_create("source")
    os.write(fd, b"0123456789" * 100_000)
    async with LocalFile(fd) as source:
        await engine.write_file("a", f"{HOME}/file", source)
    assert await content(engine, f"{HOME}/file") == b"0123456789" * 100_000


@pytest.mark.slow
async def test_a_cancelled_caller_may_close_its_descriptor(engine: BubblewrapEngine) -> None:
    for step in range(20):
        fd = os.memfd_create("source")
        os.write(fd, b"good" * 500_000)
        source = LocalFile(fd)
        task = asyncio.create_task(engine.write_file("a", f"{HOME}/file{step}", source))
        await asyncio.sleep(step * 0.0002)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await source.close()
        other = os.memfd_create("other")  # likely the same number
        os.write(other, b"evil" * 500_000)
        await engine.stop("a")
        with contextlib.suppress(FileMissing):
            assert await content(engine, f"{HOME}/file{step}") == b"good" * 500_000
        os.close(other)


async def test_replacing_keeps_the_mode(engine: BubblewrapEngine) -> None:
    await sh(engine, "echo '#!/bin/sh' > run; chmod 750 run")
    await engine.write_file("a", f"{HOME}/run", b"#!/bin/sh\necho new\n")
    assert await sh(engine, "stat -c %a run; ./run") == "750\nnew\n"


async def test_the_shell_and_the_outside_see_the_same(engine: BubblewrapEngine) -> None:
    for index in range(30):
        await engine.write_file("a", f"{HOME}/file", str(index).encode())
        assert await sh(engine, "cat file") == str(index)
        await sh(engine, f"echo back{index} > file")
        assert await content(engine, f"{HOME}/file") == f"back{index}\n".encode()


async def test_no_partial_file_is_left(engine: BubblewrapEngine) -> None:
    await engine.write_file("a", f"{HOME}/d/file", b"x")
    with pytest.raises(FileRefused):
        await engine.write_file("a", f"{HOME}/d", b"x")
    assert await sh(engine, "find . -mindepth 1 | sort") == "./d\n./d/file\n"


async def test_a_reader_sees_old_or_new(engine: BubblewrapEngine) -> None:
    old, new = b"o" * 300_000, b"n" * 300_000
    await engine.write_file("a", f"{HOME}/file", old)
    check = asyncio.create_task(
        sh(
            engine,
            "python3 -c \"import os\nwhile not os.path.exists('stop'):\n"
            " d = open('file').read()\n if d not in ('o' * 300000, 'n' * 300000): print('torn')\"",
            session="reader",
        )
    )
    for index in range(50):
        await engine.write_file("a", f"{HOME}/file", (old, new)[index % 2])
    await engine.write_file("a", f"{HOME}/stop", b"")
    assert await check == ""


@pytest.mark.parametrize(
    ("prepare", "path", "error"),
    [
        ("", "missing", FileMissing),
        ("", "missing/deeper", FileMissing),
        ("mkdir d", "d", FileRefused),
        ("mkfifo p", "p", FileRefused),
        ("ln -s nowhere l", "l", FileMissing),
        ("ln -s l l", "l", FileRefused),
        ("ln -s m l; ln -s l m", "l", FileRefused),
        ("ln -s /dev/zero l", "l", FileRefused),
        ("ln -s /dev/tty l", "l", FileRefused),
        ("ln -s /proc/1/root/etc/passwd l", "l", FileRefused),
        ("ln -s /proc/self/environ l", "l", FileMissing),
        ("echo x > f; chmod 000 f", "f", FileRefused),
        ("mkdir d; echo x > d/f; chmod 000 d", "d/f", FileRefused),
        ("echo x > f", "f/deeper", FileRefused),
        ("", "x" * 300, FileRefused),
        ("python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"s\")'", "s", FileRefused),
    ],
)
async def test_unreadable_paths_are_refused(
    engine: BubblewrapEngine, prepare: str, path: str, error: type[Exception]
) -> None:
    await sh(engine, prepare)
    with pytest.raises(error):
        await engine.open_file("a", f"{HOME}/{path}")


@pytest.mark.parametrize(
    ("prepare", "path", "error"),
    [
        ("mkdir d", "d", FileRefused),
        ("mkdir d", "d/", FileRefused),
        ("mkfifo p", "p", FileRefused),
        ("ln -s l l", "l", FileRefused),
        ("ln -s /dev/null l", "l", FileRefused),
        ("ln -s /etc/passwd l", "l", FileRefused),
        ("ln -s /usr/bin/new l", "l", FileRefused),
        ("ln -s /run/arker/0/c l", "l", FileRefused),
        ("ln -s /proc/sys/kernel/core_pattern l", "l", (FileRefused, FileMissing)),
        ("ln -s /proc/1/root l", "l/tmp/x", FileRefused),
        ("echo x > f", "f/deeper", FileRefused),
        ("mkdir d; chmod 555 d", "d/f", FileRefused),
        ("echo x > f; chmod 444 f", "f", FileRefused),
        ("", "x" * 300, FileRefused),
    ],
)
async def test_unwritable_paths_are_refused(
    engine: BubblewrapEngine, prepare: str, path: str, error: type[Exception]
) -> None:
    await sh(engine, prepare)
    with pytest.raises(error):
        await engine.write_file("a", f"{HOME}/{path}", b"data")
    assert (await attempt(engine, "ls -A | grep partial")).exit_code == 1


async def test_a_closed_home_does_not_close_what_is_in_it(engine: BubblewrapEngine) -> None:
    await sh(engine, "mkdir d; chmod 555 ~")
    await engine.write_file("a", f"{HOME}/d/f", b"one")
    await engine.files("a").write(f"{HOME}/d/g", b"two")
    assert await sh(engine, "cat d/f d/g; ls -A d; ls -A") == "onetwof\ng\nd\n"
    with pytest.raises(FileRefused):
        await engine.write_file("a", f"{HOME}/f", b"data")


async def test_links_are_followed_inside(engine: BubblewrapEngine) -> None:
    await sh(
        engine,
        "mkdir real; ln -s real/file l; ln -s /home/user/real abs; ln -s ../user/real/../real rel; ln -s l l2",
    )
    await engine.write_file("a", f"{HOME}/l2", b"one")
    assert await content(engine, f"{HOME}/real/file") == b"one"
    await engine.write_file("a", f"{HOME}/abs/file", b"two")
    assert await content(engine, f"{HOME}/rel/file") == b"two"
    await sh(engine, "ln -s /tmp t")
    await engine.write_file("a", f"{HOME}/t/file", b"three")
    assert await sh(engine, "cat /tmp/file; test -L l && test -L l2; ls -A /tmp") == "threefile\n"


async def test_links_with_the_hosts_paths_stay_inside(engine: BubblewrapEngine, box: Box) -> None:
    secret = box.folder / "store" / "secret"
    secret.write_bytes(b"secret")
    for target in (
        str(secret),
        f"../../../../../../../..{secret}",
        "/etc/shadow",
        "/root/.bashrc",
        f"/proc/self/cwd{secret}",
    ):
        await sh(engine, f"ln -sfn {target} l")
        with contextlib.suppress(FileMissing, FileRefused):
            assert await content(engine, f"{HOME}/l") == b"overwritten"
        with contextlib.suppress(FileMissing, FileRefused):
            await engine.write_file(
                "a", f"{HOME}/l", b"overwritten"
            )  # a path of the host's may well be made inside
    assert secret.read_bytes() == b"secret"


async def test_dot_dot_stays_inside(engine: BubblewrapEngine) -> None:
    assert await content(engine, f"{HOME}/../../../../etc/hostname") == b"arkuntu\n"


@pytest.mark.slow
async def test_swapping_folders_for_links_leads_nowhere(engine: BubblewrapEngine, box: Box) -> None:
    outside = box.folder / "store" / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"secret")
    await sh(engine, "mkdir d")
    race = (
        f"import os\nos.mkdir('r'); os.symlink('{outside}', 's')\n"
        "while not os.path.exists('stop'):\n"
        "  for n in ('r', 's'):\n"
        "    try: os.rename('d', 'x'); os.rename(n, 'd'); os.rename('x', n)\n"
        "    except OSError: pass\n"
    )
    racing = asyncio.create_task(attempt(engine, f'python3 -c "{race}"', timeout=30))
    await asyncio.sleep(0.2)
    for _ in range(400):
        try:
            await engine.write_file("a", f"{HOME}/d/file", b"public")
            assert await content(engine, f"{HOME}/d/file") == b"public"
        except (FileMissing, FileRefused):
            continue
    await engine.write_file("a", f"{HOME}/stop", b"")
    await racing
    assert (outside / "file").read_bytes() == b"secret"
    assert [p.name for p in outside.iterdir()] == ["file"]


async def test_a_descriptor_outlives_fork_stop_and_delete(engine: BubblewrapEngine) -> None:
    await engine.write_file("a", f"{HOME}/file", b"x" * 100_000)
    file = await engine.open_file("a", f"{HOME}/file")
    await engine.fork("a", "b")
    await engine.write_file("a", f"{HOME}/file", b"new")
    await engine.stop("a")
    await engine.delete("a")
    await asyncio.sleep(0.1)
    async with file:
        assert await file.read(0, 1 << 20) == b"x" * 100_000
    assert await content(engine, f"{HOME}/file", "b") == b"x" * 100_000


async def test_a_file_is_read_at_rest(engine: BubblewrapEngine) -> None:
    await engine.write_file("a", f"{HOME}/file", b"x")
    await engine.stop("a")
    assert await content(engine, f"{HOME}/file") == b"x"


@pytest.mark.parametrize("path", ["relative", "", "/home/user/nul\0"])
async def test_paths_are_checked(engine: BubblewrapEngine, path: str) -> None:
    with pytest.raises(FileRefused):
        await engine.open_file("a", path)
    with pytest.raises(FileRefused):
        await engine.write_file("a", path, b"")


async def test_many_writes_at_once(engine: BubblewrapEngine) -> None:
    await asyncio.gather(*(engine.write_file("a", f"{HOME}/{i % 10}", bytes([i]) * 1000) for i in range(100)))
    for i in range(10):
        data = await content(engine, f"{HOME}/{i}")
        assert len(data) == 1000
        assert data == data[:1] * 1000


async def test_a_cancelled_write_happens_or_does_not(engine: BubblewrapEngine) -> None:
    for step in range(40):
        await engine.write_file("a", f"{HOME}/file", b"old" * 1000)
        task = asyncio.create_task(engine.write_file("a", f"{HOME}/file", b"new" * 100_000))
        await asyncio.sleep(step * 0.0001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await content(engine, f"{HOME}/file") in (b"old" * 1000, b"new" * 100_000)
    await engine.stop("a")
    assert await sh(engine, "ls -A") == "file\n"


@pytest.mark.engine(disk=5_000_000)
async def test_a_replaced_file_does_not_count_to_the_disk(engine: BubblewrapEngine) -> None:
    for index in range(20):
        await engine.write_file("a", f"{HOME}/file", bytes([index]) * 1_000_000)


@pytest.mark.engine(disk=1_000_000)
async def test_a_full_share_of_the_disk_is_reported_and_recovers(engine: BubblewrapEngine) -> None:
    await engine.write_file("a", f"{HOME}/one", b"x" * 900_000)
    with pytest.raises(StorageFull):
        await engine.write_file("a", f"{HOME}/two", b"x" * 200_000)
    assert await sh(engine, "ls -A; rm one") == "one\n"
    await engine.write_file("a", f"{HOME}/two", b"x" * 200_000)
    assert len(await content(engine, f"{HOME}/two")) == 200_000


async def test_names_of_unfinished_writes_are_reserved(box: Box) -> None:
    async with box.engine() as engine:
        await engine.create("a", "arkuntu")
        with pytest.raises(FileRefused, match="reserved for unfinished writes"):
            await engine.write_file("a", f"{HOME}/.arker-partial-0123456789abcdef", b"x")
        await engine.write_file("a", f"{HOME}/.arker-partial-mine", b"x")
    async with box.engine() as engine:
        assert await content(engine, f"{HOME}/.arker-partial-mine") == b"x"


def linked(box: Box, data: bytes) -> tuple[LocalFile, int]:
    """A file of the host on the same file system, and its inode."""
    path = box.store / "staged"
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    file = LocalFile(os.open(path, os.O_RDWR))
    return file, os.fstat(file.fd).st_ino


async def inode(engine: BubblewrapEngine, path: str, vm: str = "a") -> int:
    return int(await sh(engine, f"stat -c %i {path}", vm=vm))


async def test_at_rest_a_file_is_placed_without_a_copy(engine: BubblewrapEngine, box: Box) -> None:
    await sh(
        engine,
        "mkdir -p deep/er; echo old > deep/er/old; chmod 750 deep/er/old; chmod 711 deep; touch -d @9 deep",
    )
    await engine.fork("a", "b")
    for name, mode in (("new", 644), ("old", 750)):
        file, number = linked(box, data := os.urandom(100_000))
        async with file:
            await engine.write_file("b", f"{HOME}/deep/er/{name}", file)
        assert not engine._computers["b"].running
        assert await content(engine, f"{HOME}/deep/er/{name}", "b") == data
        assert await inode(engine, f"{HOME}/deep/er/{name}", "b") == number
        assert await sh(engine, f"stat -c %a:%U {HOME}/deep/er/{name}", "b") == f"{mode}:user\n"
        assert (
            await sh(engine, "stat -c %a:%Y deep; ls deep/er", "b")
            == "711:9\n" + "\n".join(["new", "old"]) + "\n"
        )
        await engine.stop("b")
    assert await sh(engine, "ls deep/er; cat deep/er/old") == "old\nold\n"


@pytest.mark.parametrize(
    ("prepare", "path", "seen"),
    [
        ("ln -s elsewhere way; mkdir elsewhere", "way/f", "elsewhere/f"),
        ("ln -s target f; touch target", "f", "target"),
        ("true", "missing/f", "missing/f"),
        ("mkdir d; touch d/f; rm -r d; mkdir d", "d/f", "d/f"),
        ("touch f; rm f", "f", "f"),
    ],
)
async def test_at_rest_what_is_not_simple_is_as_in_a_live_computer(
    engine: BubblewrapEngine, box: Box, prepare: str, path: str, seen: str
) -> None:
    """Both in the layer that the computer writes, and below it."""
    await sh(engine, prepare)
    for vm in ("a", "b"):
        if vm == "b":
            await engine.fork("a", "b")
        await engine.stop(vm)
        file, _ = linked(box, data := os.urandom(1000))
        async with file:
            await engine.write_file(vm, f"{HOME}/{path}", file)
        assert await content(engine, f"{HOME}/{seen}", vm) == data
        await sh(engine, f"rm {seen}; ls -A {seen.rpartition('/')[0]}", vm)


@pytest.mark.parametrize(
    ("prepare", "path"), [("mkdir f", "f"), ("touch f; chmod 444 f", "f"), ("mkdir d; chmod 555 d", "d/f")]
)
async def test_at_rest_a_refusal_is_that_of_a_live_computer(
    engine: BubblewrapEngine, box: Box, prepare: str, path: str
) -> None:
    await sh(engine, prepare)
    await engine.fork("a", "b")
    file, _ = linked(box, b"x")
    async with file:
        with pytest.raises(FileRefused):
            await engine.write_file("b", f"{HOME}/{path}", file)


async def test_deleted_names_of_layers_below_stay_deleted(engine: BubblewrapEngine, box: Box) -> None:
    await sh(engine, "mkdir d; echo one > d/one; echo two > d/two")
    await engine.fork("a", "b")
    await sh(engine, "rm -r d; mkdir d; rm -f nothing", "b")
    await engine.fork("b", "c")
    file, number = linked(box, b"three")
    async with file:
        await engine.write_file("c", f"{HOME}/d/three", file)
    assert await sh(engine, "ls d", "c") == "three\n"
    assert await inode(engine, f"{HOME}/d/three", "c") == number


async def test_a_full_computer_at_rest_takes_no_file(box: Box) -> None:
    async with box.engine(disk=1_000_000) as engine:
        await engine.create("a", "arkuntu")
        first, _ = linked(box, bytes(600_000))
        async with first:
            await engine.write_file("a", f"{HOME}/f", first)
        second, _ = linked(box, bytes(600_000))
        async with second:
            with pytest.raises(StorageFull):
                await engine.write_file("a", f"{HOME}/g", second)


@pytest.mark.parametrize("at_rest", [True, False])
async def test_the_digest_of_what_was_written_is_known_until_it_changes(
    engine: BubblewrapEngine, box: Box, at_rest: bool
) -> None:
    if not at_rest:
        await sh(engine, "true")
    file, _ = linked(box, data := os.urandom(50_000))
    os.utime(file.fd, (1, 1))
    sha256 = hashlib.sha256(data).hexdigest()
    async with file:
        await engine.write_file("a", f"{HOME}/f", file, sha256=sha256)
    for _ in range(2):
        async with await engine.open_file("a", f"{HOME}/f") as read:
            # The copy into a live computer has a time of its own, which may be that of the move.
            assert read.sha256 == sha256 or not (at_rest or read.sha256)
            assert await read.digest() == sha256
        await engine.stop("a")
    await sh(engine, "printf x | dd of=f conv=notrunc status=none")
    async with await engine.open_file("a", f"{HOME}/f") as read:
        assert read.sha256 is None
        assert await read.digest() == hashlib.sha256(b"x" + data[1:]).hexdigest()
