"""Reads and writes files of a live sandbox from outside. Links cannot lead out, even if they are swapped meanwhile."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from pathlib import Path

from arker.local.engine import _linux
from arker.local.engine.images import HOME
from arker.local.engine.protocol import FileMissing, FileRefused, StorageFull

#: Name prefix of unfinished writes, which are in the home folder; after a crash the next start removes them.
PARTIAL = ".arker-partial-"
_PARTIAL = re.compile(re.escape(PARTIAL) + "[0-9a-f]{16}")
_LINKS = 40
_REASONS = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "it is read-only",
    errno.ELOOP: "too many links on the way",
    errno.ENOTDIR: "a part of the path is not a folder",
    errno.EISDIR: "it is a folder",
    errno.ENAMETOOLONG: "a name in it is too long",
    errno.EXDEV: "it is on another file system",
    errno.EFBIG: "it would be too large",
    errno.ETXTBSY: "it is being executed",
    errno.EBUSY: "it is in use by the system",
    errno.EINVAL: "it cannot be used like this",
}


def translate(error: OSError, path: str) -> Exception:
    """Translate an OSError about `path` into an error of the engine."""
    if error.errno == errno.ENOENT:
        # The text that the original SDK documents, and that programs match.
        return FileMissing(f"file not found: {path}")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"the disk is full; {path} was not written")
    reason = _REASONS.get(error.errno or 0)
    return FileRefused(f"{path}: {reason}") if reason else error


def is_partial(name: str) -> bool:
    """Return whether a name is that of an unfinished write."""
    return _PARTIAL.fullmatch(name) is not None


def entry(folder: int, name: str) -> os.stat_result | None:
    """Return what stat says about an entry of a folder, not following a link; None if there is none. Raises OSError."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def open_folder(root: int, path: str) -> int:
    """Open the folder at `path`; create it and its parents if missing."""
    flags = os.O_RDONLY | os.O_DIRECTORY
    missing: list[str] = []
    while True:
        try:
            found = _linux.open_in_root(root, path, flags)
            break
        except FileNotFoundError:
            above, _, name = path.rstrip("/").rpartition("/")
            if not name:
                raise
            missing.append(name)
            path = above or "/"
    for name in reversed(missing):
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=found)
                os.fsync(found)
        finally:
            os.close(found)
        path = f"{path.rstrip('/')}/{name}"
        found = _linux.open_in_root(root, path, flags)
    return found


def place(root: int, path: str) -> tuple[int, str, os.stat_result | None]:
    """Resolve where a write to `path` goes once links are followed: an open folder, a name in it, and the stat of the
    current entry."""
    for _ in range(_LINKS):
        parent, _, name = path.rpartition("/")
        folder = open_folder(root, parent or "/")
        try:
            info = entry(folder, name)
            if info is None:
                return folder, name, None
            if not stat.S_ISLNK(info.st_mode):
                return folder, name, info
            target = os.readlink(name, dir_fd=folder)
            # The path as seen in the sandbox; if the guest moved files meanwhile, the next round resolves it again.
            here = Path(f"/proc/self/fd/{folder}").readlink()
        except BaseException:
            os.close(folder)
            raise
        os.close(folder)
        path = target if target.startswith("/") else f"{here}/{target}"
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def sweep(layer: Path) -> None:
    """Remove unfinished writes left by a crash, in a layer that no sandbox uses."""
    try:
        top = os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        # The guest may have replaced the folders in the path by links.
        home = _linux.open_in_root(top, HOME, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    finally:
        os.close(top)
    try:
        for name in os.listdir(home):
            if _PARTIAL.fullmatch(name):
                os.unlink(name, dir_fd=home)
    finally:
        os.close(home)


def open_stage(root: int, folder: int) -> int:
    """Open the folder for unfinished files that will be moved into `folder`.

    This is the home folder, where leftovers are swept, or `folder` if home is on another file system, or closed to
    its user. The caller closes it.
    """
    with contextlib.suppress(OSError):
        home = _linux.open_in_root(root, HOME, os.O_RDONLY | os.O_DIRECTORY)
        same = os.fstat(home).st_dev == os.fstat(folder).st_dev
        if same and os.access(".", os.W_OK | os.X_OK, dir_fd=home):
            return home
        os.close(home)
    return os.dup(folder)


def copy_data(source: bytes | bytearray | int, target: int) -> None:
    """Write bytes, or a readable descriptor from position 0, to `target`."""
    if isinstance(source, int):
        at = 0
        while sent := os.sendfile(target, source, at, 1 << 24):
            at += sent
    else:
        view = memoryview(source)
        while view:
            view = view[os.write(target, view) :]
