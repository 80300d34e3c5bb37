"""Copies, merges and removes folders of overlay layers, with whiteouts, links, holes and modes intact.

Names are untrusted, so this module neither builds long paths nor follows links: every step is relative to an open
folder. This is safe even while a process writes to the tree: an entry is opened first, as its current kind, and only
the open file is inspected, given permissions and read, even if its name is reused meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import mmap
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from arker.local.engine import _linux

# With the mount option `userxattr`, the kernel stores its marks here; an opaque folder hides the lower ones.
MARKS = "user.overlay."
_OPAQUE = f"{MARKS}opaque"
#: Folders nested deeper than this are refused, because each level needs a descriptor and an interpreter frame.
DEPTH = 250
#: Levels of subfolders that a removal enters before it moves the next one up, which costs more.
_DESCENT = 16


def is_whiteout(info: os.stat_result) -> bool:
    """Return whether an entry of a layer is a whiteout, which marks a deleted name."""
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def _open(parent: int | None, name: str, kind: int, mode: int) -> tuple[int, int | None]:
    """Open the folder or regular file `name` itself for reading. Permissions of `mode` that its owner lacks are added;
    also return the mode to restore. Raises OSError."""
    directory = os.O_DIRECTORY if kind == stat.S_IFDIR else os.O_NONBLOCK
    flags = os.O_RDONLY | directory | os.O_CLOEXEC
    before: int | None = None
    try:
        fd = os.open(name, flags | os.O_NOFOLLOW, dir_fd=parent)
    except PermissionError:
        pinned = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            info = os.fstat(pinned)
            if stat.S_IFMT(info.st_mode) != kind:
                raise _exchanged(name) from None
            # By its path in /proc, because fchmod does not accept an O_PATH descriptor.
            before = stat.S_IMODE(info.st_mode)
            os.chmod(f"/proc/self/fd/{pinned}", before | mode)
            fd = os.open(f"/proc/self/fd/{pinned}", flags)
        finally:
            os.close(pinned)
    info = os.fstat(fd)
    if stat.S_IFMT(info.st_mode) != kind:
        os.close(fd)
        raise _exchanged(name)
    if info.st_mode & mode != mode:
        before = stat.S_IMODE(info.st_mode)
        os.fchmod(fd, before | mode)
    return fd, before


def _exchanged(name: str) -> OSError:
    return OSError(errno.EAGAIN, "an entry was replaced while it was read", name)


@contextmanager
def _folder(parent: int | None, name: str, *, restore: bool = True) -> Iterator[int]:
    """Open a folder, even if unreadable; its permissions are restored afterwards."""
    fd, before = _open(parent, name, stat.S_IFDIR, 0o700)
    try:
        yield fd
    finally:
        if before is not None and restore:
            os.fchmod(fd, before)
        os.close(fd)


@contextmanager
def _file(folder: int, name: str) -> Iterator[int]:
    """Open a regular file, even if unreadable; its permissions are restored afterwards."""
    fd, before = _open(folder, name, stat.S_IFREG, 0o400)
    try:
        yield fd
    finally:
        if before is not None:
            os.fchmod(fd, before)
        os.close(fd)


def _entries(folder: int) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(entries)


def _copy_marks(source: int, target: int | str) -> None:
    """Copy extended attributes, mode and times, in an order in which each can be set."""
    for name in os.listxattr(source):
        with contextlib.suppress(OSError):  # we may not set security.* and the like
            os.setxattr(target, name, os.getxattr(source, name))
    info = os.stat(source)
    os.chmod(target, stat.S_IMODE(info.st_mode))
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))


def copy_folder_marks(source: str, target: str) -> None:
    """Copy the mode, times and attributes of the folder `source` to `target`, which no other process uses yet."""
    mode = stat.S_IMODE(os.stat(source, follow_symlinks=False).st_mode)
    with _folder(None, source) as folder:
        _copy_marks(folder, target)
    os.chmod(target, mode)


def make_folders(parent: Path, names: Iterable[str]) -> None:
    """Make each of `names` a real folder in `parent`; replace anything else."""
    with _folder(None, str(parent)) as fd:
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                    continue
                os.unlink(name, dir_fd=fd)
            os.mkdir(name, 0o755, dir_fd=fd)


def _copy_data(source: int, target: int, size: int) -> None:
    if _linux.reflink(source, target):
        return
    os.truncate(target, size)
    at = 0
    while at < size:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole remains
                return
            raise
        at = os.lseek(source, start, os.SEEK_HOLE)
        os.lseek(target, start, os.SEEK_SET)
        while start < at:
            sent = os.sendfile(target, source, start, min(at - start, 1 << 30))
            if sent == 0:
                return
            start += sent


def _copy_entry(source: int, target: int, name: str, info: os.stat_result, links: int | None) -> None:
    """Copy an entry that is not a folder. `links`, a folder, keeps files with several names until all names are
    copied."""
    kept = f"{info.st_dev}-{info.st_ino}"
    if links is not None and info.st_nlink > 1:
        try:
            os.link(kept, name, src_dir_fd=links, dst_dir_fd=target, follow_symlinks=False)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            links = None  # the file has the maximum number of links, one of them in `links`
        else:
            return
    if stat.S_ISREG(info.st_mode):
        writer = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target)
        try:
            with _file(source, name) as reader:
                _copy_data(reader, writer, info.st_size)
                for attribute in os.listxattr(reader):
                    with contextlib.suppress(OSError):
                        os.setxattr(writer, attribute, os.getxattr(reader, attribute))
            os.fchmod(writer, stat.S_IMODE(info.st_mode))
            os.utime(writer, ns=(info.st_atime_ns, info.st_mtime_ns))
        finally:
            os.close(writer)
    elif stat.S_ISLNK(info.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        os.utime(name, ns=(info.st_atime_ns, info.st_mtime_ns), dir_fd=target, follow_symlinks=False)
    else:  # a whiteout, a pipe or a socket
        os.mknod(name, info.st_mode, info.st_rdev, dir_fd=target)
        os.chmod(name, stat.S_IMODE(info.st_mode), dir_fd=target)
    if links is not None and info.st_nlink > 1:
        os.link(name, kept, src_dir_fd=target, dst_dir_fd=links, follow_symlinks=False)


def _deeper(depth: int) -> int:
    if depth >= DEPTH:
        raise OSError(errno.ELOOP, f"folders are nested more than {DEPTH} deep")
    return depth + 1


def _copy_into(source: int, target: int, links: int, depth: int) -> None:
    for entry in _entries(source):
        info = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode):
            os.mkdir(entry.name, 0o700, dir_fd=target)
            with _folder(source, entry.name) as a, _folder(target, entry.name) as b:
                _copy_into(a, b, links, _deeper(depth))
                _copy_marks(a, b)
                os.fchmod(b, stat.S_IMODE(info.st_mode))
        else:
            _copy_entry(source, target, entry.name, info, links)


def is_within(folder: Path, most: int) -> bool:
    """Whether a tree that nothing changes takes no more than `most` bytes, each entry at least a page; False where it
    cannot be read. Blocking."""
    left = most
    folders = [os.fspath(folder)]
    try:
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    info = entry.stat(follow_symlinks=False)
                    left -= max(info.st_blocks * 512, mmap.PAGESIZE)
                    if left < 0:
                        return False
                    if stat.S_ISDIR(info.st_mode):
                        folders.append(entry.path)
    except OSError:
        return False
    return True


def copy_tree(source: Path, target: Path) -> None:
    """Copy the layer `source` to the new folder `target`; data is shared if the file system supports it, and holes are
    kept."""
    links = target.with_name(f"{target.name}.links")
    target.mkdir(0o700)
    links.mkdir(0o700)
    try:
        with (
            _folder(None, str(source)) as a,
            _folder(None, str(target)) as b,
            _folder(None, str(links)) as kept,
        ):
            _copy_into(a, b, kept, 0)
            _copy_marks(a, b)
    finally:
        remove_tree(links)


def sync(folder: Path) -> None:
    """Write a folder, with all else on its file system, to the disk. Blocking. Raises OSError."""
    with _folder(None, str(folder)) as fd:
        _linux.sync_filesystem(fd)


def _discard(folder: int, name: str) -> None:
    """Remove an entry of a merged layer, of any kind."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        with _folder(folder, name) as inner:
            for entry in _entries(inner):
                _discard(inner, entry.name)
        os.rmdir(name, dir_fd=folder)


def is_opaque(folder: int) -> bool:
    """Return whether an open folder of a layer hides those of the layers below."""
    try:
        return os.getxattr(folder, _OPAQUE) == b"y"
    except OSError:
        return False


def _merge_into(layer: int, merged: int, depth: int) -> None:
    present = {entry.name: entry.is_dir(follow_symlinks=False) for entry in _entries(merged)}
    for entry in _entries(layer):
        name, info = entry.name, entry.stat(follow_symlinks=False)
        if not stat.S_ISDIR(info.st_mode):
            # A whiteout is kept as well, because the base image below may have the name.
            if name in present:
                _discard(merged, name)
            try:
                os.link(name, name, src_dir_fd=layer, dst_dir_fd=merged, follow_symlinks=False)
            except OSError as error:
                if error.errno not in (errno.EMLINK, errno.EPERM):
                    raise
                _copy_entry(layer, merged, name, info, None)
            continue
        with _folder(layer, name) as a:
            # An entry that is not a folder, such as a whiteout, hid the lower entries of this name, and the kernel does
            # not mark a folder that is created over it in another layer as opaque.
            hides = present.get(name) is False
            if hides or (name in present and is_opaque(a)):
                _discard(merged, name)
                present[name] = False
            if not present.get(name, False):
                os.mkdir(name, 0o700, dir_fd=merged)
            with _folder(merged, name, restore=False) as b:
                _merge_into(a, b, _deeper(depth))
                _copy_marks(a, b)
                if hides:
                    os.setxattr(b, _OPAQUE, b"y")
                os.fchmod(b, stat.S_IMODE(info.st_mode))


def merge(layers: list[Path], target: Path) -> None:
    """Create the folder `target` with the content of `layers` (lowest first) stacked by an overlay.

    Files are hard links to those of the layers, which are no longer written.
    """
    target.mkdir(0o700)
    with _folder(None, str(target)) as merged:
        for path in layers:
            with _folder(None, str(path)) as layer:
                _merge_into(layer, merged, 0)
                _copy_marks(layer, merged)


def remove_tree(path: Path) -> None:
    """Remove a folder of any depth and modes: subfolders that are nested deeply are moved up beside it and then
    emptied.

    Anything but a folder is unlinked.
    """
    try:
        if not stat.S_ISDIR(path.stat(follow_symlinks=False).st_mode):
            path.unlink()
            return
    except FileNotFoundError:
        return
    numbers = itertools.count()
    bin_ = path.with_name(f"{path.name}.bin")
    bin_.mkdir(0o700, exist_ok=True)
    with _folder(None, str(bin_)) as root:
        taken = {entry.name for entry in _entries(root)}

        def fresh() -> str:
            return next(name for name in map(str, numbers) if name not in taken)

        def move(parent: int | None, name: str) -> str:
            # A folder that its owner may not write cannot be moved to another parent.
            with _folder(parent, name, restore=False):
                moved = fresh()
                os.rename(name, moved, src_dir_fd=parent, dst_dir_fd=root)
                return moved

        def empty(folder: int, depth: int) -> None:
            for entry in _entries(folder):
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.name, dir_fd=folder)
                elif depth == _DESCENT:
                    pending.append(move(folder, entry.name))
                else:
                    remove(folder, entry.name, depth + 1)

        def remove(parent: int, name: str, depth: int) -> None:
            with _folder(parent, name, restore=False) as folder:
                empty(folder, depth)
            os.rmdir(name, dir_fd=parent)

        pending = [move(None, str(path)), *taken]
        while pending:
            remove(root, pending.pop(), 0)
    bin_.rmdir()
