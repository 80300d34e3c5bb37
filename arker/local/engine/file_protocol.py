"""What the platform asks of the files of a computer, and what it is told; a part of `protocol`.

A path is a str, absolute inside the computer; bytes that are not UTF-8 are surrogates in it, as in `os.fsdecode`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from arker.local.engine.protocol import EngineError, Readable

#: Bytes of contents that one `pack` returns, or one `unpack` takes, at the most.
LARGEST_PIECE: Final = 16 << 20
#: Entries of a page, at the most.
LARGEST_PAGE: Final = 50_000

Kind = Literal["file", "directory", "symlink", "other"]


class FileExists(EngineError):
    """Something is at the path already, and the operation does not replace it."""


class FileChanged(EngineError):
    """The file is not the version that the caller knows."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What is at a path.

    Attributes:
        path: as asked for; of an entry of a listing, relative to the directory listed.
        kind: `other` is a pipe, a socket or a device.
        size: bytes; 0 for what is not a regular file.
        mode: permission bits, `0o755` for example.
        mtime_ns: time of the last change of the content, in nanoseconds since 1970.
        version: differs whenever the content may differ.
        target: where a symbolic link points to.
        sha256: hex digest of the content, where it was asked for.
    """

    path: str
    kind: Kind
    size: int
    mode: int
    mtime_ns: int
    version: str
    target: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Entries of a directory, in order; `cursor` continues after them and is None at the end."""

    entries: list[FileInfo]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry to be put into a tree, at a path relative to the tree's root."""

    path: str
    kind: Kind
    mode: int
    mtime_ns: int
    data: bytes | memoryview = b""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Marks:
    """Mode and time to be set on what is at a path."""

    path: str
    mode: int | None = None
    mtime_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """An entry that an operation on many left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Conditions:
    """What has to hold for a file to be replaced.

    Attributes:
        version: the file that is there has this version.
        absent: nothing is there.
        read_only: replace a file that its owner may not write, too.
    """

    version: str | None = None
    absent: bool = False
    read_only: bool = True


ANY = Conditions()


class Files(Protocol):
    """The files of one computer.

    Paths are absolute. Permissions are those of the computer's user. All methods raise FileRefused for what is not
    permitted or not possible, FileMissing for what is not there, StorageFull for what does not fit, VmMissing and
    SandboxUnavailable.
    """

    async def open(self, path: str) -> Readable:
        """A regular file, open for reading; its version is that of `stat`."""
        ...

    async def stat(self, path: str, *, follow: bool = True) -> FileInfo:
        """What is at `path`; with `follow` of False a link itself."""
        ...

    async def list(
        self, path: str, *, recursive: bool = False, glob: str = "", cursor: str = "", limit: int = 1000
    ) -> Page:
        """Entries of a directory, sorted, each directory before what is in it; links are not followed.

        `glob` is a pattern of relative paths (`*`, `?`, `[abc]`, `**`). A page may have fewer entries than `limit`
        before the last one. With `recursive`, directories that may not be read count as empty.
        """
        ...

    async def mkdir(self, path: str, *, parents: bool = True, exist_ok: bool = True) -> None:
        """Make a directory."""
        ...

    async def remove(self, path: str, *, recursive: bool = False, missing_ok: bool = False) -> None:
        """Remove a file, a link, an empty directory, or with `recursive` a tree."""
        ...

    async def move(self, source: str, target: str, *, replace: bool = True) -> None:
        """Rename; across file systems, copy and then remove. Raises FileExists."""
        ...

    async def copy(self, source: str, target: str, *, recursive: bool = False, replace: bool = True) -> None:
        """Copy a file, or with `recursive` a directory, to a path. Raises FileExists."""
        ...

    async def chmod(self, path: str, mode: int) -> None:
        """Set permission bits, links followed."""
        ...

    async def mark(self, base: str, marks: Sequence[Marks]) -> Sequence[Refused]:
        """Set modes and times of entries below a directory."""
        ...

    async def symlink(self, target: str, path: str) -> None:
        """Make a symbolic link at `path`. Raises FileExists."""
        ...

    async def write(
        self,
        path: str,
        data: bytes | bytearray,
        *,
        conditions: Conditions = ANY,
        mode: int | None = None,
        mtime_ns: int | None = None,
    ) -> FileInfo:
        """Put `data` at `path`, links followed: old file or new, never half.

        Raises FileExists, FileChanged.
        """
        ...

    async def append(self, path: str, data: bytes | bytearray, *, at: int | None = None) -> FileInfo:
        """Add to the end of a file, which has `at` bytes before; harmless when repeated with `at`.

        Raises FileChanged.
        """
        ...

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
        """Let a file that was filled piece by piece replace the one at `target`, which with `base` is relative to that
        directory, no link being followed. Raises FileExists, FileChanged."""
        ...

    async def manifest(
        self,
        path: str,
        *,
        hashed: bool = True,
        cursor: str = "",
        limit: int = LARGEST_PAGE,
        only: Sequence[str] | None = None,
    ) -> Page:
        """All that is below a directory, or with `only` what is there of some relative paths, with the SHA-256 of each
        regular file if `hashed`. A directory that is missing is empty; one that may not be read is FileRefused."""
        ...

    async def pack(
        self, base: str, paths: Sequence[str], *, budget: int = LARGEST_PIECE
    ) -> tuple[Sequence[NewEntry], Sequence[Refused]]:
        """Entries at relative paths with their contents, `budget` bytes at the most; and what was left out."""
        ...

    async def unpack(
        self, base: str, entries: Sequence[NewEntry], *, conditions: Conditions = ANY
    ) -> Sequence[Refused]:
        """Put entries below a directory, which is made if it is missing; what was refused of them."""
        ...

    async def changed(self, path: str, token: str = "", *, wait: float = 0) -> str:
        """A token of all that is below `path`, names, sizes, times and modes; waits until it is another one than
        `token`, or for `wait` seconds. A directory that is missing has a token as well."""
        ...
