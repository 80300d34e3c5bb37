"""Small files, without layers between: those of the kernel, and those that shells read. A start of a computer takes
some twenty; what `Path` needs for each, text layers and buffers, would be a good part of its time."""

from __future__ import annotations

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
