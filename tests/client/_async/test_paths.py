"""`computer.path`: paths of a computer as those of pathlib."""

from __future__ import annotations

import pathlib
from pathlib import PurePosixPath

import pytest

from arker import ArkerError, AsyncArker, AsyncComputerPath
from arker.local.process.launcher import Deployment


async def test_paths_without_requests() -> None:
    async with AsyncArker("ark_key", "http://127.0.0.1:1") as arker:
        vm = arker.vm("01KQBYKEV5WJ7YB010603T1DCT_d8c0")
        path = vm.path("src") / "app/main.tar.gz"
        pure = PurePosixPath("src/app/main.tar.gz")
        assert (str(path), path.name, path.stem, path.suffix) == (str(pure), pure.name, pure.stem, ".gz")
        assert (path.suffixes, path.parts) == (pure.suffixes, pure.parts)
        assert (str(path.parent), len(path.parents)) == ("src/app", 3)
        assert str(path.with_name("x.py").with_stem("y").with_suffix(".txt")) == "src/app/y.txt"
        assert str(path.absolute()) == "/home/user/src/app/main.tar.gz"
        assert str(vm.path("~/x").expanduser()) == "/home/user/x"
        assert (path.is_absolute(), path.absolute().is_absolute()) == (False, True)
        assert str(path / "/etc") == "/etc"
        assert path.match("*.gz")
        assert path.is_relative_to("src")
        assert path.relative_to("src") == PurePosixPath("app/main.tar.gz")
        assert {path, vm.path("src") / "app" / "main.tar.gz"} == {path}
        assert path != arker.vm("01KQBYKEV5WJ7YB010603T1DCT_d8c1").path(path)
        assert sorted([vm.path("b"), vm.path("a")])[0] == vm.path("a")
        with pytest.raises(ArkerError, match="empty"):
            vm.path("")


def test_names_are_those_of_pathlib() -> None:
    names = [name for name in dir(AsyncComputerPath) if not name.startswith("_")]
    assert [name for name in names if not hasattr(pathlib.PosixPath, name)] == []


async def test_paths_in_a_computer(deployment: Deployment) -> None:
    async with (
        AsyncArker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as arker,
        await arker.vm("arkuntu").fork() as vm,
    ):
        root = vm.path("project")
        with pytest.raises(ArkerError, match="not_found"):
            await (root / "a/b").mkdir()
        await (root / "a/b").mkdir(parents=True)
        with pytest.raises(ArkerError, match="already_exists"):
            await root.mkdir()
        await root.mkdir(exist_ok=True)
        file = root / "a/b/é.py"
        assert await file.write_text("ü = 1\n") == 6
        assert (await file.read_text(), await file.read_bytes()) == ("ü = 1\n", "ü = 1\n".encode())
        with pytest.raises(ArkerError, match="not_found"):
            await (root / "none/f").write_bytes(b"")
        assert await (root / "f").write_bytes(b"123") == 3
        await (root / "link").symlink_to("f")
        assert await (root / "link").readlink() == PurePosixPath("f")
        assert [path async for path in root.iterdir()] == [root / "a", root / "f", root / "link"]
        assert [path async for path in root.glob("*/*")] == [root / "a/b"]
        assert [path async for path in root.rglob("*.py")] == [file]
        link = root / "link"
        assert (await link.is_file(), await link.is_dir(), await link.is_symlink()) == (True, False, True)
        assert (await root.is_dir(), await (root / "none").exists()) == (True, False)
        assert ((await link.stat()).size, (await link.lstat()).kind) == (3, "symlink")
        moved = await (root / "f").rename("project/g")
        assert moved == root / "g"
        assert (await link.exists(), await link.is_symlink()) == (False, True)
        await moved.chmod(0o600)
        await vm.run("touch -d @1 project/g")
        await moved.touch()
        info = await moved.stat()
        assert info.mode == 0o600
        assert info.mtime_ns > 10**9
        assert await moved.read_bytes() == b"123"
        with pytest.raises(ArkerError, match="already_exists"):
            await moved.touch(exist_ok=False)
        await (root / "new").touch()
        assert (await (root / "new").stat()).size == 0
        async with file.open() as opened:
            assert await opened.read(2) == "ü".encode()
        with pytest.raises(ArkerError, match="is a folder"):
            await root.unlink()
        with pytest.raises(ArkerError, match="not a folder"):
            await moved.rmdir()
        with pytest.raises(ArkerError, match="not empty"):
            await root.rmdir()
        await link.unlink()
        await link.unlink(missing_ok=True)
        with pytest.raises(ArkerError, match="not_found"):
            await link.unlink()
        await file.unlink()
        await (root / "a/b").rmdir()
        assert await vm.files.exists(root / "a")
