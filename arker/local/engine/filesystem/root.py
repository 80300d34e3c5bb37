"""The root folder of a live sandbox, and ways to open what is below it.

For the kernel, operations run as the user of the computer, so the same permissions hold as inside.
Links cannot lead out, even if they are swapped meanwhile. Only regular files and folders are opened.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from arker.local.engine import _linux, sandbox_files
from arker.local.engine.protocol import EngineError, FileRefused

#: Seconds for which one operation on many files may delay a fork of the computer.
TURN = 2.0
_OF_PROCESS = re.compile(r"/proc/\d+(/|$)")


@dataclass(slots=True)
class Root:
    """The root folder of a sandbox during one operation; the descriptor outlives the operation."""

    fd: int
    until: float = field(default_factory=lambda: time.monotonic() + TURN)
    stopped: threading.Event = field(default_factory=threading.Event)
    _proc: int = -1

    def __post_init__(self) -> None:
        with contextlib.suppress(OSError):
            self._proc = os.stat("proc", dir_fd=self.fd).st_dev

    @property
    def due(self) -> bool:
        """Return whether the turn is over, for operations that can be continued."""
        return time.monotonic() > self.until

    def check(self) -> None:
        """End an operation that was abandoned by its caller."""
        if self.stopped.is_set():
            raise EngineError("the operation was cancelled")

    def in_proc(self, info: os.stat_result) -> bool:
        """Return whether something is on procfs, where the host could do more than the computer's user."""
        return info.st_dev == self._proc

    def refuse_proc(self, info: os.stat_result, path: str) -> None:
        """Raise FileRefused for a file of procfs: read from outside, it shows the host, and the host may do more than
        the computer's user."""
        if self.in_proc(info):
            raise FileRefused(f"{path}: the files of /proc can be used inside the computer only")

    def open(self, path: str, *, follow: bool = True) -> tuple[int, os.stat_result]:
        """Open `path` as an O_PATH descriptor; return it with its stat. Raises OSError, FileRefused."""
        fd = _linux.open_in_root(self.fd, path, os.O_PATH | (0 if follow else os.O_NOFOLLOW))
        try:
            info = os.fstat(fd)
            if self.in_proc(info) and _OF_PROCESS.match(location(fd)):
                self.refuse_proc(info, path)
        except BaseException:
            os.close(fd)
            raise
        return fd, info

    @contextlib.contextmanager
    def opened(self, path: str, *, follow: bool = True) -> Iterator[tuple[int, os.stat_result]]:
        """Like `open`; the descriptor is closed at the end of the block."""
        fd, info = self.open(path, follow=follow)
        try:
            yield fd, info
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def parent(self, path: str) -> Iterator[tuple[int, str]]:
        """Open the parent folder of `path`; yield it with the last name, which is not followed if it is a link."""
        above, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            raise FileRefused(f"{path}: the last part of the path is not a name")
        with self.opened(above or "/") as (fd, info):
            if not stat.S_ISDIR(info.st_mode):
                raise NotADirectoryError(20, os.strerror(20))
            self.refuse_proc(info, path)
            yield fd, name

    def open_regular(self, path: str) -> int:
        """Open the regular file at `path` for reading. Raises OSError, FileRefused."""
        # Checked before it is opened, because opening a pipe or a device has effects.
        with self.opened(path) as (found, info):
            refuse_unless_regular(path, info)
            self.refuse_proc(info, path)
            return reopen(found, os.O_RDONLY | os.O_NONBLOCK)


def location(fd: int) -> str:
    """Return the current path of a descriptor's file, as its sandbox sees it."""
    return str(Path(f"/proc/self/fd/{fd}").readlink())


def reopen(fd: int, flags: int) -> int:
    """Open the file of an O_PATH descriptor."""
    return os.open(f"/proc/self/fd/{fd}", flags | os.O_CLOEXEC)


def refuse_unless_regular(path: str, info: os.stat_result) -> None:
    """Raise FileRefused unless it is a regular file."""
    if not stat.S_ISREG(info.st_mode):
        raise FileRefused(f"{path} is {'a folder' if stat.S_ISDIR(info.st_mode) else 'not a regular file'}")


@contextlib.contextmanager
def told(path: str) -> Iterator[None]:
    """Turn an OSError about `path` into an error of the engine."""
    try:
        yield
    except OSError as error:
        raise sandbox_files.translate(error, path) from error


def absolute(path: str) -> str:
    """Return a path that is absolute. Raises FileRefused."""
    if not path.startswith("/") or "\0" in path:
        raise FileRefused(f"{path!r} is not an absolute path")
    return path
