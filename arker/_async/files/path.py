"""A path in a computer, in the manner of `pathlib`."""

from __future__ import annotations

import functools
import os
import posixpath
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from arker.errors import ArkerError, bad_request
from arker.filevalues import FileInfo, RemotePath, is_absent, remote_path

from .wire import Mark

if TYPE_CHECKING:
    from .api import AsyncFile, AsyncFiles


@functools.total_ordering
class AsyncComputerPath:
    """A path in a computer, with the names and the meaning of `pathlib.Path`; made by `computer.path()`.

    A relative path, and `~`, start at the home folder. Methods that reach the computer raise ArkerError as those of
    `AsyncFiles` do: `not_found` where pathlib raises FileNotFoundError, `already_exists` for FileExistsError,
    `bad_request` for the others. `stat` returns a `FileInfo`, and files are opened as bytes.
    """

    __slots__ = ("_files", "_path")

    def __init__(self, files: AsyncFiles, path: RemotePath) -> None:
        remote_path(path)
        self._files = files
        self._path = PurePosixPath(os.fsdecode(path))

    def _with(self, path: PurePosixPath) -> AsyncComputerPath:
        return type(self)(self._files, path)

    # --- the path itself, without the computer ---

    def __fspath__(self) -> str:
        return str(self._path)

    def __str__(self) -> str:
        return str(self._path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._files._computer.id!r}, {str(self._path)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AsyncComputerPath):
            return NotImplemented
        return (self._path, self._files._computer) == (other._path, other._files._computer)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, AsyncComputerPath):
            return NotImplemented
        return self._path < other._path

    def __hash__(self) -> int:
        return hash((self._path, self._files._computer))

    def __truediv__(self, other: str | os.PathLike[str]) -> AsyncComputerPath:
        return self.joinpath(other)

    def joinpath(self, *others: str | os.PathLike[str]) -> AsyncComputerPath:
        """Return this path with others appended; an absolute one replaces what is before it.

        Raises:
            ArkerError: `bad_request` for a path with a NUL character.
        """
        return self._with(self._path.joinpath(*(os.fspath(one) for one in others)))

    @property
    def name(self) -> str:
        """The last part."""
        return self._path.name

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return self._path.stem

    @property
    def suffix(self) -> str:
        """The end of the name from its last dot on, such as `.py`; empty if there is none."""
        return self._path.suffix

    @property
    def suffixes(self) -> Sequence[str]:
        """All suffixes of the name."""
        return self._path.suffixes

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts."""
        return self._path.parts

    @property
    def parent(self) -> AsyncComputerPath:
        """The path without its last part."""
        return self._with(self._path.parent)

    @property
    def parents(self) -> Sequence[AsyncComputerPath]:
        """The paths of the folders above, the closest first."""
        return tuple(self._with(path) for path in self._path.parents)

    def with_name(self, name: str) -> AsyncComputerPath:
        """Return the path with another last part.

        Raises:
            ValueError: if the path has no last part, or it is no name.
        """
        return self._with(self._path.with_name(name))

    def with_stem(self, stem: str) -> AsyncComputerPath:
        """Return the path with another stem.

        Raises:
            ValueError: if the path has no last part, or it is no name.
        """
        return self._with(self._path.with_stem(stem))

    def with_suffix(self, suffix: str) -> AsyncComputerPath:
        """Return the path with another suffix, or without one if it is empty.

        Raises:
            ValueError: if the path has no last part, or it is no suffix.
        """
        return self._with(self._path.with_suffix(suffix))

    def is_absolute(self) -> bool:
        """Whether the path begins with a slash."""
        return self._path.is_absolute()

    def absolute(self) -> AsyncComputerPath:
        """Return the absolute path; links and `..` are kept."""
        return self._with(PurePosixPath(remote_path(self)))

    expanduser = absolute

    def is_relative_to(self, other: str | os.PathLike[str]) -> bool:
        """Whether the path is at or below another, by their texts.

        Raises:
            TypeError: if it is no path.
        """
        return self._path.is_relative_to(os.fspath(other))

    def relative_to(self, other: str | os.PathLike[str]) -> PurePosixPath:
        """Return the path relative to another, by their texts.

        Raises:
            ValueError: if it is not below it.
        """
        return self._path.relative_to(os.fspath(other))

    def match(self, pattern: str) -> bool:
        """Whether the path matches a pattern, as for `PurePosixPath.match`.

        Raises:
            ValueError: for an empty pattern.
        """
        return self._path.match(pattern)

    # --- contents ---

    async def read_bytes(self) -> bytes:
        """Return the content of the file."""
        return await self._files.read(self)

    async def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the content of the file as text.

        Args:
            encoding: The encoding of the text.
            errors: How to handle bytes that cannot be decoded.

        Raises:
            ArkerError: See the class.
        """
        return await self._files.read_text(self, encoding, errors)

    async def write_bytes(self, data: bytes) -> int:
        """Write the file, of which a reader sees the old or the new content; return the number of bytes. The folder
        must exist.

        Raises:
            ArkerError: See the class.
        """
        await self._needs_parent()
        return (await self._files.write(self, data)).size

    async def write_text(self, data: str, encoding: str = "utf-8", errors: str = "strict") -> int:
        """Write the file; return the number of characters.

        Args:
            data: The text.
            encoding: Its encoding.
            errors: How to handle characters that cannot be encoded.

        Raises:
            ArkerError: See the class.
        """
        await self.write_bytes(data.encode(encoding, errors))
        return len(data)

    def open(self, mode: str = "rb") -> AsyncFile:
        """Return the file as a file object; see `AsyncFiles.open`.

        Raises:
            ValueError: for a mode other than `rb`, `wb`, `ab` and `xb`.
        """
        return self._files.open(self, mode)

    # --- what is there ---

    async def stat(self, *, follow_symlinks: bool = True) -> FileInfo:
        """Return what is at the path.

        Args:
            follow_symlinks: Whether to follow a link at the end of the path.

        Raises:
            ArkerError: See the class.
        """
        return await self._files.stat(self, follow=follow_symlinks)

    async def lstat(self) -> FileInfo:
        """Return what is at the path, a link itself."""
        return await self.stat(follow_symlinks=False)

    async def exists(self) -> bool:
        """Whether anything is at the path; a link that leads nowhere counts as nothing."""
        return await self._files.exists(self)

    async def is_file(self) -> bool:
        """Whether there is a regular file, or a link to one."""
        return await self._kind(follow=True) == "file"

    async def is_dir(self) -> bool:
        """Whether there is a folder, or a link to one."""
        return await self._kind(follow=True) == "directory"

    async def is_symlink(self) -> bool:
        """Whether there is a symbolic link."""
        return await self._kind(follow=False) == "symlink"

    async def _kind(self, *, follow: bool) -> str | None:
        try:
            return (await self.stat(follow_symlinks=follow)).kind
        except ArkerError as error:
            if not is_absent(error):
                raise
            return None

    async def readlink(self) -> PurePosixPath:
        """Return the target of the symbolic link."""
        return PurePosixPath(await self._files.readlink(self))

    async def iterdir(self) -> AsyncIterator[AsyncComputerPath]:
        """Iterate over the entries of the folder, by name."""
        async for info in self._files.list(self):
            yield self / info.name

    async def glob(self, pattern: str) -> AsyncIterator[AsyncComputerPath]:
        """Iterate over the entries below that match a pattern; see `AsyncFiles.list`.

        Raises:
            ArkerError: See the class.
        """
        base = remote_path(self)
        async for info in self._files.list(self, glob=pattern):
            yield self / posixpath.relpath(info.path, base)

    async def rglob(self, pattern: str) -> AsyncIterator[AsyncComputerPath]:
        """Iterate over the entries at any depth below that match a pattern.

        Raises:
            ArkerError: See the class.
        """
        async for path in self.glob(f"**/{pattern}"):
            yield path

    # --- changes ---

    async def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Make a folder.

        Args:
            parents: Also make missing folders above it.
            exist_ok: Whether the folder may exist already.

        Raises:
            ArkerError: See the class.
        """
        await self._files.mkdir(self, parents=parents, exist_ok=exist_ok)

    async def touch(self, *, exist_ok: bool = True) -> None:
        """Make an empty file, or set the time of an existing one.

        Args:
            exist_ok: Whether the file may exist already.

        Raises:
            ArkerError: See the class.
        """
        await self._needs_parent()
        try:
            await self._files.write(self, b"", if_absent=True)
        except ArkerError as error:
            if error.code != "already_exists" or not exist_ok:
                raise
            base, name = posixpath.split(remote_path(self))
            mode = (await self.stat()).mode
            for why in (await self._files._backend.mark(base, [Mark(name, mode, time.time_ns())])).values():
                raise bad_request(why) from error

    async def unlink(self, *, missing_ok: bool = False) -> None:
        """Remove the file or link.

        Args:
            missing_ok: Whether the path may be missing.

        Raises:
            ArkerError: See the class.
        """
        if await self._kind(follow=False) == "directory":
            raise bad_request(f"{self} is a folder")
        await self._files.remove(self, missing_ok=missing_ok)

    async def rmdir(self) -> None:
        """Remove the folder, which must be empty."""
        if not (await self.lstat()).is_directory:
            raise bad_request(f"{self} is not a folder")
        await self._files.remove(self)

    async def rename(self, target: RemotePath) -> AsyncComputerPath:
        """Rename the file or folder; return the new path. A file replaces a file. A relative target starts at the home
        folder.

        Raises:
            ArkerError: See the class.
        """
        await self._files.move(self, target)
        return self._with(PurePosixPath(os.fsdecode(target)))

    replace = rename

    async def chmod(self, mode: int) -> None:
        """Set the permission bits.

        Raises:
            ArkerError: See the class.
        """
        await self._files.chmod(self, mode)

    async def symlink_to(self, target: RemotePath) -> None:
        """Make this path a symbolic link to `target`.

        Raises:
            ArkerError: See the class.
        """
        await self._files.symlink(target, self)

    async def _needs_parent(self) -> None:
        """Refuse to make folders that are missing, as pathlib does."""
        parent = self.absolute().parent
        if not (await parent.stat()).is_directory:
            raise bad_request(f"{parent} is not a folder")
