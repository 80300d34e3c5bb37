"""What file operations take and return.

A path is a str, absolute inside the computer; bytes that are not UTF-8 are surrogates in it, as in `os.fsdecode`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from arker.local.engine.protocol import EngineError

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

__all__ = [
    "ANY",
    "Conditions",
    "FileChanged",
    "FileExists",
    "FileInfo",
    "Kind",
    "Marks",
    "NewEntry",
    "Page",
    "Refused",
]
