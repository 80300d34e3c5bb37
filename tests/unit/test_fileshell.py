"""The scripts that do file operations, in the shells and with the tools that computers may have."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from arker._sync.files import shell as module
from arker._sync.files.shell import FileShell
from arker._sync.files.wire import Mark
from arker.archive import Entry
from arker.errors import ArkerError
from arker.fileshell import failure, glob_pattern
from arker.results import RunResult

NAMES = [
    "-rf", "sp ace", "new\nline\n", os.fsdecode(b"caf\xe9\xff"), "quo'te\"$x`y`", "back\\slash", "*", "é",
    "n" * 130, "!", "~",
]  # fmt: skip
SHELLS = ["sh", "bash", "busybox", "busybox without base64"]


class Machine:
    """A computer that is this machine: commands run in a shell, and the home folder is a temporary one."""

    def __init__(self, root: Path, shell: str) -> None:
        self.home = root / "home"
        self.home.mkdir()
        self.sync = self
        self._path = os.environ["PATH"]
        name, _, without = shell.partition(" without ")
        program = shutil.which(name)
        if program is None:
            pytest.skip(f"this machine has no {name}")
        self._shell = [program]
        if name == "busybox":
            self._shell = [program, "sh"]
            self._path = str(root / "bin")
            Path(self._path).mkdir()
            subprocess.run([program, "--install", "-s", self._path], check=True)
            if without:
                (root / "bin" / without).unlink()

    def run(self, command: str, *, session_id: str) -> RunResult:
        here = command.replace("/home/user", str(self.home)).replace("/bin/sh", " ".join(self._shell))
        done = subprocess.run(
            [*self._shell, "-c", here],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            env={"PATH": self._path},
        )
        return RunResult(done.stdout, done.stderr, done.returncode, 0.0, session_id, "/", True, False)

    def write_file(self, path: str, data: bytes | str) -> None:
        where = Path(path.replace("/home/user", str(self.home)))
        where.write_bytes(data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data)

    def read_file(self, path: str) -> bytes:
        return Path(path.replace("/home/user", str(self.home))).read_bytes()


@pytest.fixture(params=SHELLS)
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    machine = Machine(tmp_path, request.param)
    yield FileShell(machine)  # type: ignore[arg-type]
    assert list(machine.home.iterdir()) == []


def all_pages(page: Callable[[str], tuple[Any, str | None]]) -> list[Any]:
    entries: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        found, cursor = page(cursor)
        entries += found
    return entries


def manifest(files: FileShell, root: Path, cursor: str) -> tuple[Any, str | None]:
    page = files.manifest(str(root), cursor, 0)
    return page.entries, page.cursor


def test_any_name(files: FileShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "t"
    for name in NAMES:
        info = files.write(f"{root}/{name}/{name}", name.encode("utf-8", "surrogateescape"))
        assert info.size == len(os.fsencode(name))
        assert files.read(f"{root}/{name}/{name}", 0, 10_000, info.version).data == os.fsencode(name)
        files.operate("symlink", f"{root}/{name}/link", to=name)
    expected = []
    for name in sorted(NAMES):
        expected += [name, f"{name}/{name}", f"{name}/link"]
    expected.sort(key=lambda path: [os.fsencode(part) for part in path.split("/")])
    for limit in (10_000, 3):
        monkeypatch.setattr(module, "_PAGE", limit)
        found = all_pages(lambda cursor: manifest(files, root, cursor))
        assert [info.path for info in found] == expected
    for info in found:
        there = (root / info.path).lstat()
        assert (info.mtime_ns, info.mode) == (there.st_mtime_ns, there.st_mode & 0o7777)
        assert info.target == (info.path.rpartition("/")[0] if info.kind == "symlink" else None)
    regular = [info.path for info in found if info.kind == "file"]
    assert files.hashes(str(root), regular) == {
        path: hashlib.sha256((root / path).read_bytes()).hexdigest() for path in regular
    }
    entries = files.pack(str(root), [info.path for info in found], 1 << 20)
    assert [entry.path for entry in entries] == expected
    assert files.unpack(f"{tmp_path}/copy", entries, read_only=True) == {}
    for info in found:
        copied = tmp_path / "copy" / info.path
        assert copied.is_symlink() == (info.kind == "symlink")
        if info.kind == "file":
            assert copied.read_bytes() == (root / info.path).read_bytes()
    assert not list((tmp_path / "copy").glob(".arker*"))


def test_large_contents(files: FileShell, tmp_path: Path) -> None:
    data = os.urandom(600_000) + b"\0\n"
    path = f"{tmp_path}/large"
    info = files.write(path, data, mode=0o640)
    assert (info.size, info.mode) == (len(data), 0o640)
    assert files.read(path, 0, 1 << 20, None).data == data
    assert files.read(path, 5, 300_000, info.version).data == data[5:300_005]
    assert files.append(path, data, len(data)).size == 2 * len(data)
    # An attempt whose answer was lost, again.
    assert files.append(path, data, len(data)).size == 2 * len(data)
    with pytest.raises(ArkerError, match="conflict"):
        files.append(path, data, 7)
    with pytest.raises(ArkerError, match="conflict"):
        files.read(path, 0, 10, info.version)
    [entry] = files.pack(str(tmp_path), ["large"], 1 << 30)
    assert bytes(entry.data) == data * 2


def test_entries_that_are_refused(files: FileShell, tmp_path: Path) -> None:
    root = tmp_path / "t"
    (root / "folder").mkdir(parents=True)
    (root / "closed").write_text("old")
    (root / "closed").chmod(0o444)
    (root / "link").symlink_to(tmp_path / "out")
    (tmp_path / "out").mkdir()
    (root / "old").symlink_to(tmp_path / "out")
    entries = [
        Entry("folder", "file", 0o644, 0, b"x"),
        Entry("link/f", "file", 0o644, 0, b"x"),
        Entry("link", "directory", 0o755, 0),
        Entry("closed", "file", 0o644, 0, b"new"),
        Entry("new/f", "file", 0o600, 1_700_000_000_123_456_789, b"x"),
        Entry("old", "file", 0o644, 0, b"x"),
    ]
    assert set(files.unpack(str(root), entries, read_only=False)) == {"folder", "link", "link/f", "closed"}
    assert set(files.unpack(str(root), entries, read_only=True)) == {"folder", "link", "link/f"}
    assert (root / "closed").read_text() == "new"
    assert not (root / "old").is_symlink()
    assert not list((tmp_path / "out").iterdir())
    assert (root / "new/f").stat().st_mode & 0o777 == 0o600
    assert (root / "new/f").stat().st_mtime_ns // 10**9 == 1_700_000_000
    version = files.stat(f"{root}/new/f").version
    marks = [
        Mark("new/", 0o700, 10**18),
        Mark("new/f", 0o640, 10**18, version),
        Mark("new/f", 0o600, 10**18, version),
        *(Mark(path, 0o700, 0) for path in ("link", "link/", "none", "link/f", "new/f/")),
    ]
    assert set(files.mark(str(root), marks)) == {"link", "link/", "none", "link/f", "new/f", "new/f/"}
    for path, mode in (("new", 0o700), ("new/f", 0o640)):
        info = (root / path).stat()
        assert (info.st_mode & 0o777, info.st_mtime_ns) == (mode, 10**18)


def test_places(files: FileShell, tmp_path: Path) -> None:
    part = tmp_path / "part"

    def place(path: str, **fields: Any) -> Any:
        part.write_bytes(b"data")
        return files.place(str(part), path, **fields)

    digest = hashlib.sha256(b"data").hexdigest()
    info = place("a/b", base=str(tmp_path), sha256=digest, mtime_ns=10**18, mode=0o600)
    assert (info.size, info.mode, info.mtime_ns) == (4, 0o600, 10**18)
    with pytest.raises(ArkerError, match="conflict"):
        place("a/b", base=str(tmp_path), sha256="0" * 64)
    with pytest.raises(ArkerError, match="already_exists"):
        place(str(tmp_path / "a/b"), if_absent=True)
    place(str(tmp_path / "new"), if_absent=True)
    assert not part.exists()
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(ArkerError, match="not a folder"):
        place("link/c", base=str(tmp_path))


@pytest.mark.parametrize("condition", ["if_absent", "if_match"])
def test_of_several_writers_one_wins(files: FileShell, tmp_path: Path, condition: str) -> None:
    path = f"{tmp_path}/d/f"
    conditions: dict[str, Any] = {"if_absent": True}
    if condition == "if_match":
        if "busybox" in files._computer._shell[0]:  # type: ignore[attr-defined]
            pytest.skip("this one has no flock")
        conditions = {"if_match": files.write(path, b"first").version}

    def write(number: int) -> str:
        try:
            files.write(path, b"%d" % number, **conditions)
        except ArkerError as error:
            return error.code
        return "written"

    with ThreadPoolExecutor(6) as threads:
        outcomes = sorted(threads.map(write, range(6)))
    other = "already_exists" if condition == "if_absent" else "conflict"
    assert outcomes == [other] * 5 + ["written"]
    assert [entry.name for entry in (tmp_path / "d").iterdir()] == ["f"]


@pytest.mark.parametrize(
    ("said", "code", "message"),
    [
        ("cat: write error: No space left on device", "unavailable", "the disk is full; /p was not written"),
        ("cat: write error: Disk quota exceeded", "unavailable", "the disk is full; /p was not written"),
        ("/bin/sh: 9: cannot create /p: Permission denied", "bad_request", "/p: permission denied"),
        ("/bin/sh: 9: cannot create /p: Directory nonexistent", "not_found", "file not found: /p"),
        ("mv: cannot move 'a' to 'b': Read-only file system", "bad_request", "/p: it is read-only"),
        ("arker:more\narker:conflict:a\nb was changed", "conflict", "a\nb was changed"),
        ("Segmentation fault", "internal", "/p: Segmentation fault"),
        ("", "internal", "/p: "),
    ],
)
def test_messages_of_tools_become_errors(said: str, code: str, message: str) -> None:
    error = failure(f"{said}\n".encode(), "/p")
    assert error is not None
    assert (error.code, error.message) == (code, message)
    assert failure(b"stat: a warning\narker:done\n", "/p") is None


def test_changes_are_seen(files: FileShell, tmp_path: Path) -> None:
    def changed(name: str, cursor: str, wait: float = 0) -> str | None:
        news = files.changes(str(tmp_path / name), cursor, wait)
        assert news.rescan == (news.cursor != cursor)
        return news.cursor if news.rescan else None

    root = tmp_path / "t"
    root.mkdir()
    first = changed("t", "")
    assert first
    assert not changed("t", first)
    (root / "new").touch()
    assert changed("t", first, 5)
    missing = changed("none", "")
    assert missing
    assert not changed("none", missing)
    (tmp_path / "none").mkdir()
    assert changed("none", missing)


def test_lines_that_match(files: FileShell, tmp_path: Path) -> None:
    (tmp_path / "a:b").write_text("one\ntwo: (2)\n")
    (tmp_path / "binary").write_bytes(b"two\0")
    found = files.grep("TWO: (2)", str(tmp_path), fixed=True, ignore_case=True)
    assert [(match.path, match.line, match.text) for match in found] == [(f"{tmp_path}/a:b", 2, "two: (2)")]
    with pytest.raises(ArkerError, match="pattern"):
        files.grep("(", str(tmp_path), fixed=False, ignore_case=False)


def test_a_retry_and_its_doubt() -> None:
    """A request that was lost is made again only if that is harmless."""
    lost = [ArkerError("network", "cut", processed="maybe")]
    missing = RunResult(b"b", b"arker:not_found:x\n", 0, 0.0, "0", "/", True, False)

    def run(command: str, *, session_id: str) -> RunResult:
        if lost:
            raise lost.pop()
        return missing

    files = FileShell(SimpleNamespace(run=run))  # type: ignore[arg-type]
    files.operate("remove", "/x")
    with pytest.raises(ArkerError, match="not_found"):
        files.operate("remove", "/x")
    lost.append(ArkerError("network", "cut", processed="maybe"))
    with pytest.raises(ArkerError, match="cut"):
        files.operate("move", "/x", to="/y")


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("*.py", ["a.py", ".py"], ["a/b.py", "a.pyc", ""]),
        ("**/*.py", ["a.py", "a/b.py", "a/b/c.py"], ["a", "a.py/x"]),
        ("**", ["a", "a/b"], []),
        ("**/**", ["a", "a/b"], [""]),
        ("a/**", ["a", "a/b", "a/b/c"], ["b", "ab"]),
        ("a/[!b-d]?", ["a/xy", "a/]y"], ["a/bx", "a/x"]),
        ("[]x]", ["]", "x"], ["y"]),
        ("[", ["["], ["x"]),
        ("a.b\n", ["a.b\n"], ["axb\n"]),
    ],
)
def test_globs(glob: str, yes: list[str], no: list[str]) -> None:
    pattern, _ = glob_pattern(glob)
    assert [path for path in yes + no if pattern.fullmatch(path)] == yes
