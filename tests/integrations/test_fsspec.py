"""Files of computers through fsspec: its conformance suites, and programs that use it."""

from __future__ import annotations

import errno
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import fsspec.generic
import pytest
from fsspec.tests import abstract

from arker import Arker, Computer
from arker.integrations.fsspec import ArkerFileSystem
from arker.local.process.launcher import Deployment


@pytest.fixture(scope="module")
def client(deployment: Deployment) -> Iterator[Arker]:
    with Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as client:
        yield client


@pytest.fixture(scope="module")
def computer(client: Arker) -> Iterator[Computer]:
    with client.vm("arkuntu").fork(name="fsspec-computer") as computer:
        yield computer


@pytest.fixture
def fs(client: Arker, computer: Computer) -> Iterator[ArkerFileSystem]:
    # The suites of fsspec leave files behind, and run on the same computer.
    assert computer.run("rm -rf /home/user/*").exit_code == 0
    yield ArkerFileSystem(client=client, skip_instance_cache=True)
    assert computer.run("rm -rf /home/user/* /home/user/.arker*").exit_code == 0
    assert computer.run("ls -A").text == ""


class Fixtures(abstract.AbstractFixtures):  # type: ignore[misc]
    @pytest.fixture
    def fs(self, client: Arker) -> ArkerFileSystem:
        return ArkerFileSystem(client=client, skip_instance_cache=True)

    @pytest.fixture
    def fs_join(self) -> Any:
        return lambda *parts: "/".join(parts)

    @pytest.fixture
    def fs_path(self, computer: Computer) -> str:
        return f"{computer.id}/home/user"


class TestCopy(abstract.AbstractCopyTests, Fixtures):  # type: ignore[misc]
    pass


class TestGet(abstract.AbstractGetTests, Fixtures):  # type: ignore[misc]
    pass


class TestPut(abstract.AbstractPutTests, Fixtures):  # type: ignore[misc]
    pass


class TestPipe(abstract.AbstractPipeTests, Fixtures):  # type: ignore[misc]
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):  # type: ignore[misc]
    pass


def test_a_url_is_enough(
    fs: ArkerFileSystem, computer: Computer, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARKER_API_KEY", deployment.api_key)
    monkeypatch.setenv("ARKER_BASE_URL", deployment.base_url)
    monkeypatch.setenv("ARKER_GLOBAL_URL", deployment.base_url)
    fsspec.register_implementation("arker", "arker.integrations.fsspec.ArkerFileSystem", clobber=True)
    with fsspec.open(f"arker://{computer.id}/home/user/by-url/a.txt", "w") as file:
        file.write("hello")
    with fsspec.open("arker://fsspec-computer/home/user/by-url/a.txt", "r") as file:
        assert file.read() == "hello"
    found = fsspec.filesystem("arker")
    assert found.ls(f"{computer.id}/home/user/by-url", detail=False) == [
        f"{computer.id}/home/user/by-url/a.txt"
    ]
    assert "fsspec-computer" in found.ls("", detail=False)
    found.client.close()
    ArkerFileSystem.clear_instance_cache()


def test_large_files_are_written_in_parts_and_appear_when_complete(
    fs: ArkerFileSystem, computer: Computer
) -> None:
    path = f"{computer.id}/home/user/big"
    data = bytes(range(256)) * 40_000
    with fs.open(path, "wb", block_size=1 << 20) as file:
        for start in range(0, len(data), 1 << 19):
            file.write(data[start : start + (1 << 19)])
            assert not fs.exists(path)
    assert fs.cat_file(path) == data
    with fs.open(path, "rb", block_size=1 << 20) as file:
        file.seek(-10, 2)
        assert file.read() == data[-10:]
    with fs.open(path, "ab") as file:
        file.write(b"end")
    assert fs.cat_file(path, start=-4) == data[-1:] + b"end"
    assert fs.ls(f"{computer.id}/home/user", detail=False) == [path]


def test_failures_are_those_of_local_files(fs: ArkerFileSystem, computer: Computer) -> None:
    home = f"{computer.id}/home/user"
    fs.mkdir(f"{home}/d")
    fs.pipe_file(f"{home}/d/f", b"x")
    with pytest.raises(FileExistsError):
        fs.mkdir(f"{home}/d")
    with pytest.raises(FileNotFoundError):
        fs.info(f"{home}/none")
    with pytest.raises(FileNotFoundError):
        fs.cat_file(f"{home}/none")
    with pytest.raises(FileNotFoundError):
        fs.ls("no-such-computer/home")
    with pytest.raises(IsADirectoryError):
        fs.rm(f"{home}/d")
    with pytest.raises(FileExistsError):
        fs.pipe_file(f"{home}/d/f", b"y", mode="create")
    fs.mv(f"{home}/d/f", f"{home}/d/g")
    assert fs.find(home) == [f"{home}/d/g"]


def test_rsync(
    fs: ArkerFileSystem, client: Arker, computer: Computer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a/a/empty").mkdir(parents=True)
    (tmp_path / "a/a/f").write_text("one")
    (tmp_path / "a/g").write_text("two")
    here, there = f"file://{tmp_path}/a", f"arker://{computer.id}/home/user/t"
    known = {"arker": fs, "file": fsspec.filesystem("file")}
    monkeypatch.setattr(fsspec.generic, "_generic_fs", known)
    generic = fsspec.generic.GenericFileSystem("generic", skip_instance_cache=True)
    copied = fsspec.generic.rsync(here, there, fs=generic)
    assert sorted(copied.values()) == [f"{there}/a/f", f"{there}/g"]
    assert (
        computer.run("cd ~/t && find . | sort && cat a/f g").text == ".\n./a\n./a/empty\n./a/f\n./g\nonetwo"
    )
    assert fsspec.generic.rsync(here, there, fs=generic) == {}
    (tmp_path / "a/g").unlink()
    (tmp_path / "a/a/f").write_text("three")
    assert list(fsspec.generic.rsync(here, there, fs=generic, delete_missing=True)) == [f"{here}/a/f"]
    assert computer.run("cd ~/t && find . -type f && cat a/f").text == "./a/f\nthree"
    # And to another place in the computer, and back.
    fsspec.generic.rsync(there, f"{there}2", fs=generic)
    fsspec.generic.rsync(f"{there}2", f"file://{tmp_path}/b", fs=generic)
    assert (tmp_path / "b/a/f").read_text() == "three"
    assert (tmp_path / "b/a/empty").is_dir()


def test_failures_have_numbers(fs: ArkerFileSystem, computer: Computer) -> None:
    home = f"{computer.id}/home/user"
    fs.pipe_file(f"{home}/d/f", b"x")
    for number, failing in (
        (errno.ENOENT, lambda: fs.cat_file(f"{home}/none")),
        (errno.ENOTDIR, lambda: fs.info(f"{home}/d/f/x")),
        (errno.EISDIR, lambda: fs.pipe_file(f"{home}/d", b"")),
        (errno.ENOTEMPTY, lambda: fs.rmdir(f"{home}/d")),
        (errno.EROFS, lambda: fs.pipe_file(f"{computer.id}/usr/x", b"")),
        (errno.EEXIST, lambda: fs.mkdir(f"{home}/d")),
    ):
        with pytest.raises(OSError, match=re.escape(computer.id)) as failed:
            failing()
        assert failed.value.errno == number


def test_an_exception_leaves_no_file(fs: ArkerFileSystem, computer: Computer) -> None:
    path = f"{computer.id}/home/user/f"

    def write(size: int) -> None:
        with fs.open(path, "wb") as file:
            file.write(b"x" * size)
            raise KeyError

    for size in (1, 9 << 20):
        with pytest.raises(KeyError):
            write(size)
        with pytest.raises(KeyError), fs.transaction:
            write(size)
    assert computer.run("ls -A").text == ""


def test_a_client_does_not_travel(fs: ArkerFileSystem) -> None:
    with pytest.raises(TypeError, match="ARKER_API_KEY"):
        pickle.dumps(fs)
    assert pickle.loads(pickle.dumps(ArkerFileSystem(base_url="http://x"))).storage_options == {
        "base_url": "http://x"
    }
