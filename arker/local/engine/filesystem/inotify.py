"""The changes of one tree of a live computer, by inotify from outside: the mounts of a sandbox report what programs in
it and file operations from outside change."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import enum
import errno
import math
import os
import secrets
import stat
import struct
import threading
from pathlib import Path
from typing import Final

from arker.local.engine import _linux
from arker.local.engine.file_protocol import Changes, FileInfo
from arker.local.engine.filesystem.root import Root, location, told
from arker.local.engine.filesystem.walk import directory, info_of, walk

#: Folders of one watch, and paths whose changes it remembers.
_FOLDERS: Final = 8192
_CHANGES: Final = 10_000
_EVENT: Final = struct.Struct("iIII")
_MODIFY, _ATTRIB, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x2, 0x4, 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _OVERFLOW, _IGNORED = 0x400, 0x800, 0x4000, 0x8000
_ONLYDIR, _EXCL_UNLINK, _ISDIR = 0x0100_0000, 0x0400_0000, 0x4000_0000
_ENTRIES: Final = _MODIFY | _ATTRIB | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_ITSELF: Final = _DELETE_SELF | _MOVE_SELF

_libc = ctypes.CDLL(None, use_errno=True)


class UnwatchableError(Exception):
    """A tree has too many folders to be watched, or all watches together, or a link on the way to it."""


class _WatchQuota:
    """The quota of all watches of this process: half of what the kernel grants a user."""

    def __init__(self) -> None:
        self._instances = self._limit("max_user_instances")
        self._folders = self._limit("max_user_watches")
        self._lock = threading.Lock()

    @staticmethod
    def _limit(name: str) -> int:
        try:
            return int(Path(f"/proc/sys/fs/inotify/{name}").read_text()) // 2
        except (OSError, ValueError):
            return 0

    def take(self, *, instances: int = 0, folders: int = 0) -> None:
        """Take some, or give them back by negative numbers. Raises UnwatchableError when there are none."""
        with self._lock:
            if instances > max(0, self._instances) or folders > max(0, self._folders):
                raise UnwatchableError
            self._instances -= instances
            self._folders -= folders


_quota = _WatchQuota()


class State(enum.Enum):
    """The states of a watch."""

    WATCHING = "watching"
    #: The sandbox ended, or the folder is another one; no descriptor is left.
    OVER = "over"


class Watch:
    """A watch of one tree. Whoever has its `lock` may use it; `end` may be called at any time."""

    def __init__(self) -> None:
        self.id: str = secrets.token_hex(8)
        self.state: State = State.WATCHING
        self.followers: int = 0
        self.lock: asyncio.Lock = asyncio.Lock()
        #: Seconds that the last report took.
        self.cost: float = 0.0
        #: The number of the last change; followers with a cursor before `floor` have missed changes.
        self._last = 0
        self._floor = 0
        #: By path, the number of its last change; and of the last time that a folder there was removed.
        self._changed: dict[str, int] = {}
        self._removed: dict[str, int] = {}
        #: Folders that may be new.
        self._fresh: set[str] = set()
        #: The watched folders by the kernel's numbers, these by their paths, and the watched folders in each.
        self._paths: dict[int, str] = {}
        self._numbers: dict[str, int] = {}
        self._inner: dict[str, set[str]] = {}
        #: The watched folder, None when it may have been moved; and the numbers of the folders above it.
        self._top: os.stat_result | None = None
        self._above: set[int] = set()
        self._waiting: set[asyncio.Future[None]] = set()
        _quota.take(instances=1)
        self._fd = int(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        if self._fd < 0:
            _quota.take(instances=-1)
            raise UnwatchableError

    @property
    def cursor(self) -> str:
        """The cursor of a follower that knows everything so far."""
        return f"{self.id}.{self._last}"

    # Start and end

    def end(self) -> None:
        """End it and wake the followers. While it is in use, its descriptor is closed after that."""
        if self.state is State.OVER:
            return
        if self.lock.locked():
            self._top = None
        else:
            self.drain()
        self._wake()
        self.state = State.OVER
        if not self.lock.locked():
            self.close_if_over()

    def close_if_over(self) -> None:
        """Close the descriptor if it is over."""
        if self.state is State.OVER and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            _quota.take(instances=-1, folders=-len(self._paths))
            for held in (self._paths, self._numbers, self._inner, self._fresh):
                held.clear()

    async def readable(self, seconds: float) -> None:
        """Wait until there are events, or it is over."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        if not self._waiting:
            loop.add_reader(self._fd, self._wake)
        self._waiting.add(future)
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            pass
        finally:
            if future in self._waiting:
                self._waiting.discard(future)
                if not self._waiting:
                    loop.remove_reader(self._fd)

    def _wake(self) -> None:
        if self._waiting:
            asyncio.get_running_loop().remove_reader(self._fd)
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    # Events

    def drain(self) -> None:
        """Note what the events say that have arrived."""
        with contextlib.suppress(BlockingIOError):
            while True:
                data = os.read(self._fd, 1 << 16)
                at = 0
                while at < len(data):
                    number, mask, _, length = _EVENT.unpack_from(data, at)
                    at += _EVENT.size + length
                    name = data[at - length : at].rstrip(b"\0").decode("utf-8", "surrogateescape")
                    self._note(number, mask, name)

    def _note(self, number: int, mask: int, name: str) -> None:
        if mask & _OVERFLOW:
            self._forget()
            self._fresh.add("")
            return
        folder = self._paths.get(number)
        if folder is None:
            return
        if mask & _ITSELF and (number in self._above or not folder):
            self._top = None
        if mask & _IGNORED:
            self._drop(number)
        if not mask & _ENTRIES or not name:
            return
        path = f"{folder}/{name}" if folder else name
        self._change(path)
        if mask & _ISDIR:
            if mask & (_DELETE | _MOVED_FROM | _ATTRIB):
                # With another mode, other entries of it may be seen.
                self._removed[path] = self._last
            if mask & (_CREATE | _MOVED_TO | _ATTRIB):
                self._fresh.add(path)
            else:
                self._fresh.discard(path)
            if mask & _MOVED_FROM:
                self._leave(path)

    def _change(self, path: str) -> None:
        self._last += 1
        self._changed[path] = self._last
        if len(self._changed) > _CHANGES:
            self._forget()

    def _forget(self) -> None:
        """Make the followers read the tree again."""
        self._last += 1
        self._floor = self._last
        self._changed.clear()
        self._removed.clear()

    # Folders

    def _add(self, fd: int, path: str, mask: int) -> int:
        """Watch an open folder; return its number, negative if it may not be read."""
        if len(self._paths) >= _FOLDERS:
            raise UnwatchableError
        _quota.take(folders=1)
        number = int(_libc.inotify_add_watch(self._fd, f"/proc/self/fd/{fd}".encode(), mask | _ONLYDIR))
        failure = ctypes.get_errno() if number < 0 else 0
        if failure or number in self._paths:
            _quota.take(folders=-1)
        if failure == errno.ENOSPC:
            raise UnwatchableError
        if failure:
            return number
        if self._paths.get(number, path) != path:
            # It was moved; the events of that come later.
            self._unname(number)
        self._paths[number] = path
        return number

    def _drop(self, number: int) -> None:
        self._unname(number)
        del self._paths[number]
        _quota.take(folders=-1)
        self._above.discard(number)

    def _unname(self, number: int) -> None:
        path = self._paths[number]
        if self._numbers.get(path) == number:
            del self._numbers[path]
            beside = self._inner.get(path.rpartition("/")[0])
            if beside is not None:
                beside.discard(path)

    def _leave(self, path: str) -> None:
        """Do not watch a folder and those below it any more."""
        pending = [path]
        while pending:
            here = pending.pop()
            pending += self._inner.pop(here, ())
            number = self._numbers.get(here)
            if number is not None:
                _libc.inotify_rm_watch(self._fd, number)
                self._drop(number)

    def begin(self, root: Root, path: str, after: str) -> str | None:
        """Watch everything below `path`; return where to continue if this takes long. Raises FileMissing,
        FileRefused."""
        with told(path), directory(root, path) as top:
            if location(top) != path:
                # A change of a link in the path would not be noticed.
                raise UnwatchableError
            if not after:
                self._top = os.fstat(top)
                self._watch_above(root, path)
                self._watch_one(top, "")
            return self._enter(root, top, "", after, news=False)

    def _watch_above(self, root: Root, path: str) -> None:
        while path != "/":
            path = path.rpartition("/")[0] or "/"
            with root.opened(path) as (fd, _):
                number = self._add(fd, path, _ITSELF)
                if number >= 0:
                    self._above.add(number)

    def _watch_one(self, fd: int, path: str) -> None:
        number = self._add(fd, path, _ENTRIES | _ITSELF | _EXCL_UNLINK)
        if number >= 0:
            self._numbers[path] = number
            if path:
                self._inner.setdefault(path.rpartition("/")[0], set()).add(path)

    def _enter(self, root: Root, top: int, head: str, after: str = "", *, news: bool) -> str | None:
        """Watch the folders below the folder `head`, each before its entries are read. Entries that are news are noted;
        others can be continued: return where, if the turn is over."""
        try:
            inner = _linux.open_beneath(top, head or ".", os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return None
        try:
            if head:
                self._watch_one(inner, head)
            for found in walk(root, inner, after=after):
                path = f"{head}/{found.path}" if head else found.path
                if news:
                    self._change(path)
                if found.is_directory:
                    with contextlib.suppress(OSError):
                        fd = _linux.open_beneath(found.folder, found.name, os.O_PATH | os.O_DIRECTORY)
                        try:
                            self._watch_one(fd, path)
                        finally:
                            os.close(fd)
                if root.due and not news:
                    return found.path
        finally:
            os.close(inner)
        return None

    # Answers

    def has_news(self, after: int) -> bool:
        """Return whether something may have changed since the cursor `after`."""
        return self._top is None or self._last > after

    def report(self, root: Root, path: str, after: int) -> Changes | None:
        """Return what is now at the paths that have changed since `after`; None if the folder is another one. Raises
        FileMissing, FileRefused."""
        with told(path), directory(root, path) as top:
            if self._top is None or not os.path.samestat(os.fstat(top), self._top):
                return None
            fresh, self._fresh = sorted(self._fresh), set()
            for index, head in enumerate(fresh):
                if index and _is_below(head, fresh[index - 1]):
                    fresh[index] = fresh[index - 1]  # entering that folder entered this one, too
                elif head:
                    self._enter(root, top, head, news=True)
                else:
                    root.until = math.inf
                    self._enter(root, top, "", news=False)
            if after < self._floor:
                return Changes(self.cursor, True)
            removed = {name for name, at in self._removed.items() if at > after}
            entries = []
            for name, at in self._changed.items():
                if at > after:
                    info = _look(top, name)
                    if info is None:
                        removed.add(name)
                    else:
                        entries.append(info)
            return Changes(self.cursor, False, entries, sorted(removed))


def _look(top: int, path: str) -> FileInfo | None:
    """Return what is at a relative path, over no link; None if nothing is there, or nothing that may be seen."""
    above, _, name = path.rpartition("/")
    try:
        folder = _linux.open_beneath(top, above or ".", os.O_PATH | os.O_DIRECTORY)
        try:
            info = os.stat(name, dir_fd=folder, follow_symlinks=False)
            target = os.readlink(name, dir_fd=folder) if stat.S_ISLNK(info.st_mode) else None
            return info_of(path, info, target)
        finally:
            os.close(folder)
    except OSError:
        return None


def _is_below(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")
