"""Changes to single files and trees: create, write, move, copy, remove."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from arker.local.engine import _linux, sandbox_files
from arker.local.engine.digests import Digests, sha256_of
from arker.local.engine.file_protocol import (
    ANY,
    Conditions,
    FileChanged,
    FileExists,
    FileInfo,
    Marks,
    NewEntry,
    Refused,
)
from arker.local.engine.filesystem.root import Root, location, refuse_unless_regular, reopen, told
from arker.local.engine.filesystem.walk import BATCH, directory, info_of, refuse_closed, version_of, walk
from arker.local.engine.protocol import ComputerBusy, EngineError, FileMissing, FileRefused

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PERMISSIONS = 0o7777
#: How many times a folder may get new entries while it is removed.
_REFILLS = 100
#: Held while the target is checked and replaced.
_replacing = threading.Lock()


# Folders and links


def make_directory(root: Root, path: str, *, parents: bool = True, exist_ok: bool = True) -> None:
    """Create a folder. Raises FileExists, FileMissing, FileRefused."""
    if path.rstrip("/") == "":
        if not exist_ok:
            raise FileExists(f"{path} exists")
        return
    with told(path):
        try:
            _make_directory(root, path, exist_ok=exist_ok)
        except FileNotFoundError:
            if not parents:
                raise
            os.close(sandbox_files.open_folder(root.fd, path.rstrip("/").rpartition("/")[0] or "/"))
            _make_directory(root, path, exist_ok=exist_ok)


def _make_directory(root: Root, path: str, *, exist_ok: bool) -> None:
    try:
        with root.parent(path) as (folder, name):
            os.mkdir(name, 0o755, dir_fd=folder)
    except FileExistsError:
        with contextlib.suppress(FileNotFoundError), root.opened(path) as (_, info):
            if exist_ok and stat.S_ISDIR(info.st_mode):
                return
        raise FileExists(f"{path} exists") from None


def make_link(root: Root, target: str, path: str) -> None:
    """Create a symbolic link at `path` to `target`, which need not exist. Raises FileExists, FileRefused."""
    with told(path), root.parent(path) as (folder, name):
        try:
            os.symlink(target, name, dir_fd=folder)
        except FileExistsError:
            raise FileExists(f"{path} exists") from None


def set_marks(root: Root, base: str, marks: Sequence[Marks]) -> list[Refused]:
    """Set modes and times of entries below the folder `base`; links in it are not followed."""
    refused = []
    with told(base), directory(root, base) as top:
        for mark in marks:
            root.check()
            try:
                fd = _linux.open_beneath(top, mark.path or ".", os.O_PATH)
                try:
                    # A file that replaces this one meanwhile is not marked.
                    if mark.version not in (None, version_of(os.fstat(fd))):
                        refused.append(Refused(mark.path, f"{mark.path} was changed meanwhile"))
                        continue
                    _mark(root, fd, mark)
                finally:
                    os.close(fd)
            except OSError as error:
                refused.append(Refused(mark.path, str(sandbox_files.translate(error, mark.path))))
    return refused


def _mark(root: Root, fd: int, mark: Marks) -> None:
    if root.in_proc(os.fstat(fd)):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    there = f"/proc/self/fd/{fd}"
    if mark.mtime_ns is not None:
        os.utime(there, ns=(mark.mtime_ns, mark.mtime_ns))
    if mark.mode is not None:
        Path(there).chmod(mark.mode & _PERMISSIONS)


def change_mode(root: Root, path: str, mode: int) -> None:
    """Set the permission bits of the file or folder at `path`; links are followed. Raises FileMissing,
    FileRefused."""
    with told(path), root.opened(path) as (fd, _):
        _mark(root, fd, Marks(path, mode))


# Writing


@contextlib.contextmanager
def _staged(root: Root, folder: int) -> Iterator[tuple[int, str]]:
    """Yield a name for an unfinished file that is to be moved into `folder`, and the folder that contains it. If the
    block fails, the file is removed; after a crash, the next start removes it from the home folder."""
    name = sandbox_files.PARTIAL + secrets.token_hex(8)
    stage = sandbox_files.open_stage(root.fd, folder)
    try:
        yield stage, name
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=stage)
        raise
    finally:
        os.close(stage)


def _allow(path: str, there: os.stat_result | None, conditions: Conditions) -> None:
    """Raise unless `conditions` allow a file to replace the entry at `path`."""
    if there is not None:
        if conditions.absent:
            raise FileExists(f"{path} exists")
        refuse_unless_regular(path, there)
        if not conditions.read_only and not there.st_mode & 0o200:
            raise FileRefused(f"{path} is read-only")
    if conditions.version is not None:
        if there is None:
            raise FileMissing(f"file not found: {path}")
        if version_of(there) != conditions.version:
            raise FileChanged(f"{path} was changed meanwhile")


def _publish(
    path: str, stage: tuple[int, str], place: tuple[int, str], conditions: Conditions
) -> os.stat_result | None:
    """Move a finished file to its place if the conditions hold; return the stat of the file that it replaced."""
    with _replacing:
        there = sandbox_files.entry(*place)
        _allow(path, there, conditions)
        if there is None and conditions.absent:
            try:
                _linux.rename_new(*stage, *place)
            except FileExistsError:
                raise FileExists(f"{path} exists") from None
        else:
            os.rename(stage[1], place[1], src_dir_fd=stage[0], dst_dir_fd=place[0])
        return there


def write(
    root: Root,
    path: str,
    source: bytes | bytearray | int,
    *,
    conditions: Conditions = ANY,
    mode: int | None = None,
    mtime_ns: int | None = None,
    written: Callable[[os.stat_result], object] | None = None,
) -> FileInfo:
    """Write `source` (bytes, or a descriptor that is read from position 0) to `path` atomically: readers see the old
    file or the new one, which is on disk when this returns. Links are followed; missing folders are created.

    With `mode` None, a replaced file keeps its mode and a new one gets 0644. `written` is called with the stat of the
    new file. Raises FileMissing, FileRefused, FileExists, FileChanged, StorageFull.
    """
    if path.endswith("/"):
        raise FileRefused(f"{path} names a folder")
    if sandbox_files.is_partial(path.rpartition("/")[2]):
        raise FileRefused(f"{path}: such names are reserved for unfinished writes")
    with told(path):
        folder, name, there = sandbox_files.place(root.fd, path)
        try:
            if root.in_proc(os.fstat(folder)):
                raise FileRefused(f"{path}: files of /proc are not written from outside")
            _allow(path, there, conditions)
            with _staged(root, folder) as (stage, partial):
                file = os.open(partial, _NEW, 0o600, dir_fd=stage)
                try:
                    try:
                        sandbox_files.copy_data(source, file)
                    except OSError:
                        # A process that is just being started may still have the file open when it is removed.
                        os.truncate(file, 0)
                        raise
                    if mode is None:
                        mode = 0o644 if there is None else stat.S_IMODE(there.st_mode)
                    if mtime_ns is not None:
                        os.utime(file, ns=(mtime_ns, mtime_ns))
                    os.fchmod(file, mode & _PERMISSIONS)
                    os.fsync(file)
                    _publish(path, (stage, partial), (folder, name), conditions)
                    os.fsync(folder)
                    info = os.fstat(file)
                    if written is not None:
                        written(info)
                    return info_of(path, info)
                finally:
                    os.close(file)
        finally:
            os.close(folder)


def append(
    root: Root, vm_id: str, path: str, data: bytes | bytearray, digests: Digests, *, at: int | None = None
) -> FileInfo:
    """Append `data` to the file at `path`, which is created if missing; the data is on disk when this returns. The
    digest of a file that was only written by this is known to `digests`.

    `at` is the size that the file must have. If its size is `at + len(data)` and it ends with `data`, an earlier
    attempt has succeeded and nothing is done. Raises FileChanged, FileMissing, FileRefused, StorageFull.
    """
    with told(path):
        try:
            with root.opened(path) as (found, info):
                refuse_unless_regular(path, info)
                if root.in_proc(info):
                    raise FileRefused(f"{path}: files of /proc are not written from outside")
                file = reopen(found, os.O_RDWR | os.O_APPEND | os.O_NONBLOCK)
        except FileNotFoundError:
            if at:
                raise
            first = hashlib.sha256(data)
            return write(root, path, data, written=lambda info: digests.part_written(vm_id, info, first))
        try:
            with _replacing:
                before = os.fstat(file)
                size = before.st_size
                digest = None if at is None else digests.part_before(vm_id, before)
                if at is not None and size != at:
                    if size == at + len(data) and os.pread(file, len(data), at) == bytes(data):
                        return info_of(path, os.fstat(file))
                    raise FileChanged(f"{path} has {size} bytes, not {at}")
                try:
                    sandbox_files.copy_data(bytes(data), file)
                except OSError:
                    os.truncate(file, size)
                    raise
                after = os.fstat(file)
            if digest is not None:
                digest.update(data)
                digests.part_written(vm_id, after, digest)
            os.fsync(file)
            return info_of(path, os.fstat(file))
        finally:
            os.close(file)


def place(
    root: Root,
    vm_id: str,
    source: str,
    target: str,
    digests: Digests,
    *,
    conditions: Conditions = ANY,
    mode: int | None = None,
    mtime_ns: int | None = None,
    sha256: str | None = None,
    base: str | None = None,
) -> FileInfo:
    """Replace the file at `target` by the file at `source`, which was written in pieces and has the digest `sha256`; on
    disk when this returns. Links are followed. `mode` is as for `write`. With `base`, `target` is relative to that
    folder and links are not followed.

    Raises FileChanged when the digest differs, FileMissing, FileRefused, FileExists.
    """
    with told(source), root.parent(source) as (a, name), contextlib.ExitStack() as cleanup:
        file = root.open_regular(source)
        cleanup.callback(os.close, file)
        info = os.fstat(file)
        if sha256 is not None and _digest_of_parts(root, vm_id, file, digests) != sha256:
            raise FileChanged(f"{source} has not the content that was sent")
        with told(target):
            if base is None:
                folder, new, there = sandbox_files.place(root.fd, target)
                cleanup.callback(os.close, folder)
            else:
                if _INVALID.search(target):
                    raise FileRefused(f"{target!r} is not a path below it")
                places = _Places(cleanup.enter_context(directory(root, base)))
                cleanup.callback(places.close)
                folder, new = places.above(target), target.rpartition("/")[2]
                there = sandbox_files.entry(folder, new)
                if there is not None and stat.S_ISLNK(there.st_mode):
                    if conditions.absent:
                        raise FileExists(f"{target} exists")
                    if conditions.version is not None:
                        raise FileChanged(f"{target} was changed meanwhile")
                    os.unlink(new, dir_fd=folder)
                    there = None
            _allow(target, there, conditions)
            if mode is None:
                mode = 0o644 if there is None else stat.S_IMODE(there.st_mode)
            os.fchmod(file, mode & _PERMISSIONS)
            os.utime(file, ns=(info.st_mtime_ns, info.st_mtime_ns if mtime_ns is None else mtime_ns))
            os.fsync(file)
            _publish(target, (a, name), (folder, new), conditions)
            synced = reopen(folder, os.O_RDONLY | os.O_DIRECTORY)
            cleanup.callback(os.close, synced)
            os.fsync(synced)
            info = os.fstat(file)
            if sha256 is not None:
                digests.written(vm_id, info, sha256)
            return info_of(target, info)


def _digest_of_parts(root: Root, vm_id: str, file: int, digests: Digests) -> str:
    """The digest of a file that was written in parts; it is read if not all of it came by `append`."""
    parts = digests.part_before(vm_id, os.fstat(file))
    return sha256_of(file, root.check) if parts is None else parts.hexdigest()


# Removal


def remove(root: Root, path: str, *, recursive: bool = False, missing_ok: bool = False) -> bool:
    """Remove the entry at `path`; a link is removed, not its target. Return False when the turn ended before a whole
    tree was removed. Raises FileMissing, FileRefused."""
    with told(path):
        try:
            with root.parent(path) as (folder, name):
                info = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if not stat.S_ISDIR(info.st_mode):
                    os.unlink(name, dir_fd=folder)
                    return True
                try:
                    os.rmdir(name, dir_fd=folder)
                    return True
                except OSError as error:
                    if error.errno in (errno.EROFS, errno.EBUSY):
                        # Such as the home folder: what is in it stays, too.
                        raise FileRefused(f"{path} is a folder that cannot be removed") from None
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
                    if not recursive:
                        raise FileRefused(f"{path} is a folder that is not empty") from None
                return _remove_tree(root, folder, name)
        except FileNotFoundError:
            if missing_ok:
                return True
            raise


def _empty(root: Root, folder: int) -> list[str]:
    """Remove the files of a folder; return the names of at most BATCH folders in it."""
    below: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                below.append(entry.name)
                if len(below) == BATCH:
                    break
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(entry.name, dir_fd=folder)
                if root.due:
                    break
    return below


def _remove_tree(root: Root, parent: int, name: str) -> bool:
    """Remove a folder of any depth: only one folder is open at a time, and each parent is checked to be the same
    on the way up."""
    here = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        above: list[tuple[str, os.stat_result, list[str]]] = []
        below = _empty(root, here)
        refills = 0
        while not root.due:
            root.check()
            if below:
                child = below.pop()
                try:
                    inner = os.open(child, _DIRECTORY, dir_fd=here)
                except (FileNotFoundError, NotADirectoryError):
                    continue
                except OSError as error:
                    if error.errno == errno.ELOOP:  # it was replaced by a link
                        continue
                    raise
                above.append((child, os.fstat(here), below))
                os.close(here)
                here = inner
                below = _empty(root, here)
                continue
            up, child, left = -1, name, below
            if above:
                child, known, left = above[-1]
                up = os.open("..", _DIRECTORY, dir_fd=here)
                if not os.path.samestat(os.fstat(up), known):
                    os.close(up)
                    raise ComputerBusy(f"{child} was moved while it was removed; try again")
            try:
                os.rmdir(child, dir_fd=up if above else parent)
            except OSError as error:
                if above:
                    os.close(up)
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                if refills == _REFILLS:
                    raise ComputerBusy(f"{child} gets new entries while it is removed; try again") from None
                refills += not root.due
                below = _empty(root, here)
                continue
            if not above:
                return True
            above.pop()
            os.close(here)
            here, below = up, left
        return False
    finally:
        os.close(here)


# Moving and copying


def _refuse_inside(path: str, inner: int, outer: int, name: str) -> None:
    """Raise FileRefused if the folder `inner` is, or is below, the entry `name` of `outer`."""
    whole = f"{location(outer).rstrip('/')}/{name}/"
    if f"{location(inner).rstrip('/')}/".startswith(whole):
        raise FileRefused(f"{path} is inside of what would be put there")


def move(root: Root, source: str, target: str, *, replace: bool = True) -> None:
    """Move the entry at `source` to the path `target`. A file replaces a file, a folder replaces an empty folder.

    A folder that the kernel cannot rename, because it is in a lower layer or moves to another file system, is copied
    and then removed. Raises FileExists, FileMissing, FileRefused, StorageFull.
    """
    with told(source), root.parent(source) as (a, name), told(target), root.parent(target) as (b, new):
        with told(source):
            info = os.stat(name, dir_fd=a, follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode):
            _refuse_inside(target, b, a, name)
        if not replace and sandbox_files.entry(b, new) is not None:
            raise FileExists(f"{target} exists")
        try:
            if _renamed(a, name, b, new, replace=replace):
                return
            if replace and stat.S_ISDIR(info.st_mode):
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    os.rmdir(new, dir_fd=b)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                raise FileExists(f"{target} exists") from error
            raise
    copy(root, source, target, recursive=True, replace=replace)
    while not remove(root, source, recursive=True):
        root.until += 60  # an incomplete move is worse than a delayed fork


def _renamed(a: int, name: str, b: int, new: str, *, replace: bool) -> bool:
    """Rename an entry; return False if the kernel cannot."""
    try:
        if replace:
            os.rename(name, new, src_dir_fd=a, dst_dir_fd=b)
        else:
            _linux.rename_new(a, name, b, new)
    except OSError as error:
        if error.errno == errno.EXDEV:
            return False
        raise
    return True


def copy(root: Root, source: str, target: str, *, recursive: bool = False, replace: bool = True) -> None:
    """Copy a file, a link (not its target) or, with `recursive`, a folder to the path `target`, with modes and
    times.

    A file replaces a file atomically; for a folder, `target` must not exist. Raises FileExists, FileMissing,
    FileRefused, StorageFull.
    """
    with told(source), root.parent(source) as (a, name):
        info = os.stat(name, dir_fd=a, follow_symlinks=False)
        with told(target), root.parent(target) as (b, new):
            there = sandbox_files.entry(b, new)
            if there is not None and (not replace or not stat.S_ISREG(there.st_mode)):
                raise FileExists(f"{target} exists")
            if not stat.S_ISDIR(info.st_mode):
                if not (recursive or stat.S_ISLNK(info.st_mode)):
                    refuse_unless_regular(source, info)
                _copy_entry(root, a, name, info, b, new, source)
                return
            if not recursive:
                raise FileRefused(f"{source} is a folder; copy it recursively")
            if there is not None:
                raise FileExists(f"{target} exists")
            _refuse_inside(target, b, a, name)
            _copy_tree(root, a, name, info, b, new, source)


def _copy_entry(root: Root, a: int, name: str, info: os.stat_result, b: int, new: str, path: str) -> None:
    """Copy a file, link, pipe or socket, replacing a file atomically."""
    with _staged(root, b) as (stage, partial):
        _copy_new(root, a, name, info, stage, partial, path)
        os.rename(partial, new, src_dir_fd=stage, dst_dir_fd=b)


def _copy_new(root: Root, a: int, name: str, info: os.stat_result, b: int, new: str, path: str) -> None:
    """Copy a file, link, pipe or socket to where nothing is."""
    if stat.S_ISLNK(info.st_mode):
        os.symlink(os.readlink(name, dir_fd=a), new, dir_fd=b)
        return
    if stat.S_ISFIFO(info.st_mode) or stat.S_ISSOCK(info.st_mode):
        os.mknod(new, info.st_mode, dir_fd=b)
        return
    refuse_unless_regular(path, info)
    with told(path):
        reader = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=a)
    try:
        info = os.fstat(reader)
        refuse_unless_regular(path, info)
        writer = os.open(new, _NEW, 0o600, dir_fd=b)
        try:
            if not _linux.reflink(reader, writer):
                _copy_data(root, reader, writer, info.st_size)
            os.utime(writer, ns=(info.st_atime_ns, info.st_mtime_ns))
            os.fchmod(writer, stat.S_IMODE(info.st_mode))
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def _copy_data(root: Root, reader: int, writer: int, size: int) -> None:
    """Copy the first `size` bytes of a file, if it has so many; holes stay holes."""
    at = 0
    while at < size:
        try:
            at = os.lseek(reader, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break
        end = min(size, os.lseek(reader, at, os.SEEK_HOLE))
        os.lseek(writer, at, os.SEEK_SET)
        while at < end:
            root.check()
            sent = os.sendfile(writer, reader, at, min(end - at, 1 << 24))
            if not sent:
                size = end = at  # it became shorter
            at += sent
    os.ftruncate(writer, size)


def _copy_tree(root: Root, a: int, name: str, info: os.stat_result, b: int, new: str, path: str) -> None:
    """Copy a folder to where nothing is; nothing is left of it when that fails."""
    source = os.open(name, _DIRECTORY, dir_fd=a)
    try:
        os.mkdir(new, 0o700, dir_fd=b)
        try:
            _fill_copy(root, source, info, b, new, path)
        except BaseException:
            with contextlib.suppress(OSError, EngineError):
                while not _remove_tree(root, b, new):
                    root.until += 60  # remove it completely, even if that delays a fork
            raise
    finally:
        os.close(source)


def _fill_copy(root: Root, source: int, info: os.stat_result, b: int, new: str, path: str) -> None:
    target = os.open(new, _DIRECTORY, dir_fd=b)
    modes = [("", info)]
    place, open_folder = os.dup(target), ""
    try:
        for found in walk(root, source, closed=refuse_closed):
            above = found.path.rpartition("/")[0]
            if above != open_folder:
                os.close(place)
                place = -1
                place = _linux.open_beneath(target, above or ".", os.O_PATH | os.O_DIRECTORY)
                open_folder = above
            if found.is_directory:
                os.mkdir(found.name, 0o700, dir_fd=place)
                modes.append((found.path, found.info))
            else:
                inner = f"{path}/{found.path}"
                _copy_new(root, found.folder, found.name, found.info, place, found.name, inner)
        for folder, its in reversed(modes):
            fd = _linux.open_beneath(target, folder or ".", os.O_PATH)
            try:
                _mark(root, fd, Marks(folder, stat.S_IMODE(its.st_mode), its.st_mtime_ns))
            finally:
                os.close(fd)
    finally:
        if place >= 0:
            os.close(place)
        os.close(target)


def size_of(root: Root, path: str) -> int:
    """Return the bytes of the file, or of all files of the tree, at `path`; 0 if it does not exist."""
    with (
        contextlib.suppress(FileMissing),
        told(path),
        root.parent(path),
        root.opened(path, follow=False) as (fd, info),
    ):
        if not stat.S_ISDIR(info.st_mode):
            return info.st_size
        top = reopen(fd, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return sum(found.info.st_size for found in walk(root, top) if not found.is_directory)
        finally:
            os.close(top)
    return 0


# Trees


_INVALID = re.compile(r"(^|/)(\.{0,2})(/|$)|\0")


def unpack(root: Root, base: str, entries: Sequence[NewEntry], conditions: Conditions = ANY) -> list[Refused]:
    """Write entries below the folder `base`, created if missing; return the refused ones with the reasons.

    Each file is replaced atomically, even if this is interrupted; the contents are on disk before that.
    Links in the tree are never followed: an entry whose path contains one is refused.

    Raises FileRefused, StorageFull.
    """
    make_directory(root, base)
    with told(base), directory(root, base) as top, contextlib.ExitStack() as cleanup:
        stage, prefix = cleanup.enter_context(_staged(root, top))
        places = _Places(top)
        cleanup.callback(places.close)
        filling = _Filling(root, places, stage, prefix, conditions)
        cleanup.callback(filling.discard)
        for entry in entries:
            root.check()
            filling.prepare(entry)
        if any(entry.data for entry in filling.ready.values()):
            places.sync()
        filling.publish()
        filling.mark()
        return filling.refused


class _Filling:
    """Entries on their way into a tree: first in a hidden file each, then in their places."""

    def __init__(self, root: Root, places: _Places, stage: int, prefix: str, conditions: Conditions) -> None:
        self._root = root
        self._places = places
        self._stage = stage
        self._number = int(prefix.removeprefix(sandbox_files.PARTIAL), 16)
        self._conditions = conditions
        self._folders: list[NewEntry] = []
        #: Complete files and links, by their temporary names.
        self.ready: dict[str, NewEntry] = {}
        self.refused: list[Refused] = []

    def _refuse(self, path: str, error: OSError | FileRefused | FileExists) -> None:
        if isinstance(error, OSError):
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise error
            self.refused.append(Refused(path, str(sandbox_files.translate(error, path))))
        else:
            self.refused.append(Refused(path, str(error)))

    def prepare(self, entry: NewEntry) -> None:
        """Make a folder, or write a file or link beside its place."""
        try:
            if _INVALID.search(entry.path):
                raise FileRefused(f"{entry.path!r} is not a path below it")
            if entry.kind == "directory":
                self._places.make(entry.path)
                self._folders.append(entry)
            else:
                self._check_place(entry)
                self._number = (self._number + 1) & (1 << 64) - 1
                partial = f"{sandbox_files.PARTIAL}{self._number:016x}"
                self._write(entry, partial)
                self.ready[partial] = entry
        except (OSError, FileRefused, FileExists) as error:
            self._refuse(entry.path, error)

    def _check_place(self, entry: NewEntry) -> None:
        place = self._places.above(entry.path)
        if entry.kind == "other":
            raise FileRefused(f"{entry.path} is neither a file nor a folder nor a link")
        folder, _, name = entry.path.rpartition("/")
        if folder in self._places.new:
            return
        if (there := sandbox_files.entry(place, name)) is not None:
            _replaceable(entry.path, there, self._conditions)

    def _write(self, entry: NewEntry, partial: str) -> None:
        times = (entry.mtime_ns, entry.mtime_ns)
        if entry.kind == "symlink":
            os.symlink(entry.target, partial, dir_fd=self._stage)
            os.utime(partial, ns=times, dir_fd=self._stage, follow_symlinks=False)
            return
        file = os.open(partial, _NEW, 0o600, dir_fd=self._stage)
        try:
            view = entry.data
            while view:
                view = view[os.write(file, view) :]
            os.utime(file, ns=times)
            os.fchmod(file, entry.mode & _PERMISSIONS)
        except BaseException:
            os.unlink(partial, dir_fd=self._stage)
            raise
        finally:
            os.close(file)

    def publish(self) -> None:
        """Move what is complete to its place."""
        for partial, entry in list(self.ready.items()):
            name = entry.path.rpartition("/")[2]
            try:
                place = self._places.above(entry.path)
                os.rename(partial, name, src_dir_fd=self._stage, dst_dir_fd=place)
            except OSError as error:
                self._refuse(entry.path, error)
            else:
                del self.ready[partial]

    def mark(self) -> None:
        """Set the modes and times of folders, innermost first: after all else, because they may be read-only."""
        for entry in reversed(self._folders):
            try:
                self._places.mark(self._root, entry)
            except (OSError, FileRefused, FileExists) as error:
                self._refuse(entry.path, error)

    def discard(self) -> None:
        """Remove what has not come to its place."""
        for partial in self.ready:
            with contextlib.suppress(OSError):
                os.unlink(partial, dir_fd=self._stage)


def _replaceable(path: str, there: os.stat_result, conditions: Conditions) -> None:
    if stat.S_ISDIR(there.st_mode):
        raise FileExists(f"{path} is a folder")
    if conditions.absent:
        raise FileExists(f"{path} exists")
    if not conditions.read_only and stat.S_ISREG(there.st_mode) and not there.st_mode & 0o200:
        raise FileRefused(f"{path} is read-only")


class _Places:
    """Folders of a tree that is being filled; the last one stays open. None is reached through a link."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._path = ""
        self._fd = -1
        #: Folders that were made here, and so were empty.
        self.new: set[str] = set()

    def above(self, path: str) -> int:
        """Open the folder that contains `path`; create it if missing."""
        folder = path.rpartition("/")[0]
        if not folder:
            return self._top
        if self._fd < 0 or folder != self._path:
            self.close()
            try:
                self._fd = _linux.open_beneath(self._top, folder, os.O_PATH | os.O_DIRECTORY)
            except FileNotFoundError:
                self._fd = self._made(folder)
            self._path = folder
        return self._fd

    def _made(self, path: str) -> int:
        here = os.dup(self._top)
        for name in path.split("/"):
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o755, dir_fd=here)
                above, here = here, _linux.open_beneath(here, name, os.O_PATH | os.O_DIRECTORY)
            except BaseException:
                os.close(here)
                raise
            os.close(above)
        return here

    def make(self, path: str) -> None:
        """Create a folder and its parents."""
        name = path.rpartition("/")[2]
        place = self.above(path)
        try:
            os.mkdir(name, 0o755, dir_fd=place)
            self.new.add(path)
        except FileExistsError:
            there = sandbox_files.entry(place, name)
            if there is None or not stat.S_ISDIR(there.st_mode):
                raise FileExists(f"{path} exists and is not a folder") from None

    def mark(self, root: Root, entry: NewEntry) -> None:
        """Set the mode and time of a folder from its entry."""
        self.close()
        fd = _linux.open_beneath(self._top, entry.path, os.O_PATH | os.O_DIRECTORY)
        try:
            _mark(root, fd, Marks(entry.path, entry.mode, entry.mtime_ns))
        finally:
            os.close(fd)

    def sync(self) -> None:
        """Write staged data to disk."""
        _linux.sync_filesystem(self._top)

    def close(self) -> None:
        """Close the open folder."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
