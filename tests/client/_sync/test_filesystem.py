# Derived from tests/client/_async/test_filesystem.py by `make generate`; do not edit.
"""`computer.files` with real computers."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from arker import Arker, ArkerError, RetryPolicy
from arker.local.process.launcher import Deployment
from tests.client.conftest import Way

HOME = "/home/user"
LARGE = os.urandom(1 << 20) * 9 + b"end"


def client(way: Way, deployment: Deployment) -> Arker:
    retry = RetryPolicy(backoff=0.001, resend=True)
    return Arker(deployment.api_key, way.url, global_url=way.url, contract=way.contract, retry=retry)


def test_contents(way: Way, deployment: Deployment) -> None:
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        files = vm.files
        info = files.write("d/hello.txt", "héllo", mode=0o600)
        assert (info.path, info.kind, info.size, info.mode) == (f"{HOME}/d/hello.txt", "file", 6, 0o600)
        assert files.read_text("~/d/hello.txt") == "héllo"
        assert files.read("/home/user/d/hello.txt", 1, 3) == "é".encode()
        assert files.read("d/hello.txt", 3, 100) == b"llo"
        assert files.read("d/hello.txt", 100) == b""
        assert (files.append("d/hello.txt", b"!")).size == 7
        with pytest.raises(TypeError):
            files.append("d/hello.txt", 5)  # type: ignore[arg-type]
        files.write("/tmp/empty", b"")
        assert files.read("/tmp/empty") == b""
        with pytest.raises(ArkerError, match="not_found"):
            files.read("missing")
        with pytest.raises(ArkerError, match="not_found"):
            files.read(b"missing \xff")
        with pytest.raises(ArkerError, match="bad_request"):
            files.read("d")
        with pytest.raises(ArkerError, match="bad_request"):
            files.write("/usr/x", b"")
        with pytest.raises(ArkerError, match="empty"):
            files.stat("")
        with pytest.raises(TypeError):
            files.stat(5)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_large_file_goes_in_parts_and_goes_on_where_it_was(way: Way, deployment: Deployment) -> None:
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        files = vm.files
        files.write("big", LARGE)
        assert files.read("big") == LARGE
        assert files.read("big", len(LARGE) - 5) == LARGE[-5:]
        files.write("big", io.BytesIO(LARGE + b"more"), mode=0o755)
        assert (files.stat("big")).mode == 0o755
        names = [info.name for info in files.list()]
        assert names == ["big"]
        # What a client that died had sent is not sent again.
        sent: list[int] = []
        append = files._backend.append

        def cut(path: str, data: bytes, at: int | None) -> object:
            if sent:
                raise ArkerError("network", "cut")
            sent.append(len(data))
            return append(path, data, at)

        files._backend = type("Wire", (), {"append": staticmethod(cut), "stat": files._backend.stat})()  # type: ignore[assignment]
        with pytest.raises(ArkerError, match="cut"):
            files.write("other", LARGE)
        way.lose(2)
        vm.files.write("other", LARGE)
        assert vm.files.read("other") == LARGE
        assert {info.name for info in vm.files.list()} == {"big", "other"}
        # Nothing stays of a write that would fail again.
        for conditions in ({"if_absent": True}, {"if_match": "0"}):
            with pytest.raises(ArkerError, match=r"already_exists|conflict"):
                vm.files.write("big", LARGE + b"2", **conditions)  # type: ignore[arg-type]
        assert {info.name for info in vm.files.list()} == {"big", "other"}


def test_conditions(way: Way, deployment: Deployment) -> None:
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        files = vm.files
        first = files.write("f", b"1", if_absent=True)
        with pytest.raises(ArkerError, match="already_exists"):
            files.write("f", b"2", if_absent=True)
        files.write("f", b"2", if_match=first.version)
        for data in (b"3", LARGE):
            with pytest.raises(ArkerError, match="conflict"):
                files.write("f", data, if_match=first.version)
        files.chmod("f", 0o444)
        with pytest.raises(ArkerError, match="read-only"):
            files.write("f", b"3")
        files.write("f", b"3", replace_read_only=True)
        assert files.read("f") == b"3"


def test_folders(way: Way, deployment: Deployment) -> None:
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        files = vm.files
        files.mkdir("a/b")
        files.write("a/b/f.py", b"import os\n")
        files.symlink("b", "a/link")
        assert files.readlink("a/link") == "b"
        assert [(i.path, i.kind) for i in files.list("a", recursive=True)] == [
            (f"{HOME}/a/b", "directory"),
            (f"{HOME}/a/b/f.py", "file"),
            (f"{HOME}/a/link", "symlink"),
        ]
        assert [i.path for i in files.list("./a//./b/")] == [f"{HOME}/a/b/f.py"]
        assert [i.name for i in files.list(glob="**/*.py")] == ["f.py"]
        files.copy("a", "c", recursive=True)
        files.move("c/b/f.py", "c/g")
        assert files.exists("c/g")
        assert not files.exists("c/b/f.py")
        assert [i.name for i in files.find(".", name="?", kind="file")] == ["g"]
        assert [i.name for i in files.find(".", larger_than=9)] == ["f.py", "g"]
        with pytest.raises(ValueError, match="kind is file, directory, symlink, other or None, not 'dir'"):
            files.find(".", kind="dir")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="mode is an int such as 0o644, not '644'"):
            files.chmod("c/g", "644")  # type: ignore[arg-type]
        files.remove("c", recursive=True)
        files.remove("c", missing_ok=True)
        with pytest.raises(ArkerError, match="not_found"):
            files.remove("c")
        with pytest.raises(ArkerError, match="not empty"):
            files.remove("a")
        name = b"caf\xe9"
        files.write(name, b"x")
        assert os.fsencode([i.name for i in files.list()][-1]) == name
        assert files.read(name) == b"x"


def test_grep(way: Way, deployment: Deployment) -> None:
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        files = vm.files
        files.write("d/a:b.txt", "one\nTwo (2)\n")
        files.write("d/e", "two (2)\n")
        files.write("d/binary", b"two\0two\n")
        found = files.grep("two (2)", "d", fixed=True, ignore_case=True)
        assert sorted((m.path, m.line, m.text) for m in found) == [
            (f"{HOME}/d/a:b.txt", 2, "Two (2)"),
            (f"{HOME}/d/e", 1, "two (2)"),
        ]
        assert files.grep("nothing", "d") == []
        with pytest.raises(ArkerError, match="pattern"):
            files.grep("(", "d")
        with pytest.raises(ArkerError, match="not_found"):
            files.grep("x", "missing")


def test_an_answer_that_is_lost_costs_nothing(way: Way, deployment: Deployment) -> None:
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        files = vm.files
        way.lose(1)
        files.mkdir("d")
        way.lose(1)
        files.write("d/f", b"x")
        way.lose(1)
        assert files.read("d/f") == b"x"
        way.lose(1)
        files.remove("d/f")
        assert not files.exists("d/f")


@pytest.mark.slow
def test_file_objects(way: Way, deployment: Deployment) -> None:
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        files = vm.files
        with files.open("f", "wb") as file:
            file.write(b"0123")
            file.write(b"456789")
            assert not files.exists("f")
        with files.open("f", "ab") as file:
            file.write(b"ab")
        file = files.open("f", "wb")
        file.__enter__()
        file.write(b"never")
        file.close(discard=True)
        with files.open("f") as file:
            assert file.read(3) == b"012"
            assert file.seek(-4, os.SEEK_END) == 8
            assert file.read() == b"89ab"
            assert file.read() == b""
            file.seek(2)
            assert (file.read(2), file.tell()) == (b"23", 4)
        files.write("big", LARGE)
        with files.open("big") as file:
            file.read(10)
            files.write("big", b"x" + LARGE)
            with pytest.raises(ArkerError, match="conflict"):
                file.read()
        with pytest.raises(ValueError, match="mode"):
            files.open("f", "r+")
        with pytest.raises(ArkerError, match="already_exists"):
            with files.open("f", "xb") as file:
                file.write(b"x")
        with files.open("new", "xb") as file:
            file.write(b"one\ntwo\n\n" + b"3" * 10_000)
        with pytest.raises(RuntimeError):
            with files.open("f", "wb"):
                raise RuntimeError
        with files.open("new") as file:
            assert [len(line) for line in file] == [4, 4, 1, 10_000]
            file.seek(0)
            assert (file.readline(2), file.readline(), file.tell()) == (b"on", b"e\n", 4)
            buffer = bytearray(3)
            assert (file.readinto(buffer), bytes(buffer)) == (3, b"two")
            assert (file.seek(100_000), file.read(), file.readable(), file.writable()) == (
                100_000,
                b"",
                True,
                False,
            )
            with pytest.raises(ValueError, match="-1"):
                file.seek(-1)
        with pytest.raises(ValueError, match="not open"):
            file.read()
        assert files.read("f") == b"0123456789ab"


def test_local_files(way: Way, deployment: Deployment, tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"#!/bin/sh\necho ran\n")
    (tmp_path / "run").chmod(0o755)
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        seen: list[tuple[int, int]] = []
        vm.files.upload(tmp_path / "run", "run", progress=lambda *at: seen.append(at))
        assert (vm.run("./run")).stdout == b"ran\n"
        vm.files.download("run", tmp_path / "back", progress=lambda *at: seen.append(at))
        assert seen == [(19, 19), (19, 19)]
        assert (tmp_path / "back").read_bytes() == (tmp_path / "run").read_bytes()
        (tmp_path / "plain").touch()
        plain = (tmp_path / "plain").stat().st_mode & 0o777
        # Executable for those who may read it.
        assert (tmp_path / "back").stat().st_mode & 0o777 == plain | (plain & 0o444) >> 2
        (tmp_path / "folder").mkdir()
        for name, target in (("missing", "none"), ("/tmp", "none"), ("run", "no/folder"), ("run", "folder")):
            with pytest.raises(ArkerError, match=r"not_found|bad_request|local_file"):
                vm.files.download(name, tmp_path / target)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "folder", "plain", "run"]


def test_what_is_in_a_deleted_computer_is_an_error(way: Way, deployment: Deployment) -> None:
    with client(way, deployment) as arker:
        vm = arker.vm("arkuntu").fork()
        assert not vm.files.exists("missing")
        vm.delete()
        with pytest.raises(ArkerError, match="there is no computer"):
            vm.files.exists("missing")
        with pytest.raises(ArkerError, match="there is no computer"):
            vm.path("missing").is_file()
        with pytest.raises(ArkerError, match="there is no computer"):
            vm.wait_for(path="missing", timeout=30)


def test_a_folder_that_is_made_while_it_is_watched(way: Way, deployment: Deployment) -> None:
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        vm.run("(sleep 0.1; mkdir d; touch d/f) > /dev/null 2>&1 &")
        seen: list[str] = []
        for changes in vm.files.watch("d", since=[]):
            seen += [change.path for change in changes]
            if seen:
                break
        assert seen[0] == f"{HOME}/d/f"


def test_watching(way: Way, deployment: Deployment) -> None:
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        files = vm.files
        files.write("d/old", b"x")
        before = [info for info in files.list("d", recursive=True)]
        files.write("d/new", b"x")
        files.write("d/old", b"y")
        seen = []
        for changes in files.watch("d", since=before):
            seen += [(change.kind, change.path) for change in changes]
            if len(seen) == 2:
                files.remove("d/old")
            if len(seen) == 3:
                break
        assert seen == [
            ("added", f"{HOME}/d/new"),
            ("changed", f"{HOME}/d/old"),
            ("removed", f"{HOME}/d/old"),
        ]
        files.move("d/new", "d/moved")
        for again in files.watch("d", since=changes.entries):
            assert [(change.kind, change.path) for change in again] == [
                ("added", f"{HOME}/d/moved"),
                ("removed", f"{HOME}/d/new"),
            ]
            break
