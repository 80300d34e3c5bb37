"""Small files and folders by plain system calls: those of the kernel, and those that sandboxes and shells read. The
start of a computer uses some thirty, for which `Path` and its text layers would take a good part of the time."""

from __future__ import annotations

import contextlib
import os

_PIECE = 1 << 16


def read(path: str) -> str:
    """Return the text of a file. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # The kernel gives a list, such as that of children, a page at a time.
        data = b""
        while piece := os.read(fd, _PIECE):
            data += piece
        return data.decode(errors="replace")
    finally:
        os.close(fd)


def write(path: str, data: bytes) -> None:
    """Write to an existing file of the kernel. Raises OSError."""
    _write(path, data, os.O_WRONLY)


def make(path: str, data: bytes) -> None:
    """Make a file, or replace what is in it. Raises OSError."""
    _write(path, data, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)


def _write(path: str, data: bytes, flags: int) -> None:
    fd = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
    finally:
        os.close(fd)


def make_folder(path: str) -> bool:
    """Make a folder, and those above it that are missing; return False if it existed. Raises OSError."""
    try:
        os.mkdir(path)
    except FileExistsError:
        return False
    except FileNotFoundError:
        make_folder(os.path.dirname(path))
        os.mkdir(path)
    return True


def remove_folder(path: str) -> None:
    """Remove a folder of the engine's own, and all in it; ignored if it is missing. Raises OSError.

    What computers can write into may be deeper or change meanwhile: see `trees.remove_tree`.
    """
    with contextlib.suppress(FileNotFoundError):
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    remove_folder(entry.path)
                else:
                    os.unlink(entry.path)
        os.rmdir(path)
