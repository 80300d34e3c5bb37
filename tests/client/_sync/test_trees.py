# Derived from tests/client/_async/test_trees.py by `make generate`; do not edit.
"""Copying whole trees to a computer and back."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from arker import Arker, ArkerError, Hooks, RetryPolicy
from arker._sync.files import backend, trees, wire
from arker.folders import LocalTree
from arker.local.process.launcher import Deployment
from tests.client.conftest import Way

HOME = "/home/user"


def client(way: Way, deployment: Deployment, tries: int = 4, hooks: Hooks | None = None) -> Arker:
    return Arker(
        deployment.api_key,
        way.url,
        global_url=way.url,
        contract=way.contract,
        retry=RetryPolicy(attempts=tries, backoff=0.001, resend=True),
        hooks=hooks,
    )


def picture(root: Path) -> dict[str, tuple[Any, ...]]:
    """All that a push or pull carries of a tree."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in sorted(root.rglob("*")):
        info = path.lstat()
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        elif path.is_dir():
            found[name] = ("folder", info.st_mode & 0o777)
        else:
            found[name] = ("file", info.st_mode & 0o777, info.st_mtime_ns, path.read_bytes())
    return found


def plant(root: Path) -> None:
    (root / "src/deep/er").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "closed").mkdir()
    (root / "src/main.py").write_text("print('hello')\n")
    (root / "src/run").write_text("#!/bin/sh\necho ran\n")
    (root / "src/run").chmod(0o755)
    (root / "src/deep/er/data").write_bytes(os.urandom(100_000))
    (root / "src/link").symlink_to("deep/er/data")
    (root / "closed/f").write_text("x")
    (root / "closed").chmod(0o500)
    (root / os.fsdecode(b"caf\xe9")).write_text("not UTF-8")


def test_a_tree_goes_there_and_back(way: Way, deployment: Deployment, tmp_path: Path) -> None:
    plant(tmp_path / "a")
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        told: list[tuple[int, int]] = []
        result = vm.files.push(tmp_path / "a", "t", progress=lambda done, size: told.append((done, size)))
        assert set(result.sent) == set(picture(tmp_path / "a"))
        assert (result.removed, result.skipped, result.unchanged) == ((), {}, 0)
        assert told[-1] == (result.size, result.size)
        assert (vm.run("t/src/run; stat -c %a t/closed; readlink t/src/link; ls -A t/empty")).stdout == (
            b"ran\n500\ndeep/er/data\n"
        )
        again = vm.files.push(tmp_path / "a", "t", delete=True)
        assert (again.sent, again.removed, again.unchanged) == ((), (), len(result.sent))
        back = vm.files.pull("t", tmp_path / "b")
        assert set(back.sent) == set(result.sent)
        assert picture(tmp_path / "b") == picture(tmp_path / "a")
        assert (vm.files.pull("t", tmp_path / "b", delete=True)).unchanged == len(result.sent)
        # What is read-only is restored, so that the folder can be removed.
        (tmp_path / "a/closed").chmod(0o700)
        (tmp_path / "b/closed").chmod(0o700)


def test_a_tree_is_compressed_on_the_way_to_another_machine(
    way: Way, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    for number in range(20):
        (tmp_path / f"a/f{number}").write_text(f"line {number}\n" * 5_000)
    size = sum(path.stat().st_size for path in (tmp_path / "a").iterdir())
    if way.name == "endpoints":
        monkeypatch.setattr(wire, "is_loopback", lambda host: False)
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        before = way.carried
        assert (vm.files.push(tmp_path / "a", "t")).size == size
        assert way.name != "endpoints" or way.carried - before < size / 4
        before = way.carried
        assert (vm.files.pull("t", tmp_path / "b")).size == size
        assert way.carried - before < size / 4
    assert picture(tmp_path / "b") == picture(tmp_path / "a")


def test_only_what_differs_travels(way: Way, deployment: Deployment, tmp_path: Path) -> None:
    for name in ("same", "touched", "edited", "mode", "gone"):
        (tmp_path / name).write_text(name)
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        vm.files.push(tmp_path, "t")
        (tmp_path / "touched").touch()
        (tmp_path / "edited").write_text("EDITED")
        (tmp_path / "mode").chmod(0o700)
        (tmp_path / "gone").unlink()
        (tmp_path / "new").mkdir()
        result = vm.files.push(tmp_path, "t")
        assert result.sent == ("edited", "mode", "new", "touched")
        assert (result.size, result.unchanged, result.removed) == (6, 1, ())
        assert (vm.files.push(tmp_path, "t", delete=True)).removed == ("gone",)
        assert (vm.run("cat t/edited; stat -c ' %a' t/mode; ls t")).text == (
            "EDITED 700\nedited\nmode\nnew\nsame\ntouched\n"
        )
        # The same size and time: only a look into them shows it.
        stamp = (tmp_path / "same").stat().st_mtime_ns
        (tmp_path / "same").write_text("SAME")
        os.utime(tmp_path / "same", ns=(stamp, stamp))
        assert (vm.files.push(tmp_path, "t")).sent == ()
        assert (vm.files.push(tmp_path, "t", checksum=True)).sent == ("same",)


def test_an_unchanged_tree_takes_one_request(way: Way, deployment: Deployment, tmp_path: Path) -> None:
    plant(tmp_path / "a")
    routes: list[str] = []
    hooks = Hooks(on_request=lambda event: routes.append(event.route))
    with client(way, deployment, hooks=hooks) as arker, arker.vm("arkuntu").fork() as vm:
        vm.files.push(tmp_path / "a", "t")
        vm.files.pull("t", tmp_path / "b")
        routes.clear()
        assert (vm.files.push(tmp_path / "a", "t")).sent == ()
        assert len(routes) == 1, routes
        assert (vm.files.pull("t", tmp_path / "b")).sent == ()
        assert len(routes) == 2, routes
    for name in ("a", "b"):
        (tmp_path / name / "closed").chmod(0o700)


def test_ignored_files_are_left_alone_on_both_sides(way: Way, deployment: Deployment, tmp_path: Path) -> None:
    for name in ("a.py", "a.pyc", "build/out", "src/build/x", "keep.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        vm.run("mkdir -p t/build; touch t/build/theirs t/old.pyc t/old.py")
        patterns = ["*.pyc", "build/", "*.log", "!keep.log"]
        result = vm.files.push(tmp_path, "t", delete=True, ignore=patterns)
        assert result.sent == ("a.py", "keep.log", "src")
        assert result.removed == ("old.py",)
        assert (vm.run("ls t t/build")).text.split() == [
            "t:", "a.py", "build", "keep.log", "old.pyc", "src", "t/build:", "theirs",
        ]  # fmt: skip
        back = vm.files.pull("t", tmp_path / "back", ignore=lambda path: path.endswith((".pyc", "build/")))
        assert back.sent == ("a.py", "keep.log", "src")
        with pytest.raises(TypeError):
            vm.files.push(tmp_path, "t", ignore="*.pyc")


def test_things_of_another_kind_are_replaced_only_if_asked(
    way: Way, deployment: Deployment, tmp_path: Path
) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/f").write_text("f")
    (tmp_path / "y").write_text("y")
    (tmp_path / "z").symlink_to("y")
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        vm.run("mkdir -p t/y/full; touch t/x t/y/full/f t/z")
        result = vm.files.push(tmp_path, "t")
        assert (result.sent, set(result.skipped)) == (("z",), {"x", "x/f", "y"})
        assert (vm.files.push(tmp_path, "t", delete=True)).sent == ("x", "x/f", "y")
        assert (vm.run("cat t/x/f t/y t/z")).text == "fyy"


def test_read_only_files_are_replaced_only_if_asked(way: Way, deployment: Deployment, tmp_path: Path) -> None:
    sizes = {"small": 3, "large": trees.PART + 1}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(b"a" * size)
        (tmp_path / name).chmod(0o444)
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        vm.files.push(tmp_path, "t")
        for name, size in sizes.items():
            (tmp_path / name).chmod(0o644)
            (tmp_path / name).write_bytes(b"b" * (size + 1))
        result = vm.files.push(tmp_path, "t")
        assert (result.sent, set(result.skipped)) == ((), {"small", "large"})
        with pytest.raises(ArkerError, match="read-only"):
            vm.files.upload(tmp_path / "small", "t/small")
        vm.files.upload(tmp_path / "small", "t/small", mode=0o444, replace_read_only=True)
        assert vm.files.read("t/small") == b"bbbb"
        assert (vm.files.push(tmp_path, "t", replace_read_only=True)).sent == ("large", "small")
        assert (vm.files.stat("t/small")).mode == 0o644


def test_ignored_files_keep_the_folders_that_they_are_in(
    way: Way, deployment: Deployment, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").write_text("f")
    names = ["pkg/a.pyc", "pkg/b.py", "old/x/b.py", "file/c.pyc"]
    for name in names:
        (tmp_path / "b" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "b" / name).touch()
    kept = {"file", "file/c.pyc", "pkg", "pkg/a.pyc"}
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        vm.files.push(tmp_path / "b", "t")
        pushed = vm.files.push(tmp_path / "a", "t", delete=True, ignore=["*.pyc"])
        assert (pushed.sent, pushed.removed, set(pushed.skipped)) == ((), ("old", "pkg/b.py"), {"file"})
        assert {info.path.removeprefix(f"{HOME}/t/") for info in vm.files.list("t", recursive=True)} == kept
        vm.files.push(tmp_path / "a", "u")
        pulled = vm.files.pull("u", tmp_path / "b", delete=True, ignore=["*.pyc"])
        assert (pulled.sent, pulled.removed, set(pulled.skipped)) == ((), ("old", "pkg/b.py"), {"file"})
        assert picture(tmp_path / "b").keys() == kept


def test_only_what_is_named_is_not_ignored(way: Way, deployment: Deployment, tmp_path: Path) -> None:
    for name in ("docs/deep/a.md", "docs/b.txt", "c.md", "d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        result = vm.files.push(tmp_path, "t", ignore=["*", "!*/", "!*.md"])
        assert result.sent == ("c.md", "docs", "docs/deep", "docs/deep/a.md")


def test_folders_that_cannot_be_read_in_the_computer(
    way: Way, deployment: Deployment, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b/closed").mkdir(parents=True)
    (tmp_path / "b/closed/mine").touch()
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        (vm.run("mkdir -p t/d t/closed/in; touch t/d/f; chmod 0 t/closed")).check()
        pulled = vm.files.pull("t", tmp_path / "b", delete=True)
        assert (pulled.removed, pulled.skipped) == ((), {"closed": "closed: permission denied"})
        assert {"d", "d/f"} <= set(pulled.sent)
        (tmp_path / "b/closed").chmod(0o700)
        assert (tmp_path / "b/closed/mine").exists()
        pushed = vm.files.push(tmp_path / "a", "t", delete=True)
        assert (pushed.removed, pushed.skipped) == (("d",), {"closed": "closed: permission denied"})
        assert (vm.run("chmod 700 t/closed; find t")).text.split() == ["t", "t/closed", "t/closed/in"]


def test_a_file_replaced_during_a_push_is_not_taken_for_equal(
    way: Way, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time is not set, by which the next transfer would take it for the same."""
    (tmp_path / "f").write_text("one\n")
    mark, mark_here = backend.FileBackend.mark, LocalTree.mark
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:

        def after_a_change(self: Any, base: Any, marks: Any) -> dict[str, str]:
            vm.run("echo two > t/new; mv t/new t/f")
            return mark(self, base, marks)

        def after_a_change_here(self: Any, entries: Any) -> dict[str, str]:
            (tmp_path / "f").write_text("six\n")
            return mark_here(self, entries)

        vm.files.push(tmp_path, "t")
        (tmp_path / "f").touch()
        with monkeypatch.context() as patch:
            patch.setattr(backend.FileBackend, "mark", after_a_change)
            assert set((vm.files.push(tmp_path, "t")).skipped) == {"f"}
        assert (vm.files.push(tmp_path, "t")).sent == ("f",)
        vm.run("touch t/f")
        with monkeypatch.context() as patch:
            patch.setattr(LocalTree, "mark", after_a_change_here)
            assert set((vm.files.pull("t", tmp_path)).skipped) == {"f"}
        assert (vm.files.pull("t", tmp_path)).sent == ("f",)
        assert (tmp_path / "f").read_text() == "one\n"


def test_empty_folders_and_empty_paths(way: Way, deployment: Deployment, tmp_path: Path) -> None:
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        vm.files.push(tmp_path, "t/empty")
        assert (vm.files.stat("t/empty")).is_directory
        vm.files.pull("t/empty", tmp_path / "b")
        assert (tmp_path / "b").is_dir()
        with pytest.raises(ArkerError, match="is empty"):
            vm.files.push("", "t")
        with pytest.raises(ArkerError, match="is empty"):
            vm.files.pull("t", "")


def test_links_can_be_followed(way: Way, deployment: Deployment, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/f").write_text("f")
    root = tmp_path / "root"
    root.mkdir()
    (root / "folder").symlink_to("../elsewhere")
    (root / "file").symlink_to("../elsewhere/f")
    (root / "loop").symlink_to(".")
    (root / "dead").symlink_to("nowhere")
    os.mkfifo(root / "pipe")
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        result = vm.files.push(root, "t", follow=True)
        assert result.sent == ("file", "folder", "folder/f")
        assert set(result.skipped) == {"dead", "loop", "pipe"}
        assert (vm.run("cat t/file t/folder/f; find t -type l")).text == "ff"


def test_files_that_change_while_they_are_read(way: Way, deployment: Deployment, tmp_path: Path) -> None:
    """What is pulled is one version of each file, or it is told that it was left out."""
    lines = {b"a" * 50_000 + b"\n", b"b" * 90_000 + b"\n"}
    program = (
        "import os, itertools\n"
        "for n in itertools.count():\n"
        "    for f in range(20):\n"
        "        with open(f't/new{f}', 'wb') as file: file.write((b'a' * 50000, b'b' * 90000)[n % 2] + b'\\n')\n"
        "        os.rename(f't/new{f}', f't/f{f}') if f != n % 20 else os.unlink(f't/new{f}')\n"
        "        open('t/log', 'ab').write(b'line\\n' * 500)\n"
    )
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        vm.files.write("churn.py", program)
        vm.run(
            "mkdir t; touch t/still; python3 churn.py & echo $! > pid; while [ ! -e t/f19 ]; do sleep 0.01; done"
        )
        for number in range(3):
            result = vm.files.pull("t", tmp_path / f"{number}")
            assert "still" in result.sent
            for path in (tmp_path / f"{number}").glob("f*"):
                assert path.read_bytes() in lines
            log = tmp_path / f"{number}/log"
            assert log.exists() or "log" in result.skipped
            assert not log.exists() or set(log.read_bytes().split(b"\n")) <= {b"line", b""}
            assert not list((tmp_path / f"{number}").glob(".arker*"))
        vm.run("kill $(cat pid)")


def test_leftovers_are_removed_after_a_day(way: Way, deployment: Deployment, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        vm.run(
            "mkdir -p t/d; touch t/.arker-part-new; touch -d '2 days ago' t/.arker-part-1 t/d/.arker-part-2"
        )
        assert (vm.files.push(tmp_path, "t")).removed == ()
        assert (vm.run("find t -type f")).text == "t/.arker-part-new\n"
        for name in ("d/.arker-part-1", "d/.arker-part-new"):
            (tmp_path / name).touch()
        os.utime(tmp_path / "d/.arker-part-1", (1, 1))
        assert (vm.files.pull("t", tmp_path)).removed == ()
        assert [path.name for path in tmp_path.rglob("*")] == ["d", ".arker-part-new"]


def test_nothing_is_pulled_outside_of_the_folder(way: Way, deployment: Deployment, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    local = tmp_path / "local"
    local.mkdir()
    (local / "d").symlink_to(outside)
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        vm.run(
            "mkdir -p t/d t/e; echo x > t/d/f; ln -s /etc/passwd t/abs; ln -s ../../up t/e/up; ln -s ../in t/e/in;"
            "mkfifo t/pipe; touch t/fine"
        )
        result = vm.files.pull("t", local)
        assert set(result.skipped) == {"abs", "e/up", "pipe", "d", "d/f"}
        assert list(outside.iterdir()) == []
        assert (local / "e/in").readlink() == Path("../in")
        replaced = vm.files.pull("t", local, delete=True)
        assert "d/f" in replaced.sent
        assert list(outside.iterdir()) == []
        assert not (local / "d").is_symlink()


def test_nothing_is_pushed_over_a_link(way: Way, deployment: Deployment, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/small").write_text("x")
    (tmp_path / "d/large").write_bytes(os.urandom(trees.PART + 1))
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        vm.run("mkdir out t; ln -s ../out t/d")
        result = vm.files.push(tmp_path, "t")
        assert set(result.skipped) == {"d", "d/small", "d/large"}
        assert (vm.run("ls -A out")).text == ""
        wire_ = vm.files._backend
        with pytest.raises(ArkerError):
            wire_.place(f"{HOME}/t/part", "d/x", base=f"{HOME}/t")
        vm.files.push(tmp_path, "t", delete=True)
        assert (vm.run("ls t/d; ls -A out t")).text.split() == ["large", "small", "out:", "t:", "d"]


@pytest.mark.slow
def test_a_push_that_was_cut_goes_on(way: Way, deployment: Deployment, tmp_path: Path) -> None:
    local = tmp_path / "a"
    for number in range(40 if way.name == "endpoints" else 8):
        (local / f"d{number % 4}").mkdir(parents=True, exist_ok=True)
        (local / f"d{number % 4}/f{number}").write_bytes(os.urandom(200_000))
    (local / "large").write_bytes(os.urandom(3 * trees.PART))
    rng = random.Random(1)
    with client(way, deployment, tries=1) as arker, arker.vm("arkuntu").fork() as vm:
        cut = 0
        for _ in range(60):
            if rng.random() < 0.8:
                way.lose(1)
            try:
                vm.files.push(local, "t", delete=True)
                break
            except ArkerError:
                cut += 1
        way.lose(0)
        assert cut
        vm.files.push(local, "t", delete=True)
        assert not [i for i in vm.files.list("t", glob="**/.arker*")]
        for _ in range(60):
            way.lose(1 if rng.random() < 0.8 else 0)
            try:
                vm.files.pull("t", tmp_path / "b")
                break
            except ArkerError:
                continue
        way.lose(0)
        vm.files.pull("t", tmp_path / "b")
        assert picture(tmp_path / "b") == picture(local)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_any_change_is_carried(way: Way, deployment: Deployment, tmp_path: Path, seed: int) -> None:
    """After any sequence of changes of the local tree, a push makes the computer's like it, and a pull another."""
    rng = random.Random(seed)
    root, back = tmp_path / "a", tmp_path / "b"
    root.mkdir()
    names = ["a", "b", "c", "a/x", "a/y", "b/x", "a/x/z"]
    with client(way, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        for step in range(15 if way.name == "endpoints" else 3):
            for _ in range(4):
                path = root / rng.choice(names)
                try:
                    match rng.choice(["write", "mkdir", "link", "remove", "chmod"]):
                        case "write":
                            path.write_text(f"{step}" * rng.randrange(3))
                        case "mkdir":
                            path.mkdir()
                        case "link":
                            path.symlink_to(rng.choice(["a", "b", "nowhere"]))
                        case "remove" if path.is_dir() and not path.is_symlink():
                            shutil.rmtree(path)
                        case "remove":
                            path.unlink()
                        case "chmod" if not path.is_symlink():
                            path.chmod(rng.choice([0o700, 0o755, 0o711]))
                except OSError:
                    continue
            assert (vm.files.push(root, "t", delete=True)).skipped == {}
            result = vm.files.pull("t", back, delete=True)
            expected = picture(root)
            for skipped in result.skipped:
                expected.pop(skipped)
            assert picture(back) == expected
