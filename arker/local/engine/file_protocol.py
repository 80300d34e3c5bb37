"""The interface between the platform and the files of a computer; a part of `protocol`.

A path is a str, absolute inside the computer. Bytes that are not UTF-8 are surrogates, as with `os.fsdecode`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, Protocol

from arker.local.engine.protocol import EngineError, Readable

#: Maximum bytes of contents that one `pack` returns or one `unpack` takes.
LARGEST_PIECE: Final = 16 << 20
#: Maximum number of entries of a page.
LARGEST_PAGE: Final = 50_000

Kind = Literal["file", "directory", "symlink", "other"]


class FileExists(EngineError):
    """The path exists already, and the operation does not replace it."""


class FileChanged(EngineError):
    """The file does not have the expected version."""


class FileInfo(NamedTuple):
    """What is at a path.

    Attributes:
        path: as requested; in a listing, relative to the listed folder.
        kind: `other` is a pipe, a socket or a device.
        size: bytes; 0 unless it is a regular file.
        mode: permission bits, `0o755` for example.
        mtime_ns: time of the last change of the content, in nanoseconds since 1970.
        version: differs whenever the content may differ.
        target: the target of a symbolic link; None for others.
        sha256: hex digest of the content, if it was requested.
    """

    path: str
    kind: Kind
    size: int
    mode: int
    mtime_ns: int
    version: str
    target: str | None = None
    sha256: str | None = None


class Page(NamedTuple):
    """Entries of a folder, in order; `cursor` continues after them and is None at the end. `refused` has folders
    of a manifest that could not be read."""

    entries: list[FileInfo]
    cursor: str | None
    refused: Sequence[Refused] = ()


class Changes(NamedTuple):
    """What has changed in a tree.

    Attributes:
        cursor: the changes after these continue from it.
        rescan: the changes are not known: the tree has to be read again.
        entries: what is now at the paths that have changed, relative to the tree.
        removed: paths that were removed, or whose former contents were removed; these apply before `entries`.
    """

    cursor: str
    rescan: bool
    entries: Sequence[FileInfo] = ()
    removed: Sequence[str] = ()


class NewEntry(NamedTuple):
    """An entry to be written to a tree; its path is relative to the tree's root."""

    path: str
    kind: Kind
    mode: int
    mtime_ns: int
    data: bytes | memoryview = b""
    target: str = ""


class Marks(NamedTuple):
    """The mode and time to set on the entry at a path.

    Attributes:
        path: one that ends with a slash is that of a folder.
        mode: permission bits.
        mtime_ns: time of the last change of the content, in nanoseconds since 1970.
        version: the entry must have this version.
    """

    path: str
    mode: int | None = None
    mtime_ns: int | None = None
    version: str | None = None


class Refused(NamedTuple):
    """An entry that an operation on many entries left out, and the reason."""

    path: str
    reason: str


class Conditions(NamedTuple):
    """Conditions for replacing a file.

    Attributes:
        version: the existing file must have this version.
        absent: there must be no file.
        read_only: also replace a file that its owner may not write.
    """

    version: str | None = None
    absent: bool = False
    read_only: bool = True


ANY = Conditions()


class Files(Protocol):
    """The files of one computer.

    Paths are absolute. Permissions are those of the computer's user. Every method raises FileRefused if it is not
    permitted or possible, FileMissing if a path does not exist, StorageFull if the disk is full, VmMissing and
    SandboxUnavailable.
    """

    async def open(self, path: str) -> Readable:
        """Open a regular file for reading; its version is that of `stat`."""
        ...

    async def stat(self, path: str, *, follow: bool = True) -> FileInfo:
        """Return what is at `path`; without `follow`, a link itself."""
        ...

    async def list(
        self, path: str, *, recursive: bool = False, glob: str = "", cursor: str = "", limit: int = 1000
    ) -> Page:
        """List a page of a folder, sorted, each folder before its contents; links are not followed.

        `glob` is a pattern for relative paths (`*`, `?`, `[abc]`, `**`). A page may have fewer entries than `limit`
        even if more pages follow. With `recursive`, unreadable folders count as empty.
        """
        ...

    async def mkdir(self, path: str, *, parents: bool = True, exist_ok: bool = True) -> None:
        """Create a folder."""
        ...

    async def remove(self, path: str, *, recursive: bool = False, missing_ok: bool = False) -> None:
        """Remove a file, a link, an empty folder or, with `recursive`, a tree."""
        ...

    async def move(self, source: str, target: str, *, replace: bool = True) -> None:
        """Rename; across file systems, copy and then remove. Raises FileExists."""
        ...

    async def copy(self, source: str, target: str, *, recursive: bool = False, replace: bool = True) -> None:
        """Copy a file or, with `recursive`, a folder. Raises FileExists."""
        ...

    async def chmod(self, path: str, mode: int) -> None:
        """Set permission bits; links are followed."""
        ...

    async def mark(self, base: str, marks: Sequence[Marks]) -> Sequence[Refused]:
        """Set modes and times of entries below a folder."""
        ...

    async def symlink(self, target: str, path: str) -> None:
        """Create a symbolic link at `path`. Raises FileExists."""
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
        """Write `data` to `path` atomically; links are followed.

        Raises FileExists, FileChanged.
        """
        ...

    async def append(self, path: str, data: bytes | bytearray, *, at: int | None = None) -> FileInfo:
        """Append to a file whose size is `at`; with `at`, repeating the call is harmless.

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
        """Replace the file at `target` by a file that was written in pieces. With `base`, `target` is relative to that
        folder and links are not followed. Raises FileExists, FileChanged."""
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
        """List everything below a folder or, with `only`, the existing ones of some relative paths; if `hashed`,
        with the SHA-256 of each regular file. A missing folder is empty; raises FileRefused for an unreadable
        one."""
        ...

    async def pack(
        self, base: str, paths: Sequence[str], *, budget: int = LARGEST_PIECE
    ) -> tuple[Sequence[NewEntry], Sequence[Refused]]:
        """Return entries at relative paths with their contents, at most `budget` bytes; and the entries that were left
        out."""
        ...

    async def unpack(
        self, base: str, entries: Sequence[NewEntry], *, conditions: Conditions = ANY
    ) -> Sequence[Refused]:
        """Write entries below a folder, which is created if missing; return those that were refused."""
        ...

    async def changes(self, path: str, cursor: str = "", *, wait: float = 0) -> Changes:
        """Return what has changed below a folder since `cursor`; wait for that at most `wait` seconds. Without a
        cursor, return one. A missing folder is empty."""
        ...
