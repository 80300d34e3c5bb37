"""Local trees: list them, read them, and write received entries. Blocking."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from .archive import Entry
from .errors import ArkerError, bad_request
from .filevalues import PARTIAL, FileInfo, FileKind
from .sources import local
from .treeplan import Listing, unsafe_link, unsafe_path

__all__ = ["Ignore", "LocalTree", "ignorer"]

Ignore: TypeAlias = Sequence[str] | Callable[[str], bool] | None
"""Entries that a `push` or `pull` leaves alone on both sides: patterns as in `.gitignore` (needs `pip install
'arker[files]'`), or a function of relative paths; paths of folders end with a slash."""

_WINDOWS: Final = os.name == "nt"
_PERMISSIONS: Final = 0o777
_TRIES: Final = 3
#: A pattern for everything in a folder. The regex that pathspec makes of it also matches the folder itself.
_EVERYTHING: Final = re.compile(r"^(!?(?:.*/(?=\*\*))?)\*{1,2}(/?\s*)$")
_DAY_NS: Final = 24 * 3600 * 10**9
_READ: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)


def is_leftover(mtime_ns: int) -> bool:
    """Whether a file that is not complete was left by a transfer that has ended."""
    return time.time_ns() - mtime_ns > _DAY_NS


def ignorer(ignore: Ignore) -> Callable[[str], bool]:
    """Return the function that tells whether to leave a relative path alone.

    Raises:
        ArkerError: `not_implemented` for patterns if `pathspec` is not installed, `bad_request` for an invalid one.
    """
    if ignore is None:
        return lambda path: False
    if callable(ignore):
        return ignore
    if isinstance(ignore, str):
        raise TypeError("ignore is a list of patterns, not a str")
    try:
        from pathspec import GitIgnoreSpec
    except ImportError as error:
        raise ArkerError("not_implemented", "patterns to ignore need `pip install 'arker[files]'`") from error
    lines = [_EVERYTHING.sub(r"\1**/?*\2", pattern) for pattern in ignore]
    try:
        patterns = list(GitIgnoreSpec.from_lines(lines).patterns)
    except ValueError as error:
        raise bad_request(f"ignore: {error}") from error

    def ignored(path: str) -> bool:
        # Not `match_file`: there a pattern of a folder also matches what is in it, so that `!folder` brings back
        # entries that another pattern ignores. Here nothing in an ignored folder is asked for.
        for pattern in reversed(patterns):
            found = pattern.regex.fullmatch(path) if pattern.regex else None
            # The group is the slash after what the pattern names.
            if found is not None and found.end("ps_d") in (-1, len(path)):
                return bool(pattern.include)
        return False

    return ignored


def _kind(mode: int) -> FileKind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "symlink" if stat.S_ISLNK(mode) else "other"


def _info(path: str, found: os.stat_result, target: str | None = None) -> FileInfo:
    kind = _kind(found.st_mode)
    size = found.st_size if kind == "file" else 0
    return FileInfo(
        path, kind, size, found.st_mode & _PERMISSIONS, found.st_mtime_ns, _version(found), target
    )


def _version(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns:x}-{found.st_size:x}"


class LocalTree:
    """A local folder as one side of a `push` or `pull`."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        if not os.fspath(root):
            raise bad_request("the path of the local folder is empty")
        self.root: Path = Path(root)
        self._top = os.fspath(self.root)
        self._partial = f"{PARTIAL}{secrets.token_hex(8)}-"
        self._number = itertools.count()
        self._folders: set[str] = set()

    def scan(
        self, ignored: Callable[[str], bool], *, follow: bool = False, missing_ok: bool = False
    ) -> Listing:
        """List the folder; entries that are not a file, folder or link, or cannot be read, are skipped. With
        `missing_ok`, a folder that does not exist is empty. Raises ArkerError `local_file`."""
        listed = Listing()
        found, skipped = listed.entries, listed.skipped
        if missing_ok and not self.root.exists():
            return listed
        top = local(self.root.stat)
        pending: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", ((top.st_dev, top.st_ino),))]
        while pending:
            folder, above = pending.pop()
            try:
                with os.scandir(self.root / folder) as entries:
                    names = list(entries)
            except OSError as error:
                if not folder:
                    raise ArkerError("local_file", str(error)) from error
                skipped[folder] = error.strerror or "it cannot be read"
                continue
            for entry in names:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.name.startswith(PARTIAL):
                    with contextlib.suppress(OSError):
                        if is_leftover(entry.stat(follow_symlinks=False).st_mtime_ns):
                            listed.leftovers.append(path)
                    continue
                try:
                    info = entry.stat(follow_symlinks=False)
                    if follow and stat.S_ISLNK(info.st_mode):
                        info = entry.stat()
                    target = os.readlink(entry.path) if stat.S_ISLNK(info.st_mode) else None  # noqa: PTH115
                except OSError as error:
                    skipped[path] = error.strerror or "it cannot be read"
                    continue
                kind = _kind(info.st_mode)
                if ignored(f"{path}/" if kind == "directory" else path):
                    listed.ignored.append(path)
                    continue
                if kind == "other":
                    skipped[path] = "neither a file nor a folder nor a link"
                    continue
                if kind == "directory":
                    identity = (info.st_dev, info.st_ino)
                    if follow and identity in above:
                        skipped[path] = "a link to a folder that it is in"
                        continue
                    pending.append((path, (*above, identity) if follow else ()))
                found[path] = _info(path, info, target)
        return listed

    def digest(self, path: str) -> str | None:
        """Return the SHA-256 of a file, in hex; None if it cannot be read."""
        try:
            with (self.root / path).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None

    def entries(
        self, wanted: Iterable[FileInfo], *, follow: bool = False
    ) -> tuple[list[Entry], dict[str, str]]:
        """Return the entries with their current contents; and the entries that could not be read, with the reasons."""
        found: list[Entry] = []
        skipped: dict[str, str] = {}
        for info in wanted:
            if info.kind == "file":
                try:
                    found.append(self._content(info.path, follow))
                except OSError as error:
                    skipped[info.path] = error.strerror or str(error)
            else:
                # Keep the folder writable until it is filled; its own mode is set last.
                mode = info.mode | 0o700 if info.kind == "directory" else info.mode
                found.append(Entry(info.path, info.kind, mode, info.mtime_ns, target=info.target or ""))
        return found, skipped

    def _content(self, path: str, follow: bool) -> Entry:
        # For many small files most of the time is spent here, so without pathlib and file objects.
        fd = os.open(f"{self._top}/{path}", _READ if follow else _READ | _NO_LINK)
        try:
            for _ in range(_TRIES):
                before = os.fstat(fd)
                if not stat.S_ISREG(before.st_mode):
                    raise OSError(0, "it is not a file any more")
                data = os.read(fd, before.st_size)
                after = os.fstat(fd)
                if len(data) == before.st_size == after.st_size and before.st_mtime_ns == after.st_mtime_ns:
                    return Entry(path, "file", before.st_mode & _PERMISSIONS, before.st_mtime_ns, data)
                os.lseek(fd, 0, os.SEEK_SET)
        finally:
            os.close(fd)
        raise OSError(0, "it changes while it is read")

    # --- writing ---

    def refusals(self, entries: Iterable[FileInfo]) -> dict[str, str]:
        """Return the entries that must not be written here, with the reasons: paths and links that lead out, and names
        that this file system does not distinguish."""
        refused: dict[str, str] = {}
        spelled: dict[str, str] = {}
        distinct: bool | None = None
        for info in entries:
            if why := unsafe_path(info.path, windows=_WINDOWS):
                refused[info.path] = why
            elif info.kind == "other":
                refused[info.path] = "neither a file nor a folder nor a link"
            elif info.kind == "symlink" and unsafe_link(info.path, info.target or ""):
                refused[info.path] = f"a link that leads out of the folder, to {info.target}"
            else:
                first = spelled.setdefault(_folded(info.path), info.path)
                if first != info.path:
                    distinct = self._tells_case() if distinct is None else distinct
                    if not distinct:
                        refused[info.path] = f"this file system takes it for {first}"
        return refused

    def _tells_case(self) -> bool:
        """Whether names that differ only in case are different files here."""
        with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=self.root) as folder:
            (Path(folder) / "a").touch()
            return not (Path(folder) / "A").exists()

    def make_root(self) -> None:
        """Make the root folder. Raises ArkerError `local_file`."""
        local(self.root.mkdir, parents=True, exist_ok=True)

    def _folder(self, path: str) -> str:
        """Return a folder below the root, making it if missing. No part of its path is a link. Raises OSError."""
        if not path:
            return self._top
        whole = f"{self._top}/{path}"
        if path not in self._folders:
            self._folder(path.rpartition("/")[0])
            with contextlib.suppress(FileExistsError):
                os.mkdir(whole)  # noqa: PTH102
            if not stat.S_ISDIR(os.lstat(whole).st_mode):
                raise OSError(0, f"{path} is not a folder here")
            self._folders.add(path)
        return whole

    def put(self, entries: Iterable[Entry]) -> dict[str, str]:
        """Write entries, each file atomically; return the entries that failed, with the reasons."""
        refused: dict[str, str] = {}
        for entry in entries:
            why = unsafe_path(entry.path, windows=_WINDOWS)
            if entry.kind == "symlink" and unsafe_link(entry.path, entry.target):
                why = "a link that leads out of the folder"
            try:
                if why:
                    refused[entry.path] = why
                elif entry.kind == "directory":
                    self._folder(entry.path)
                else:
                    self._put(entry)
            except OSError as error:
                refused[entry.path] = error.strerror or str(error)
        return refused

    def _put(self, entry: Entry) -> None:
        above, _, name = entry.path.rpartition("/")
        folder = self._folder(above)
        if entry.kind == "symlink":
            with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=folder) as stage:
                made = Path(stage) / "link"
                made.symlink_to(entry.target)
                made.replace(f"{folder}/{name}")
            return
        partial = f"{folder}/{self._partial}{next(self._number)}"
        fd = os.open(partial, _NEW, 0o600)
        try:
            try:
                left = entry.data
                while left:
                    left = left[os.write(fd, left) :]
            finally:
                os.close(fd)
            _place(partial, f"{folder}/{name}", entry.mode, entry.mtime_ns)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)  # noqa: PTH108
            raise

    @contextlib.contextmanager
    def partial(self, path: str) -> Any:
        """Return a file to fill, and a function of mode and time that moves it to `path`. Raises OSError."""
        above, _, name = path.rpartition("/")
        folder = self._folder(above)
        fd, partial = tempfile.mkstemp(prefix=PARTIAL, dir=folder)
        try:
            with os.fdopen(fd, "wb") as file:

                def place(mode: int, mtime_ns: int) -> None:
                    file.flush()
                    _place(partial, f"{folder}/{name}", mode, mtime_ns)

                yield file, place
        finally:
            Path(partial).unlink(missing_ok=True)

    def mark(self, entries: Iterable[FileInfo]) -> dict[str, str]:
        """Set modes and times of files and folders; return the entries that failed, with the reasons."""
        refused: dict[str, str] = {}
        for info in entries:
            path = self.root / info.path
            try:
                self._folder(info.path.rpartition("/")[0])
                there = path.lstat()
                if _kind(there.st_mode) != info.kind:
                    raise OSError(0, f"it is not a {info.kind} any more")
                if info.kind == "file" and _version(there) != info.version:
                    raise OSError(0, "it was changed meanwhile")
                os.utime(path, ns=(info.mtime_ns, info.mtime_ns))
                path.chmod(info.mode)
            except OSError as error:
                refused[info.path] = error.strerror or str(error)
        return refused

    def remove(self, path: str) -> str:
        """Remove the entry at a relative path, not following links; return why this failed, or an empty str."""
        if why := unsafe_path(path, windows=_WINDOWS):
            return why
        try:
            folder = self._folder(path.rpartition("/")[0])
            whole = Path(folder, path.rpartition("/")[2])
            if stat.S_ISDIR(whole.lstat().st_mode):
                shutil.rmtree(whole)
            else:
                whole.unlink()
        except FileNotFoundError:
            return ""
        except OSError as error:
            return error.strerror or str(error)
        self._folders = {
            known for known in self._folders if known != path and not known.startswith(f"{path}/")
        }
        return ""


def _place(partial: str, path: str, mode: int, mtime_ns: int) -> None:
    """Move a complete file to its path; there must not be a folder. Raises OSError."""
    os.utime(partial, ns=(mtime_ns, mtime_ns))
    os.chmod(partial, mode & _PERMISSIONS)  # noqa: PTH101
    os.replace(partial, path)  # noqa: PTH105


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()
