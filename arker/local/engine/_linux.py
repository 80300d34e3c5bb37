"""Linux calls that Python lacks, by ctypes."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os

_libc = ctypes.CDLL(None, use_errno=True)

_SYS_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_RESOLVE_IN_ROOT = 0x10
_RENAME_NOREPLACE = 0x01

_PR_SET_DUMPABLE = 4
_CLONE_NEWNS = 0x00020000
_MS_BIND, _MS_REC, _MS_SLAVE = 0x1000, 0x4000, 0x80000

_FICLONE = 0x40049409
_FALLOC_KEEP_SIZE, _FALLOC_PUNCH_HOLE = 0x01, 0x02


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def open_in_root(root: int, path: str | bytes, flags: int) -> int:
    """Open `path` like a process whose root is the folder `root` (a descriptor): absolute links and `..` stay below it,
    and magic links of procfs are refused. Raises OSError."""
    return _openat2(root, path, flags, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)


def open_beneath(folder: int, path: str | bytes, flags: int) -> int:
    """Open the relative `path` below the open folder `folder` without following links. Raises OSError."""
    return _openat2(folder, path, flags, _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS)


def _openat2(folder: int, path: str | bytes, flags: int, resolve: int) -> int:
    raw = os.fsencode(path)
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    while True:
        fd: int = _libc.syscall(_SYS_OPENAT2, folder, raw, ctypes.byref(how), ctypes.sizeof(how))
        # EAGAIN: a folder was renamed during the lookup, so the kernel cannot tell where `..` leads.
        if fd >= 0 or ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
            return fd if fd >= 0 else _check(fd, os.fsdecode(raw))


def rename_new(source: int, name: str, target: int, new: str) -> None:
    """Rename `name` in the open folder `source` to `new` in `target`; raises FileExistsError if that exists."""
    result = _libc.renameat2(source, os.fsencode(name), target, os.fsencode(new), _RENAME_NOREPLACE)
    _check(result, new)


def sync_filesystem(fd: int) -> None:
    """Write all data of the file system that contains `fd` to its disk."""
    _check(_libc.syncfs(fd), "syncfs")


def allocate(fd: int, offset: int, length: int) -> None:
    """Allocate disk space for a part of a file, beyond its end too, if there is room and the file system can."""
    _libc.fallocate(fd, _FALLOC_KEEP_SIZE, ctypes.c_int64(offset), ctypes.c_int64(length))


def discard(fd: int, length: int) -> None:
    """Give back the disk space of the first `length` bytes of a file, if the file system can."""
    mode = _FALLOC_KEEP_SIZE | _FALLOC_PUNCH_HOLE
    _libc.fallocate(fd, mode, ctypes.c_int64(0), ctypes.c_int64(length))


def fill_standard_descriptors() -> None:
    """Open /dev/null in place of closed standard descriptors (0, 1, 2), so that no other file gets these numbers and
    receives printed output."""
    while (fd := os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)) <= 2:
        pass
    os.close(fd)


def keep_descriptors() -> None:
    """Make sure that programs started by this process inherit none of the descriptors that it has, above 2. Python
    opens all others so that they are not inherited."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the listing itself
            if int(name) > 2:
                os.set_inheritable(int(name), False)


def set_dumpable() -> None:
    """Restore this process's access to `/proc/self`, which the kernel removes when the uid changes."""
    _check(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")


def private_mounts() -> None:
    """Enter a mount namespace of our own that still follows the host's mounts. Needs CAP_SYS_ADMIN."""
    _check(_libc.unshare(_CLONE_NEWNS), "unshare")
    _check(_libc.mount(None, b"/", None, _MS_REC | _MS_SLAVE, None), "mount /")


def mount_tmpfs(target: str, options: str) -> None:
    """Mount an empty file system on `target`."""
    _check(_libc.mount(b"tmpfs", os.fsencode(target), b"tmpfs", 0, os.fsencode(options)), target)


def bind(source: str, target: str) -> None:
    """Bind-mount the folder or file `source`, with the mounts below it, at `target`."""
    _check(_libc.mount(os.fsencode(source), os.fsencode(target), None, _MS_BIND | _MS_REC, None), target)


def reflink(source: int, target: int) -> bool:
    """Let `target` share the data of `source`; return False if the file system does not support it."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True
