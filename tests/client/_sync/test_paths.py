# Derived from tests/client/_async/test_paths.py by `make generate`; do not edit.
"""`computer.path`: paths of a computer as those of pathlib."""

from __future__ import annotations

import pathlib
from pathlib import PurePosixPath

import pytest

from arker import Arker, ArkerError, ComputerPath
from arker.local.process.launcher import Deployment


def test_paths_without_requests() -> None:
    with Arker("ark_key", "http://127.0.0.1:1") as arker:
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
    names = [name for name in dir(ComputerPath) if not name.startswith("_")]
    assert [name for name in names if not hasattr(pathlib.PosixPath, name)] == []


def test_paths_in_a_computer(deployment: Deployment) -> None:
    with (
        Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as arker,
        arker.vm("arkuntu").fork() as vm,
    ):
        root = vm.path("project")
        with pytest.raises(ArkerError, match="not_found"):
            (root / "a/b").mkdir()
        (root / "a/b").mkdir(parents=True)
        with pytest.raises(ArkerError, match="already_exists"):
            root.mkdir()
        root.mkdir(exist_ok=True)
        file = root / "a/b/é.py"
        assert file.write_text("ü = 1\n") == 6
        assert (file.read_text(), file.read_bytes()) == ("ü = 1\n", "ü = 1\n".encode())
        with pytest.raises(ArkerError, match="not_found"):
            (root / "none/f").write_bytes(b"")
        assert (root / "f").write_bytes(b"123") == 3
        (root / "link").symlink_to("f")
        assert (root / "link").readlink() == PurePosixPath("f")
        assert [path for path in root.iterdir()] == [root / "a", root / "f", root / "link"]
        assert [path for path in root.glob("*/*")] == [root / "a/b"]
        assert [path for path in root.rglob("*.py")] == [file]
        link = root / "link"
        assert (link.is_file(), link.is_dir(), link.is_symlink()) == (True, False, True)
        assert (root.is_dir(), (root / "none").exists()) == (True, False)
        assert ((link.stat()).size, (link.lstat()).kind) == (3, "symlink")
        moved = (root / "f").rename("project/g")
        assert moved == root / "g"
        assert (link.exists(), link.is_symlink()) == (False, True)
        moved.chmod(0o600)
        vm.run("touch -d @1 project/g")
        moved.touch()
        info = moved.stat()
        assert info.mode == 0o600
        assert info.mtime_ns > 10**9
        assert moved.read_bytes() == b"123"
        with pytest.raises(ArkerError, match="already_exists"):
            moved.touch(exist_ok=False)
        (root / "new").touch()
        assert ((root / "new").stat()).size == 0
        with file.open() as opened:
            assert opened.read(2) == "ü".encode()
        with pytest.raises(ArkerError, match="is a folder"):
            root.unlink()
        with pytest.raises(ArkerError, match="not a folder"):
            moved.rmdir()
        with pytest.raises(ArkerError, match="not empty"):
            root.rmdir()
        link.unlink()
        link.unlink(missing_ok=True)
        with pytest.raises(ArkerError, match="not_found"):
            link.unlink()
        file.unlink()
        (root / "a/b").rmdir()
        assert vm.files.exists(root / "a")
