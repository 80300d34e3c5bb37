"""The files of one computer: the engine's public interface to them."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from arker.local.engine.digests import Digests
from arker.local.engine.file_protocol import (
    ANY,
    LARGEST_PAGE,
    LARGEST_PIECE,
    Changes,
    Conditions,
    FileInfo,
    Marks,
    NewEntry,
    Page,
    Refused,
)
from arker.local.engine.filesystem import changes, content, walk
from arker.local.engine.filesystem.root import Root, absolute, told
from arker.local.engine.filesystem.watching import Watching, Whole
from arker.local.engine.protocol import FileRefused, Readable
from arker.local.engine.readable import LocalFile

_T = TypeVar("_T")


class Live(Protocol):
    """What file operations need of a computer."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def watching(self) -> Watching:
        """The watches of its folders."""
        ...

    async def on_files(self, work: Callable[[int], _T], size: int = 0) -> _T:
        """Run `work` in a thread, with a descriptor of the sandbox's root folder, when there is room for `size`
        bytes."""
        ...


class _OpenFile(LocalFile):
    __slots__ = ()

    def _version(self) -> str:
        return walk.version_of(os.fstat(self.fd))


class ComputerFiles:
    """The files of one live computer; a `Files`."""

    def __init__(
        self,
        computer: Live,
        digests: Digests,
        whole: Whole,
    ) -> None:
        self._computer = computer
        self._digests = digests
        self._whole = whole

    async def _do(self, function: Callable[..., _T], *args: Any, size: int = 0, **options: Any) -> _T:
        stopped = threading.Event()

        def work(fd: int) -> _T:
            return function(Root(fd, stopped=stopped), *args, **options)

        try:
            # Run to its end in any case: the descriptor must outlive the work.
            return await self._whole(self._computer.on_files(work, size))
        except asyncio.CancelledError:
            stopped.set()
            raise

    async def open(self, path: str) -> Readable:
        """Open a regular file for reading; its version is that of `stat`."""

        def work(root: Root) -> int:
            with told(path):
                return root.open_regular(path)

        absolute(path)
        return _OpenFile(await self._do(work), self._digests, self._computer.id)

    async def stat(self, path: str, *, follow: bool = True) -> FileInfo:
        """Return what is at `path`; without `follow`, a link itself."""
        return await self._do(walk.look, absolute(path), follow=follow)

    async def list(
        self, path: str, *, recursive: bool = False, glob: str = "", cursor: str = "", limit: int = 1000
    ) -> Page:
        """List a page of a folder, sorted, each folder before its contents; links are not followed.

        `glob` is a pattern for relative paths (`*`, `?`, `[abc]`, `**`). A page may have fewer entries than `limit`
        even if more pages follow. With `recursive`, unreadable folders count as empty.
        """
        limit = min(limit, LARGEST_PAGE)
        options: dict[str, Any] = {"recursive": recursive, "glob": glob, "cursor": cursor, "limit": limit}
        return await self._do(walk.listing, absolute(path), **options)

    async def mkdir(self, path: str, *, parents: bool = True, exist_ok: bool = True) -> None:
        """Create a folder."""
        await self._do(changes.make_directory, absolute(path), parents=parents, exist_ok=exist_ok)

    async def remove(self, path: str, *, recursive: bool = False, missing_ok: bool = False) -> None:
        """Remove a file, a link, an empty folder or, with `recursive`, a tree."""
        options = {"recursive": recursive, "missing_ok": missing_ok}
        while not await self._do(changes.remove, absolute(path), **options):
            options["missing_ok"] = True

    async def move(self, source: str, target: str, *, replace: bool = True) -> None:
        """Rename; across file systems, copy and then remove. Raises FileExists."""
        size = 0
        if (await self.stat(source, follow=False)).kind == "directory":
            size = await self._do(changes.size_of, absolute(source))
        await self._do(changes.move, absolute(source), absolute(target), replace=replace, size=size)

    async def copy(self, source: str, target: str, *, recursive: bool = False, replace: bool = True) -> None:
        """Copy a file or, with `recursive`, a folder. Raises FileExists."""
        size = await self._do(changes.size_of, absolute(source))
        options = {"recursive": recursive, "replace": replace}
        await self._do(changes.copy, absolute(source), absolute(target), size=size, **options)

    async def chmod(self, path: str, mode: int) -> None:
        """Set permission bits; links are followed."""
        await self._do(changes.change_mode, absolute(path), mode)

    async def mark(self, base: str, marks: Sequence[Marks]) -> Sequence[Refused]:
        """Set modes and times of entries below a folder."""
        return await self._do(changes.set_marks, absolute(base), marks)

    async def symlink(self, target: str, path: str) -> None:
        """Create a symbolic link at `path`. Raises FileExists."""
        if not target or "\0" in target:
            raise FileRefused("a link needs a target without NUL characters")
        await self._do(changes.make_link, target, absolute(path))

    async def write(
        self,
        path: str,
        data: bytes | bytearray,
        *,
        conditions: Conditions = ANY,
        mode: int | None = None,
        mtime_ns: int | None = None,
    ) -> FileInfo:
        """Write `data` to `path` atomically; links are followed.

        Raises FileExists, FileChanged.
        """
        options: dict[str, Any] = {"conditions": conditions, "mode": mode, "mtime_ns": mtime_ns}
        return await self._do(changes.write, absolute(path), data, size=len(data), **options)

    async def append(self, path: str, data: bytes | bytearray, *, at: int | None = None) -> FileInfo:
        """Append to a file whose size is `at`; with `at`, repeating the call is harmless.

        Raises FileChanged.
        """
        return await self._do(
            changes.append, self._computer.id, absolute(path), data, self._digests, at=at, size=len(data)
        )

    async def place(
        self,
        source: str,
        target: str,
        *,
        conditions: Conditions = ANY,
        mode: int | None = None,
        mtime_ns: int | None = None,
        sha256: str | None = None,
        base: str | None = None,
    ) -> FileInfo:
        """Replace the file at `target` by a file that was written in pieces. With `base`, `target` is relative to that
        folder and links are not followed. Raises FileExists, FileChanged."""
        options: dict[str, Any] = {
            "conditions": conditions,
            "mode": mode,
            "mtime_ns": mtime_ns,
            "sha256": sha256,
        }
        options["base"] = base if base is None else absolute(base)
        place = absolute(target) if base is None else target
        return await self._do(
            changes.place, self._computer.id, absolute(source), place, self._digests, **options
        )

    async def manifest(
        self,
        path: str,
        *,
        hashed: bool = True,
        cursor: str = "",
        limit: int = LARGEST_PAGE,
        only: Sequence[str] | None = None,
    ) -> Page:
        """List everything below a folder or, with `only`, the existing ones of some relative paths; if `hashed`,
        with the SHA-256 of each regular file. A missing folder is empty; raises FileRefused for an unreadable
        one."""
        options: dict[str, Any] = {"cursor": cursor, "limit": min(limit, LARGEST_PAGE), "only": only}
        digests = self._digests if hashed else None
        return await self._do(content.manifest, self._computer.id, absolute(path), digests, **options)

    async def pack(
        self, base: str, paths: Sequence[str], *, budget: int = LARGEST_PIECE
    ) -> tuple[Sequence[NewEntry], Sequence[Refused]]:
        """Return entries at relative paths with their contents, at most `budget` bytes; and the entries that were left
        out."""
        return await self._do(content.pack, absolute(base), paths, min(budget, LARGEST_PIECE))

    async def unpack(
        self, base: str, entries: Sequence[NewEntry], *, conditions: Conditions = ANY
    ) -> Sequence[Refused]:
        """Write entries below a folder, which is created if missing; return those that were refused."""
        size = sum(len(entry.data) for entry in entries)
        return await self._do(changes.unpack, absolute(base), entries, conditions, size=size)

    async def changes(self, path: str, cursor: str = "", *, wait: float = 0) -> Changes:
        """Return what has changed below a folder since `cursor`; wait for that at most `wait` seconds. Without a
        cursor, return one. A missing folder is empty."""
        return await self._computer.watching.changes(self._whole, absolute(path), cursor, wait)
