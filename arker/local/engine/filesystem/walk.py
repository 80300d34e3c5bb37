"""Lists folders and trees in order and in constant memory; a listing can continue where an earlier page ended."""

from __future__ import annotations

import contextlib
import errno
import heapq
import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from arker.local.engine import _linux
from arker.local.engine.file_protocol import FileInfo, Kind, Page
from arker.local.engine.filesystem.globs import Glob
from arker.local.engine.filesystem.root import Root, reopen, told
from arker.local.engine.protocol import EngineError, FileRefused, LimitReached

#: Names of one folder that are held at a time.
BATCH = 4096
#: Errors of a folder that changes during a walk: it or an entry was removed or replaced.
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV}


def kind_of(mode: int) -> Kind:
    """Return the kind of a file from the mode in its stat."""
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "symlink" if stat.S_ISLNK(mode) else "other"


def version_of(info: os.stat_result) -> str:
    """Return a string that differs whenever the content of a file may differ."""
    return f"{info.st_mtime_ns:x}-{info.st_size:x}-{info.st_ino:x}"


def info_of(
    path: str, info: os.stat_result, target: str | None = None, sha256: str | None = None
) -> FileInfo:
    """Convert a stat to a FileInfo."""
    kind = kind_of(info.st_mode)
    size = info.st_size if kind == "file" else 0
    mode = stat.S_IMODE(info.st_mode)
    return FileInfo(path, kind, size, mode, info.st_mtime_ns, version_of(info), target, sha256)


class Found(NamedTuple):
    """An entry of a walk: its path relative to the top, its stat, and its folder, which is open until the next entry
    is requested."""

    path: str
    info: os.stat_result
    folder: int

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def is_directory(self) -> bool:
        """Whether it is a folder; a link to a folder is not."""
        return stat.S_ISDIR(self.info.st_mode)

    def target(self) -> str | None:
        """The target, if it is a link."""
        if not stat.S_ISLNK(self.info.st_mode):
            return None
        try:
            return os.readlink(self.name, dir_fd=self.folder)
        except OSError as error:
            if error.errno in (*_GONE, errno.EINVAL):
                return ""
            raise


class Folders:
    """Folders below a top one; only one is open at a time, so that deep trees need no more descriptors. None is
    reached through a link."""

    def __init__(self, top: int, flags: int = os.O_RDONLY) -> None:
        self._top = top
        self._flags = flags | os.O_DIRECTORY
        self._path = ""
        self.fd: int = -1

    def open(self, path: str) -> int:
        """Open a folder; the descriptor stays open until the next one is. Raises OSError."""
        if self.fd < 0 or path != self._path:
            self.close()
            self.fd = _linux.open_beneath(self._top, path or ".", self._flags)
            self._path = path
        return self.fd

    def close(self) -> None:
        """Close the open folder."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _names(folders: Folders, path: str, after: str) -> Iterator[str]:
    """Yield the names of a folder after `after`, in order, in batches of constant size."""
    while True:
        with os.scandir(folders.open(path)) as entries:
            batch = heapq.nsmallest(BATCH, (entry.name for entry in entries if entry.name > after))
        yield from batch
        if len(batch) < BATCH:
            return
        after = batch[-1]


def _ignore_permissions(path: str, error: EngineError) -> None:
    if not isinstance(error, FileRefused):
        raise error


def refuse_closed(path: str, error: EngineError) -> None:
    """Raise for a folder that cannot be read, for `walk`."""
    raise error


def walk(
    root: Root,
    top: int,
    *,
    after: str = "",
    enter: Callable[[Found], bool] = lambda found: True,
    closed: Callable[[str, EngineError], None] = _ignore_permissions,
) -> Iterator[Found]:
    """Walk everything below the open folder `top`, by name, each folder before its contents.

    Links are not followed; procfs is not entered. `after` is the path where an earlier walk ended. `closed` is called
    with the path of each folder that cannot be read, and why; without it, those that are not permitted count as
    empty, and those that are too deep raise LimitReached.
    """
    if "\0" in after:
        raise FileRefused("the cursor is not one of a listing")
    folders = Folders(top)
    parts = after.split("/") if after else []
    heads = ["/".join(parts[:depth]) for depth in range(len(parts))]
    pending = [(head, _names(folders, head, name)) for head, name in zip(heads, parts, strict=True)]

    def descend(found: Found) -> None:
        if found.is_directory and not root.in_proc(found.info) and enter(found):
            pending.append((found.path, _names(folders, found.path, "")))

    def look(head: str, name: str) -> Found:
        folder = folders.open(head)
        path = f"{head}/{name}" if head else name
        return Found(path, os.stat(name, dir_fd=folder, follow_symlinks=False), folder)

    if parts:
        with contextlib.suppress(OSError):
            descend(look(heads[-1], parts[-1]))
    else:
        pending.append(("", _names(folders, "", "")))
    try:
        while pending:
            path, names = pending[-1]
            root.check()
            try:
                name = next(names, None)
                if name is None:
                    pending.pop()
                    continue
                found = look(path, name)
            except OSError as error:
                if error.errno in _GONE:
                    continue
                if error.errno == errno.ENAMETOOLONG:
                    closed(
                        path, LimitReached(f"paths below {path[:100]!r} are longer than the system can name")
                    )
                elif error.errno == errno.EACCES:
                    closed(path, FileRefused(f"{path or 'the folder'}: permission denied"))
                else:
                    raise
                pending.pop()
                continue
            yield found
            descend(found)
    finally:
        folders.close()


def look(root: Root, path: str, *, follow: bool = True) -> FileInfo:
    """Return what is at `path`. Raises FileMissing, FileRefused."""
    with told(path), root.opened(path, follow=follow) as (fd, info):
        return info_of(path, info, os.readlink("", dir_fd=fd) if stat.S_ISLNK(info.st_mode) else None)


@contextlib.contextmanager
def directory(root: Root, path: str) -> Iterator[int]:
    """Open the folder at `path` for reading. Raises OSError, FileRefused."""
    with root.opened(path) as (found, info):
        if not stat.S_ISDIR(info.st_mode):
            raise FileRefused(f"{path} is not a folder")
        fd = reopen(found, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)


def listing(
    root: Root, path: str, *, recursive: bool = False, glob: str = "", cursor: str = "", limit: int = 1000
) -> Page:
    """List the entries of the folder at `path`; see `Files.list`."""
    pattern = Glob(glob) if glob else None
    deep = recursive if pattern is None else pattern.deep

    def enter(found: Found) -> bool:
        return deep and (pattern is None or pattern.may_hold(found.path))

    entries: list[FileInfo] = []
    last = ""
    with told(path), directory(root, path) as top:
        for found in walk(root, top, after=cursor, enter=enter):
            if len(entries) >= limit or (root.due and last):
                return Page(entries, last)
            last = found.path
            if pattern is None or pattern.matches(found.path):
                entries.append(info_of(found.path, found.info, found.target()))
    return Page(entries, None)
