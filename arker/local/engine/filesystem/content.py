"""The contents of many files at once: their digests, and they themselves."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence

from arker.local.engine import sandbox_files
from arker.local.engine.digests import Digests
from arker.local.engine.file_protocol import FileInfo, NewEntry, Page, Refused
from arker.local.engine.filesystem.root import Root, refuse_unless_regular, told
from arker.local.engine.filesystem.walk import Folders, directory, info_of, kind_of, version_of, walk
from arker.local.engine.protocol import EngineError, FileMissing, FileRefused

#: How many times a file that changes while it is read is read again.
_TRIES = 3
#: Neither follows a link nor waits for a pipe.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def manifest(
    root: Root,
    vm_id: str,
    path: str,
    digests: Digests | None,
    *,
    cursor: str = "",
    limit: int = 50_000,
    only: Sequence[str] | None = None,
) -> Page:
    """List everything below the folder `path`, in order; with `digests`, with the SHA-256 of each regular file; with
    `only`, just the entries at these relative paths. A missing folder is empty.

    Folders that cannot be read are reported, so that existing entries are never taken for missing ones. Raises
    FileRefused when `path` itself, or a file for its digest, cannot be read.
    """
    entries: list[FileInfo] = []
    refused: list[Refused] = []
    last = ""

    def closed(path: str, error: EngineError) -> None:
        if not path:
            raise error
        refused.append(Refused(path, str(error)))

    try:
        with told(path), directory(root, path) as top:
            if only is not None:
                return Page(_some(root, vm_id, top, only, digests), None)
            for entry in walk(root, top, after=cursor, closed=closed):
                if len(entries) >= limit or (root.due and last):
                    return Page(entries, last, refused)
                last = entry.path
                sha256 = None
                if digests is not None and kind_of(entry.info.st_mode) == "file":
                    try:
                        sha256 = _digest(root, vm_id, digests, entry.info, entry.folder, entry.name)
                    except FileNotFoundError:
                        continue
                    except PermissionError as error:
                        raise FileRefused(f"{entry.path}: permission denied") from error
                entries.append(info_of(entry.path, entry.info, entry.target(), sha256))
    except FileMissing:
        pass
    return Page(entries, None, refused)


def _digest(root: Root, vm_id: str, digests: Digests, found: os.stat_result, folder: int, name: str) -> str:
    if (known := digests.known(vm_id, found)) is not None:
        return known
    fd = os.open(name, _READ, dir_fd=folder)
    try:
        refuse_unless_regular(name, os.fstat(fd))
        return digests.of(vm_id, fd, root.check)
    finally:
        os.close(fd)


def _some(root: Root, vm_id: str, top: int, paths: Sequence[str], digests: Digests | None) -> list[FileInfo]:
    entries = []
    with contextlib.closing(Folders(top, os.O_PATH)) as folders:
        for path in paths:
            root.check()
            above, _, name = path.rpartition("/")
            try:
                folder = folders.open(above)
                info = os.stat(name, dir_fd=folder, follow_symlinks=False)
                sha256 = None
                if digests is not None and kind_of(info.st_mode) == "file":
                    sha256 = _digest(root, vm_id, digests, info, folder, name)
                entries.append(info_of(path, info, None, sha256))
            except (OSError, FileRefused):  # a missing or unreadable file equals nothing
                continue
    return entries


def pack(root: Root, base: str, paths: Sequence[str], budget: int) -> tuple[list[NewEntry], list[Refused]]:
    """Return the entries at `paths` below the folder `base`, with the contents of files, up to `budget` bytes; and
    the entries that were left out, with the reasons. Links are not followed. Raises FileMissing, FileRefused."""
    entries: list[NewEntry] = []
    refused: list[Refused] = []
    with told(base), directory(root, base) as top, contextlib.closing(Folders(top, os.O_PATH)) as folders:
        for path in paths:
            root.check()
            try:
                entry = _packed(root, folders, path, budget)
            except OSError as error:
                refused.append(Refused(path, str(sandbox_files.translate(error, path))))
            except FileRefused as error:
                refused.append(Refused(path, str(error)))
            else:
                budget -= len(entry.data)
                entries.append(entry)
    return entries, refused


def _packed(root: Root, folders: Folders, path: str, budget: int) -> NewEntry:
    above, _, name = path.rpartition("/")
    folder = folders.open(above)
    info = os.stat(name or ".", dir_fd=folder, follow_symlinks=False)
    if root.in_proc(info):
        raise FileRefused(f"{path} is a file of /proc")
    kind, mode = kind_of(info.st_mode), stat.S_IMODE(info.st_mode)
    if kind == "symlink":
        return NewEntry(path, kind, mode, info.st_mtime_ns, target=os.readlink(name, dir_fd=folder))
    if kind != "file":
        return NewEntry(path, kind, mode, info.st_mtime_ns)
    file = os.open(name, _READ, dir_fd=folder)
    try:
        for _ in range(_TRIES):
            info = os.fstat(file)
            refuse_unless_regular(path, info)
            if info.st_size > budget:
                raise FileRefused(f"{path} does not fit")
            data = os.pread(file, info.st_size, 0)
            if len(data) == info.st_size and version_of(os.fstat(file)) == version_of(info):
                return NewEntry(path, kind, stat.S_IMODE(info.st_mode), info.st_mtime_ns, data)
        raise FileRefused(f"{path} changes while it is read")
    finally:
        os.close(file)
