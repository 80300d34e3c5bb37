"""Follows changes in trees of a live computer by inotify, from outside: the mounts of a sandbox report what programs
in it and file operations from outside change.

A watch belongs to a folder of a computer and has any number of followers, each with a cursor. It notes which paths may
have changed; a follower is told what is there now. It ends some time after its last follower, and with the sandbox; a
follower with a cursor of a watch that ended has to read the tree again. A folder that is missing, or cannot be watched,
is looked at again and again instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, Final, Protocol, TypeVar

from arker.local.engine.file_protocol import LARGEST_PAGE, Changes
from arker.local.engine.filesystem.inotify import State, UnwatchableError, Watch
from arker.local.engine.filesystem.root import Root
from arker.local.engine.filesystem.walk import listing
from arker.local.engine.protocol import FileMissing, FileRefused

#: Watches of one computer.
_WATCHES: Final = 8
#: Seconds that a watch lasts without followers.
LINGER = 60.0
#: Seconds from the first change to the answer, in which further changes are collected; with many changes, this many
#: times what the answer before has cost.
_COLLECT: Final = 0.02
_PAUSE: Final = 5
#: Seconds between two looks at a folder that is not watched, and the minimum ratio of the pause to the cost of a look.
_LOOK_SECONDS: Final = 0.2
_LOOK_PAUSE: Final = 10

#: Kinds of cursors of followers of a folder that is not watched.
_LOOKED: Final = "looked"
_MISSING: Final = "missing"

_T = TypeVar("_T")


class Whole(Protocol):
    """Runs a coroutine to its end, even if the caller is cancelled."""

    def __call__(self, work: Coroutine[Any, Any, _T]) -> Awaitable[_T]:
        """Return what it returns."""
        ...


class Live(Protocol):
    """What watches need of a computer."""

    @property
    def running(self) -> bool:
        """Whether its sandbox is alive."""
        ...

    def check(self) -> None:
        """Raise if it must not be used any more."""
        ...

    async def on_files(self, work: Callable[[int], _T], size: int = 0) -> _T:
        """Run `work` in a thread, with a descriptor of the sandbox's root folder."""
        ...


class Watching:
    """The watches of one computer."""

    def __init__(self, computer: Live) -> None:
        self._computer = computer
        self._watches: dict[str, Watch] = {}
        self._lingering: dict[Watch, asyncio.TimerHandle] = {}
        #: Set when a computer that was at rest may change.
        self._stirred = asyncio.Event()
        #: How many sandboxes have ended.
        self._ended = 0

    def stir(self) -> None:
        """Wake those who wait for a computer at rest."""
        self._stirred.set()
        self._stirred = asyncio.Event()

    def end(self) -> None:
        """End all watches, as the sandbox is gone."""
        self._ended += 1
        for watch in self._watches.values():
            watch.end()

    async def changes(self, whole: Whole, path: str, cursor: str, wait: float) -> Changes:
        """Return what has changed since `cursor`, as soon as something has, at the latest after `wait` seconds. A
        computer at rest is not started for that."""
        path = path.rstrip("/") or "/"
        until = asyncio.get_running_loop().time() + wait
        kind, _, said = cursor.partition(".")
        if kind in (_LOOKED, _MISSING):
            return await self._looked(whole, path, kind, said, until)
        watch = self._watches.get(path)
        if watch is None or watch.id != kind or re.fullmatch(r"\d{1,18}", said, re.ASCII) is None:
            return await whole(self._begun(path))
        with self._followed(path, watch):
            answer = await self._followed_until(whole, path, watch, int(said), until)
        return await whole(self._begun(path)) if answer is None else answer

    async def _followed_until(
        self, whole: Whole, path: str, watch: Watch, after: int, until: float
    ) -> Changes | None:
        """Return what a follower is to be told; None if it has to begin anew."""
        loop = asyncio.get_running_loop()
        while watch.state is State.WATCHING:
            answer: Changes | None = await whole(self._report(path, watch, after))
            if answer is not None:
                return answer
            left = until - loop.time()
            if watch.state is State.WATCHING:
                if left <= 0:
                    return Changes(f"{watch.id}.{after}", False)
                await watch.readable(left)
            if watch.state is State.WATCHING:
                await asyncio.sleep(min(1.0, max(_COLLECT, _PAUSE * watch.cost)))
        self._computer.check()
        if not watch.has_news(after) and not self._computer.running:
            try:
                async with asyncio.timeout_at(until):
                    await self._stirred.wait()
            except TimeoutError:
                return Changes(f"{watch.id}.{after}", False)
        return None

    async def _report(self, path: str, watch: Watch, after: int) -> Changes | None:
        """Return what has changed since `after`, if something has. Ends a watch of which that cannot be said."""
        loop = asyncio.get_running_loop()
        async with watch.lock:
            if watch.state is State.OVER:
                return None
            await asyncio.to_thread(watch.drain)
            answer, lost = None, False
            if watch.has_news(after) and watch.state is State.WATCHING:
                began = loop.time()
                try:
                    answer = await self._on(watch.report, path, after)
                    lost = answer is None
                except (UnwatchableError, FileMissing, FileRefused):
                    lost = True
                watch.cost = loop.time() - began
        if lost:
            watch.end()
        watch.close_if_over()
        return answer

    async def _on(self, function: Callable[..., _T], *args: Any) -> _T:
        return await self._computer.on_files(lambda fd: function(Root(fd), *args))

    async def _begun(self, path: str) -> Changes:
        """Return the cursor of a follower that is about to read the tree."""
        watch = self._watches.get(path)
        if watch is None or watch.state is State.OVER:
            try:
                watch = await self._watch(path)
            except FileMissing:
                return Changes(f"{_MISSING}.", True)
            except UnwatchableError:
                return Changes(f"{_LOOKED}.{await self._token(path)}", True)
        with self._followed(path, watch):
            return Changes(watch.cursor, True)

    async def _watch(self, path: str) -> Watch:
        """Watch a folder. Raises FileMissing, FileRefused."""
        for known, other in list(self._watches.items()):
            if len(self._watches) >= _WATCHES and not other.followers:
                self._forget(known, other)
        if len(self._watches) >= _WATCHES and path not in self._watches:
            raise UnwatchableError
        watch, ended = Watch(), -1
        try:
            while ended != self._ended:
                ended = self._ended
                after: str | None = ""
                while after is not None:
                    after = await self._on(watch.begin, path, after)
        except BaseException:
            watch.end()
            raise
        there = self._watches.get(path)
        if there is not None and there.state is State.WATCHING:
            watch.end()  # another follower was faster
            return there
        if there is not None:
            self._cancel(there)
        self._watches[path] = watch
        return watch

    @contextlib.contextmanager
    def _followed(self, path: str, watch: Watch) -> Iterator[None]:
        watch.followers += 1
        self._cancel(watch)
        try:
            yield
        finally:
            watch.followers -= 1
            if not watch.followers and self._watches.get(path) is watch:
                loop = asyncio.get_running_loop()
                self._lingering[watch] = loop.call_later(LINGER, self._forget, path, watch)

    def _cancel(self, watch: Watch) -> None:
        handle = self._lingering.pop(watch, None)
        if handle is not None:
            handle.cancel()

    def _forget(self, path: str, watch: Watch) -> None:
        self._cancel(watch)
        watch.end()
        del self._watches[path]

    async def _looked(self, whole: Whole, path: str, kind: str, known: str, until: float) -> Changes:
        """Look again and again: for a folder that is missing, until it is there; at others until they change."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            now = await whole(self._token(path))
            if now != known:
                if kind == _MISSING:
                    return await whole(self._begun(path))
                return Changes(f"{kind}.{now}", True)
            pause = max(_LOOK_SECONDS, _LOOK_PAUSE * (loop.time() - began))
            if loop.time() + pause > until:
                return Changes(f"{kind}.{known}", False)
            await asyncio.sleep(pause)

    async def _token(self, path: str) -> str:
        """Return a digest of the names, sizes, times and modes of everything below `path`; empty if it is missing."""
        pages = []
        cursor: str | None = ""
        try:
            while cursor is not None:
                page, cursor = await self._on(_page_token, path, cursor)
                pages.append(page)
        except FileMissing:
            return ""
        return hashlib.sha256("".join(pages).encode()).hexdigest()


def _page_token(root: Root, path: str, cursor: str) -> tuple[str, str | None]:
    """Return a digest of names, kinds, modes, versions and targets of a page of the tree at `path`, and where the next
    page starts."""
    digest = hashlib.sha256()
    page = listing(root, path, recursive=True, cursor=cursor, limit=LARGEST_PAGE)
    for entry in page.entries:
        line = (entry.path, entry.kind, entry.mode, entry.version, entry.target)
        digest.update(repr(line).encode("utf-8", "surrogateescape"))
    return digest.hexdigest(), page.cursor
