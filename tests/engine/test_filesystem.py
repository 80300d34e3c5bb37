"""Access to files and trees of a live computer: with its user's permissions, and never outside of it."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import random
import shutil
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from arker.local.engine import (
    BubblewrapEngine,
    ComputerBusy,
    FileMissing,
    FileRefused,
    LimitReached,
    StorageFull,
    digests,
    sandbox_files,
)
from arker.local.engine.file_protocol import Conditions, FileChanged, FileExists, Marks, NewEntry
from arker.local.engine.filesystem import ComputerFiles, changes, walk
from arker.local.engine.filesystem.globs import Glob
from arker.local.engine.filesystem.root import Root

from .harness import Box, attempt, content, sh

pytestmark = pytest.mark.on_disk

HOME = "/home/user"


async def every(files: ComputerFiles, path: str, **options: Any) -> list[str]:
    """The paths of all pages of a listing."""
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await files.list(path, cursor=cursor, **options)
        found += [entry.path for entry in page.entries]
        cursor = page.cursor
    return found


# Looking


async def test_stat_describes_the_entry(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await sh(
        engine,
        "printf 12345 > f; chmod 640 f; mkdir d; ln -s f l; ln -s nowhere dead; mkfifo p; touch -d @1000.5 f",
    )
    info = await files.stat(f"{HOME}/f")
    assert (info.kind, info.size, info.mode, info.mtime_ns) == ("file", 5, 0o640, 1000_500_000_000)
    assert (await files.stat(f"{HOME}/d")).kind == "directory"
    assert (await files.stat(f"{HOME}/p")).kind == "other"
    assert (await files.stat(f"{HOME}/l")).kind == "file"
    link = await files.stat(f"{HOME}/l", follow=False)
    assert (link.kind, link.target) == ("symlink", "f")
    assert (await files.stat("/")).kind == "directory"
    with pytest.raises(FileMissing):
        await files.stat(f"{HOME}/dead")
    assert (await files.stat(f"{HOME}/dead", follow=False)).target == "nowhere"


async def test_a_version_is_another_one_for_other_content(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    seen = set()
    for index in range(20):
        seen.add((await files.write(f"{HOME}/f", b"%02d" % index)).version)
    assert len(seen) == 20
    assert (await files.stat(f"{HOME}/f")).version in seen


async def test_a_listing_is_sorted_and_paged(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await sh(engine, "mkdir -p b/x a c; touch b/x/1 b/2 a/3 z B; ln -s b link")
    tree = ["B", "a", "a/3", "b", "b/2", "b/x", "b/x/1", "c", "link", "z"]
    for limit in (1, 2, 3, 100):
        assert await every(files, HOME, recursive=True, limit=limit) == tree
        assert await every(files, HOME, limit=limit) == ["B", "a", "b", "c", "link", "z"]
    assert await every(files, f"{HOME}/b/x/..", limit=1) == ["2", "x"]
    with pytest.raises(FileMissing):
        await files.list(f"{HOME}/missing")
    with pytest.raises(FileRefused):
        await files.list(f"{HOME}/z")


async def test_a_page_continues_though_what_it_ended_with_is_gone(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await sh(engine, "mkdir -p a/b; touch a/b/1 a/b/2 a/c d")
    page = await files.list(HOME, recursive=True, limit=3)
    assert page.cursor == "a/b/1"
    await sh(engine, "rm -r a/b")
    assert [e.path for e in (await files.list(HOME, recursive=True, cursor=page.cursor)).entries] == [
        "a/c",
        "d",
    ]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.py", ["a.py"]),
        ("**/*.py", ["a.py", "d/b.py", "d/e/c.py"]),
        ("d/*.py", ["d/b.py"]),
        ("d/**", ["d", "d/b.py", "d/e", "d/e/c.py", "d/e/c.txt"]),
        ("*/e/c.t?t", ["d/e/c.txt"]),
        ("[ab].py", ["a.py"]),
        ("**/e", ["d/e"]),
        ("**", ["a.py", "d", "d/b.py", "d/e", "d/e/c.py", "d/e/c.txt"]),
        ("x*", []),
    ],
)
async def test_a_listing_by_a_pattern(engine: BubblewrapEngine, pattern: str, found: list[str]) -> None:
    await sh(engine, "mkdir -p d/e; touch a.py d/b.py d/e/c.py d/e/c.txt")
    assert await every(engine.files("a"), HOME, glob=pattern, limit=2) == found


def test_a_pattern_takes_no_time_to_speak_of() -> None:
    assert not Glob("*a" * 50 + "b").matches("a" * 250)
    assert not Glob("/".join(["**"] * 50) + "/b").matches("/".join("a" * 100))


async def test_the_whole_computer_is_listed_without_its_processes(engine: BubblewrapEngine) -> None:
    found = await every(engine.files("a"), "/", glob="*/*", limit=500)
    assert "home/user" in found
    assert "etc/passwd" in found
    assert not [path for path in found if path.startswith("proc/")]
    assert "self" in await every(engine.files("a"), "/proc")
    # A page that ended with it does not enter it either.
    page = await engine.files("a").list("/", recursive=True, cursor="proc", limit=1)
    assert not page.entries[0].path.startswith("proc")


@pytest.mark.parametrize("path", ["/proc/1/environ", "/proc/1/mem", "/proc/1", "/proc/1/root/etc/passwd"])
async def test_processes_are_not_looked_into(engine: BubblewrapEngine, path: str) -> None:
    files = engine.files("a")
    for look in (files.stat(path), files.list(path), files.append(path, b"x"), files.write(path, b"x")):
        with pytest.raises((FileRefused, FileMissing)):
            await look


@pytest.mark.parametrize("path", ["/proc/keys", "/proc/sys/kernel/hostname"])
async def test_proc_reveals_nothing_about_the_host(engine: BubblewrapEngine, path: str) -> None:
    files = engine.files("a")
    for look in (files.open(path), engine.open_file("a", path), files.copy(path, f"{HOME}/copy")):
        with pytest.raises(FileRefused, match="inside the computer only"):
            await look


@pytest.mark.slow
async def test_the_deepest_path_of_all(engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each of thousands of folders is written to the disk, which may be slow.
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    files = engine.files("a")
    deep = "/".join("d" * 2000)
    await files.mkdir(f"{HOME}/a/{deep}")
    await files.write(f"{HOME}/b/{deep}/file", b"x")
    await engine.write_file("a", f"{HOME}/c/{deep}/file", b"y")
    assert await files.unpack(f"{HOME}/d", [NewEntry(f"{deep}/file", "file", 0o644, 0, b"z")]) == []
    assert (await files.stat(f"{HOME}/a/{deep}")).kind == "directory"
    for folder, text in (("b", b"x"), ("c", b"y"), ("d", b"z")):
        assert await content(engine, f"{HOME}/{folder}/{deep}/file") == text


async def test_a_write_that_fails_gives_its_room_back_though_its_file_is_still_open(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []

    def fill(_: object, target: int) -> None:
        os.write(target, b"x" * 100)
        # As a process that is being started has it, until it executes its program.
        held.append(os.dup(target))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sandbox_files, "copy_data", fill)
    with pytest.raises(StorageFull):
        await engine.write_file("a", f"{HOME}/f", b"x")
    assert os.fstat(held[0]).st_size == 0


async def test_refusals_of_the_kernel_have_a_reason(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    for odd in (files.move("/proc", f"{HOME}/proc"), files.list("/", cursor="\0", recursive=True)):
        with pytest.raises(FileRefused):
            await odd


async def test_settings_of_the_system_cannot_be_changed(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    for path in (
        "/proc/sys/kernel/hostname",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/user/max_user_namespaces",
    ):
        for change in (files.append(path, b"1"), files.write(path, b"1"), files.chmod(path, 0o777)):
            with pytest.raises((FileRefused, FileMissing)):
                await change


async def test_folders_without_permission_are_not_read(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await sh(engine, "mkdir -p d/closed/in; touch d/closed/f d/z; chmod 0 d/closed")
    assert await every(files, f"{HOME}/d", recursive=True) == ["closed", "z"]
    page = await files.manifest(f"{HOME}/d")
    assert [entry.path for entry in page.entries] == ["closed", "z"]
    assert [(one.path, one.reason) for one in page.refused] == [("closed", "closed: permission denied")]
    for read in (files.list(f"{HOME}/d/closed"), files.manifest(f"{HOME}/d/closed")):
        with pytest.raises(FileRefused):
            await read
    with pytest.raises(FileRefused):
        await files.remove(f"{HOME}/d", recursive=True)
    await files.chmod(f"{HOME}/d/closed", 0o755)
    await files.remove(f"{HOME}/d", recursive=True)


async def test_links_in_loops_and_out_are_entries(engine: BubblewrapEngine, box: Box) -> None:
    await sh(engine, f"mkdir d; ln -s .. d/up; ln -s d loop; ln -s {box.folder} d/host; ln -s / d/root")
    assert await every(engine.files("a"), HOME, recursive=True) == ["d", "d/host", "d/root", "d/up", "loop"]
    with pytest.raises(FileMissing):
        await engine.files("a").list(f"{HOME}/d/host")


async def test_names_that_are_not_utf8(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    name = os.fsdecode(b"caf\xe9\n\x01")
    await files.write(f"{HOME}/{name}", b"x")
    assert await every(files, HOME) == [name]
    assert await sh(engine, "test -f $'caf\\xe9\\n\\x01' && echo yes") == "yes\n"
    await files.move(f"{HOME}/{name}", f"{HOME}/d{name}")
    await files.remove(f"{HOME}/d{name}")
    assert await every(files, HOME) == []


# Changing


async def test_directories_are_made(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await files.mkdir(f"{HOME}/a/b/c/")
    await files.mkdir(f"{HOME}/a/b")
    with pytest.raises(FileExists):
        await files.mkdir(f"{HOME}/a", exist_ok=False)
    with pytest.raises(FileMissing):
        await files.mkdir(f"{HOME}/x/y", parents=False)
    await sh(engine, "touch f")
    with pytest.raises(FileExists):
        await files.mkdir(f"{HOME}/f")
    with pytest.raises(FileRefused):
        await files.mkdir("/usr/x")
    assert await sh(engine, "stat -c %a a/b/c") == "755\n"


async def test_a_file_is_replaced_as_asked(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    path = f"{HOME}/f"
    first = await files.write(path, b"one", conditions=Conditions(absent=True))
    with pytest.raises(FileExists):
        await files.write(path, b"two", conditions=Conditions(absent=True))
    second = await files.write(path, b"two", conditions=Conditions(version=first.version), mode=0o755)
    with pytest.raises(FileChanged):
        await files.write(path, b"three", conditions=Conditions(version=first.version))
    with pytest.raises(FileMissing):
        await files.write(f"{HOME}/g", b"x", conditions=Conditions(version=first.version))
    assert (await files.stat(path)).version == second.version
    assert await sh(engine, "cat f; stat -c %a f; ls -A") == "two755\nf\n"
    await files.chmod(path, 0o444)
    with pytest.raises(FileRefused, match="read-only"):
        await files.write(path, b"four", conditions=Conditions(read_only=False))
    await files.write(path, b"five", mtime_ns=1_500_000_001)
    assert await sh(engine, "cat f; stat -c ' %a %.9Y' f; ls -A") == "five 444 1.500000001\nf\n"


async def test_of_two_writers_of_a_new_file_one_wins(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    writes = [files.write(f"{HOME}/f", b"%d" % n, conditions=Conditions(absent=True)) for n in range(8)]
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert sum(not isinstance(result, FileExists) for result in results) == 1


async def test_of_two_writers_that_know_a_version_one_wins(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    known = Conditions(version=(await files.write(f"{HOME}/f", b"old")).version)
    writes = [files.write(f"{HOME}/f", b"%d" % n, conditions=known) for n in range(8)]
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert sum(not isinstance(result, FileChanged) for result in results) == 1


async def test_appending(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await files.append(f"{HOME}/d/f", b"one")
    assert (await files.append(f"{HOME}/d/f", b"two", at=3)).size == 6
    assert (await files.append(f"{HOME}/d/f", b"two", at=3)).size == 6  # sent again
    with pytest.raises(FileChanged):
        await files.append(f"{HOME}/d/f", b"three", at=3)
    await asyncio.gather(*(files.append(f"{HOME}/d/f", b"%d" % n * 1000) for n in range(8)))
    assert len(await content(engine, f"{HOME}/d/f")) == 8006
    with pytest.raises(FileRefused):
        await files.append(f"{HOME}/d", b"x")


async def test_a_file_filled_piece_by_piece_replaces_another(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await sh(engine, "echo old > f; chmod 750 f; ln -s f l")
    await files.append(f"{HOME}/.part", b"ab")
    await files.append(f"{HOME}/.part", b"c", at=2)
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(FileChanged):
        await files.place(f"{HOME}/.part", f"{HOME}/f", sha256="0" * 64)
    with pytest.raises(FileExists):
        await files.place(f"{HOME}/.part", f"{HOME}/f", conditions=Conditions(absent=True))
    for conditions, error in ((Conditions(absent=True), FileExists), (Conditions(version="1"), FileChanged)):
        with pytest.raises(error):
            await files.place(f"{HOME}/.part", "l", base=HOME, conditions=conditions)
    info = await files.place(f"{HOME}/.part", f"{HOME}/l", sha256=abc, mtime_ns=1_000_000_000)
    assert (info.size, info.mode, info.mtime_ns) == (3, 0o750, 1_000_000_000)
    assert await sh(engine, "cat f; ls -A") == "abcf\nl\n"


async def test_a_file_written_in_pieces_is_read_for_its_digest_only_after_other_writes(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = engine.files("a")
    read: list[int] = []
    real = changes.sha256_of
    monkeypatch.setattr(changes, "sha256_of", lambda *args: read.append(args[0]) or real(*args))
    abc = hashlib.sha256(b"abc").hexdigest()
    for part in ("one", "two"):
        await files.append(f"{HOME}/{part}", b"a", at=0)
        await files.append(f"{HOME}/{part}", b"bc", at=1)
    await files.place(f"{HOME}/one", f"{HOME}/f", sha256=abc)
    assert read == []
    await sh(engine, "printf xyz > two")
    with pytest.raises(FileChanged):
        await files.place(f"{HOME}/two", f"{HOME}/f", sha256=abc)
    assert len(read) == 1


@pytest.mark.parametrize("recursive", [False, True])
async def test_removal(engine: BubblewrapEngine, recursive: bool) -> None:
    files = engine.files("a")
    await sh(engine, "touch f; mkdir empty full; touch full/f; mkdir -p kept; touch kept/f; ln -s kept link")
    await files.remove(f"{HOME}/f", recursive=recursive)
    await files.remove(f"{HOME}/empty", recursive=recursive)
    await files.remove(f"{HOME}/link", recursive=recursive)
    await files.remove(f"{HOME}/missing", recursive=recursive, missing_ok=True)
    with pytest.raises(FileMissing):
        await files.remove(f"{HOME}/missing", recursive=recursive)
    if recursive:
        await files.remove(f"{HOME}/full", recursive=True)
    else:
        with pytest.raises(FileRefused, match="not empty"):
            await files.remove(f"{HOME}/full")
        await sh(engine, "rm -r full")
    for path in (HOME, "/", f"{HOME}/kept/.", f"{HOME}/kept/..", "/usr/bin/env"):
        with pytest.raises(FileRefused):
            await files.remove(path)
    assert await sh(engine, "find . -mindepth 1 | sort") == "./kept\n./kept/f\n"


@pytest.mark.slow
async def test_a_deep_tree_is_removed_and_refused_otherwise(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    deep = "import os\nfor n in range(3000):\n os.mkdir('dir'); os.chdir('dir'); open('f', 'w').close()"
    await sh(engine, f'python3 -c "{deep}"')
    with pytest.raises(LimitReached):
        await every(files, HOME, recursive=True, limit=10_000)
    await files.remove(f"{HOME}/dir", recursive=True)
    assert await every(files, HOME, recursive=True) == []


@pytest.mark.slow
async def test_a_large_tree_is_listed_and_removed(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await sh(engine, "mkdir -p big/many; cd big; touch f{1..9000}; cd many; mkdir d{1..1000}")
    found = await every(files, f"{HOME}/big", recursive=True, limit=3000)
    assert len(found) == 10_001
    assert found == sorted(found, key=lambda path: path.split("/"))
    await files.remove(f"{HOME}/big", recursive=True)
    assert await every(files, HOME) == []


@pytest.mark.slow
def test_a_tree_of_any_size_is_listed_in_constant_memory(tmp_path: Path) -> None:
    """`ARKER_TEST_TREE_ENTRIES=1000000` for the whole number."""
    count = int(os.environ.get("ARKER_TEST_TREE_ENTRIES", "11000"))
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as name:
        for number in range(count):
            # Ten thousand in one folder, the others in folders of a thousand.
            folder = f"{name}/wide" if number < 10_000 else f"{name}/d{number // 10_000}/e{number // 1000}"
            if number in (0, 10_000) or (number > 10_000 and number % 1000 == 0):
                Path(folder).mkdir(parents=True)
            os.mknod(f"{folder}/file-{number:07}")
        fd = os.open(name, os.O_RDONLY)
        tracemalloc.start()
        try:
            seen, cursor, last = 0, "", ""
            while True:
                page = walk.listing(Root(fd), "/", recursive=True, cursor=cursor, limit=3000)
                for entry in page.entries:
                    assert entry.path.split("/") > last.split("/")
                    last = entry.path
                    seen += entry.kind == "file"
                if page.cursor is None:
                    break
                cursor = page.cursor
            assert seen == count
            assert tracemalloc.get_traced_memory()[1] < 3 << 20
        finally:
            tracemalloc.stop()
            os.close(fd)


@pytest.mark.slow
async def test_a_tree_that_is_moved_while_it_is_removed_harms_nothing_else(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await sh(engine, "mkdir keep; touch keep/{1..50}")
    race = (
        "import os\n"
        "while not os.path.exists('stop'):\n"
        "  try:\n"
        "    os.makedirs('t/x/y/z', exist_ok=True); open('t/x/y/z/f', 'w').close()\n"
        "    os.rename('t/x/y', 'keep/y'); os.rename('keep/y', 't/x/w')\n"
        "    os.rename('t', 's'); os.symlink('keep', 't'); os.unlink('t'); os.rename('s', 't')\n"
        "  except OSError: pass\n"
    )
    racing = asyncio.create_task(attempt(engine, f'python3 -c "{race}"', timeout=60))
    for _ in range(300):
        try:
            await files.remove(f"{HOME}/t", recursive=True, missing_ok=True)
        except (ComputerBusy, FileRefused, FileMissing):
            continue
    await files.write(f"{HOME}/stop", b"")
    await racing
    assert await sh(engine, "ls keep | grep -vx y | wc -l") == "50\n"


async def test_moving(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await sh(engine, "echo a > a; echo b > b; mkdir d e; echo c > d/c; chmod 750 d; ln -s a l")
    await files.move(f"{HOME}/a", f"{HOME}/b")
    await files.move(f"{HOME}/l", f"{HOME}/m")
    with pytest.raises(FileExists):
        await files.move(f"{HOME}/b", f"{HOME}/d/c", replace=False)
    with pytest.raises((FileExists, FileRefused)):
        await files.move(f"{HOME}/e", f"{HOME}/d")
    with pytest.raises(FileRefused, match="inside"):
        await files.move(f"{HOME}/d", f"{HOME}/d/sub")
    with pytest.raises(FileMissing):
        await files.move(f"{HOME}/missing", f"{HOME}/x")
    await files.move(f"{HOME}/d", "/tmp/moved")
    assert (
        await sh(engine, "cat b /tmp/moved/c; stat -c %a /tmp/moved; readlink m; ls")
        == "a\nc\n750\na\nb\ne\nm\n"
    )


async def test_a_directory_that_a_fork_inherited_is_moved(engine: BubblewrapEngine) -> None:
    await sh(engine, "mkdir -p d/in empty; echo x > d/in/f")
    await engine.fork("a", "b")
    files = engine.files("b")
    await files.move(f"{HOME}/d", f"{HOME}/e")
    assert await sh(engine, "cat e/in/f; ls", vm="b") == "x\ne\nempty\n"
    await engine.fork("b", "c")
    files = engine.files("c")
    for target in (HOME, f"{HOME}/e/in"):
        with pytest.raises((FileExists, FileRefused)):
            await files.move(f"{HOME}/e", target)
    await files.move(f"{HOME}/e", f"{HOME}/empty")
    assert await sh(engine, "cat empty/in/f; ls", vm="c") == "x\nempty\n"
    await sh(engine, "mkdir -p full/f d; touch d/g", vm="b")
    await engine.fork("b", "d")
    with pytest.raises(FileExists):
        await engine.files("d").move(f"{HOME}/d", f"{HOME}/full")
    assert await sh(engine, "ls d full", vm="d") == "d:\ng\n\nfull:\nf\n"


async def test_copying(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await sh(engine, "mkdir -p d/in/empty; echo x > d/in/f; chmod 711 d/in; chmod 600 d/in/f; ln -s f d/in/l")
    await sh(engine, "touch -d @99 d/in/f d/in")
    with pytest.raises(FileRefused, match="recursively"):
        await files.copy(f"{HOME}/d", f"{HOME}/e")
    await files.copy(f"{HOME}/d", f"{HOME}/e", recursive=True)
    with pytest.raises(FileExists):
        await files.copy(f"{HOME}/d", f"{HOME}/e", recursive=True)
    with pytest.raises(FileRefused, match="inside"):
        await files.copy(f"{HOME}/d", f"{HOME}/d/in/d", recursive=True)
    assert (
        await sh(engine, "cat e/in/l; stat -c '%a %Y' e/in/f e/in; ls e/in")
        == "x\n600 99\n711 99\nempty\nf\nl\n"
    )
    await files.copy(f"{HOME}/d/in/f", "/tmp/g")
    with pytest.raises(FileExists):
        await files.copy(f"{HOME}/d/in/f", "/tmp/g", replace=False)
    with pytest.raises(FileRefused):
        await files.copy("/dev/zero", f"{HOME}/zero")
    assert await sh(engine, "cat /tmp/g; ls -A") == "x\nd\ne\n"


@pytest.mark.slow
async def test_holes_of_files_are_not_copied(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await sh(
        engine, "truncate -s 100M f; printf middle | dd of=f bs=1 seek=50M conv=notrunc 2>&-; mkdir d; cp f d"
    )
    await files.copy(f"{HOME}/f", f"{HOME}/g")
    await files.copy(f"{HOME}/d", "/tmp/d", recursive=True)
    assert await sh(engine, "cmp f g; cmp f /tmp/d/f; du -k g | cut -f 1") in ("4\n", "8\n")


async def test_nothing_is_left_of_a_copy_that_fails(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await sh(engine, "mkdir -p d/e; echo 1 > d/a; echo 2 > d/e/f; chmod 0 d/e/f")
    with pytest.raises(FileRefused, match="d/e/f: permission denied"):
        await files.copy(f"{HOME}/d", f"{HOME}/x", recursive=True)
    with pytest.raises(FileRefused, match="d/e/f: permission denied"):
        await files.move(f"{HOME}/d", "/dev/shm/x")
    assert await sh(engine, "ls; ls /dev/shm; cat d/a") == "d\n1\n"


@pytest.mark.engine(disk=3_000_000)
async def test_a_copy_does_not_exceed_the_disk(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await files.write(f"{HOME}/d/f", b"x" * 2_000_000)
    for copy in (
        files.copy(f"{HOME}/d", f"{HOME}/e", recursive=True),
        files.append(f"{HOME}/d/f", b"x" * 2_000_000),
    ):
        with pytest.raises(StorageFull):
            await copy


async def test_links_are_made(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await files.symlink("/etc/hostname", f"{HOME}/l")
    assert await sh(engine, "cat l") == "arkuntu\n"
    with pytest.raises(FileExists):
        await files.symlink("x", f"{HOME}/l")
    await files.chmod(f"{HOME}", 0o700)
    with pytest.raises(FileRefused):
        await files.chmod(f"{HOME}/l", 0o777)  # it leads to what is not the user's


# Trees


async def test_a_manifest_has_all_and_sees_every_change(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await sh(engine, "mkdir -p d/empty; printf abc > d/f; ln -s f d/l; chmod 755 d/f")
    page = await files.manifest(f"{HOME}/d")
    assert page.cursor is None
    assert [(e.path, e.kind, e.target) for e in page.entries] == [
        ("empty", "directory", None),
        ("f", "file", None),
        ("l", "symlink", "f"),
    ]
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (page.entries[1].sha256, page.entries[1].mode) == (abc, 0o755)
    assert (await files.manifest(f"{HOME}/missing")).entries == []
    seen = {abc}
    for n in range(30):
        await sh(engine, f"printf %03d {n} > d/f; touch -d @0 d/f")
        page = await files.manifest(f"{HOME}/d", only=["f", "no/such"])
        assert len(page.entries) == 1
        seen.add(str(page.entries[0].sha256))
    assert len(seen) == 31


async def test_digests_are_kept_until_a_file_changes(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = engine.files("a")
    with monkeypatch.context() as patch:
        # As if time stood still.
        patch.setattr(digests, "_TICKS", 10**15)
        await files.write(f"{HOME}/f", b"x" * 1000)
        first = (await files.manifest(HOME)).entries[0].sha256
        assert not engine._digests._known  # it has only just been written
    while not engine._digests._known:
        await asyncio.sleep(0.1)
        assert (await files.manifest(HOME)).entries[0].sha256 == first
    assert (await files.manifest(HOME)).entries[0].sha256 == first
    await sh(
        engine, 'stamp=$(stat -c %y f); printf y | dd of=f conv=notrunc status=none; touch -d "$stamp" f'
    )
    assert (await files.manifest(HOME)).entries[0].sha256 != first


def entry(path: str, data: bytes = b"", kind: Any = "file", mode: int = 0o644, target: str = "") -> NewEntry:
    return NewEntry(path, kind, mode, 1_000_000_000_000_000_001, data, target)


async def test_a_tree_is_unpacked_and_packed(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    entries = [
        entry("bin", kind="directory", mode=0o500),
        entry("bin/run", b"#!/bin/sh\necho ran\n", mode=0o755),
        entry("deep/er/f", b"data"),
        entry("empty", kind="directory", mode=0o711),
        entry("link", kind="symlink", target="bin/run", mode=0o777),
        entry("zero"),
    ]
    assert await files.unpack(f"{HOME}/new/t", entries) == []
    assert await sh(
        engine, "cd new/t; ./link; stat -c %a bin empty; stat -c %.9Y zero bin link; find . -name '.arker*'"
    ) == ("ran\n500\n711\n" + "1000000000.000000001\n" * 3)
    packed, refused = await files.pack(f"{HOME}/new/t", [e.path for e in entries])
    assert (packed, refused) == (entries, [])
    assert await sh(engine, "cd; chmod 755 new/t/bin; ls -A") == "new\n"


@pytest.mark.parametrize(
    "path",
    ["../out", "/etc/x", "a/../../x", "", ".", "a//b", "a/.", "..", "host/x", "root/tmp/x", "up/x", "nul\0"],
)
async def test_nothing_is_unpacked_outside_of_the_tree(engine: BubblewrapEngine, box: Box, path: str) -> None:
    files = engine.files("a")
    await sh(engine, f"mkdir t; ln -s {box.folder} t/host; ln -s / t/root; ln -s .. t/up")
    for kind in ("file", "directory", "symlink"):
        refused = await files.unpack(f"{HOME}/t", [entry(path, b"x", kind, target="x"), entry("good", b"y")])
        assert [r.path for r in refused] == [path]
    assert await sh(engine, "ls -A . t; ls -A /tmp") == ".:\nt\n\nt:\ngood\nhost\nroot\nup\n"
    assert not (box.folder / "x").exists()


async def test_entries_in_the_way_of_a_tree_are_reported(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await sh(
        engine,
        "mkdir -p t/folder; touch t/file t/locked; chmod 444 t/locked; mkdir t/closed; chmod 555 t/closed",
    )
    refused = await files.unpack(
        f"{HOME}/t",
        [
            entry("folder", b"x"),
            entry("file", kind="directory"),
            entry("file/in", b"x"),
            entry("locked", b"x"),
            entry("closed/f", b"x"),
            entry("pipe", kind="other"),
            entry("x" * 300, b"x"),
            entry("good", b"x"),
        ],
        conditions=Conditions(read_only=False),
    )
    assert {r.path for r in refused} == {"folder", "file", "file/in", "locked", "closed/f", "pipe", "x" * 300}
    assert await sh(engine, "cat t/good; ls -A . | wc -l; ls t | wc -l") == "x1\n5\n"


@pytest.mark.slow
async def test_swapped_links_lead_a_tree_nowhere(engine: BubblewrapEngine, box: Box) -> None:
    files = engine.files("a")
    outside = box.folder / "store" / "outside"
    outside.mkdir()
    await sh(engine, "mkdir -p t/d/e out")
    race = (
        "import os\nos.symlink('/home/user/out', 's')\n"
        "while not os.path.exists('stop'):\n"
        "  for n in ('t/x', 's'):\n"
        "    try: os.rename('t/d', 't/x'); os.rename('s', 't/d'); os.rename('t/d', 's'); os.rename('t/x', 't/d')\n"
        "    except OSError: pass\n"
    )
    racing = asyncio.create_task(attempt(engine, f'python3 -c "{race}"', timeout=60))
    for n in range(150):
        await files.unpack(f"{HOME}/t", [entry(f"d/e{n}", b"x"), entry(f"d/d{n}", kind="directory")])
        await files.pack(f"{HOME}/t", ["d", f"d/e{n}"])
    await files.write(f"{HOME}/stop", b"")
    await racing
    assert await sh(engine, "ls -A out") == ""


async def test_a_piece_has_a_bound_and_leaves_out_what_is_none(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await sh(engine, "mkfifo p; head -c 1000 /dev/zero > f; touch shut; chmod 0 shut")
    packed, refused = await files.pack(HOME, ["f", "p", "missing", "shut", "f"], budget=1500)
    assert [(e.path, e.kind) for e in packed] == [("f", "file"), ("p", "other")]
    assert [r.path for r in refused] == ["missing", "shut", "f"]


async def test_marks(engine: BubblewrapEngine) -> None:
    files = engine.files("a")
    await sh(engine, "touch f; mkdir d; ln -s f l")
    refused = await files.mark(
        HOME, [Marks("f", 0o600, 5), Marks("d", 0o700), Marks("l", 0o777), Marks("../x", 0o777)]
    )
    assert [r.path for r in refused] == ["l", "../x"]
    assert await sh(engine, "stat -c '%a' f d") == "600\n700\n"
    version = (await files.stat(f"{HOME}/f")).version
    await files.write(f"{HOME}/f", b"x")
    refused = await files.mark(HOME, [Marks("f", 0o644, 5, version), Marks("f/", 0o644), Marks("d/", 0o711)])
    assert [r.path for r in refused] == ["f", "f/"]
    assert await sh(engine, "stat -c '%a' f d") == "600\n711\n"


def _locally(operation: str, one: Path, two: Path, data: bytes) -> None:
    match operation:
        case "write":
            one.parent.mkdir(parents=True, exist_ok=True)
            one.write_bytes(data)
        case "append":
            one.parent.mkdir(parents=True, exist_ok=True)
            with one.open("ab") as file:
                file.write(data)
        case "mkdir":
            one.mkdir()
        case "remove" if one.is_dir():
            shutil.rmtree(one)
        case "remove":
            one.unlink()
        case "move":
            one.rename(two)


async def _inside(files: ComputerFiles, operation: str, one: str, two: str, data: bytes) -> None:
    match operation:
        case "write":
            await files.write(f"{HOME}/{one}", data)
        case "append":
            await files.append(f"{HOME}/{one}", data)
        case "mkdir":
            await files.mkdir(f"{HOME}/{one}", parents=False, exist_ok=False)
        case "remove":
            await files.remove(f"{HOME}/{one}", recursive=True)
        case "move":
            await files.move(f"{HOME}/{one}", f"{HOME}/{two}")


@pytest.mark.slow
async def test_operations_like_those_of_a_local_directory(engine: BubblewrapEngine, box: Box) -> None:
    """Random operations have the effects that they have on a directory of this machine."""
    files = engine.files("a")
    local = box.folder / "store" / "model"
    local.mkdir()
    rng = random.Random(7)
    names = ["a", "b", "a/c", "a/d", "b/e", "a/c/f"]
    for step in range(300):
        operation, one, two = (
            rng.choice(["write", "mkdir", "remove", "move", "append"]),
            *rng.sample(names, 2),
        )
        data = b"%d" % step
        try:
            _locally(operation, local / one, local / two, data)
            succeeded = True
        except OSError:
            succeeded = False
        try:
            await _inside(files, operation, one, two, data)
        except (FileMissing, FileRefused, FileExists):
            assert not succeeded, (operation, one, two)
        else:
            assert succeeded, (operation, one, two)
        expected = {str(path.relative_to(local)): path for path in local.rglob("*")}
        assert sorted(await every(files, HOME, recursive=True)) == sorted(expected)
        for name, path in expected.items():
            if path.is_file():
                assert await content(engine, f"{HOME}/{name}") == path.read_bytes()
