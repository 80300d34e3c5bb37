"""Files of a computer as values: paths, information about files, and their form on the wire. No I/O here."""

from __future__ import annotations

import base64
import os
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

from .errors import ArkerError, bad_request

__all__ = ["FileChange", "FileInfo", "FileKind", "GrepMatch", "RemotePath", "TreeResult"]

RemotePath: TypeAlias = str | bytes | os.PathLike[str]
"""A path inside a computer. Relative paths, and `~`, start at the home folder `/home/user`. Names that are not UTF-8
are bytes, or surrogates in a str as `os.fsdecode` makes them."""

FileKind: TypeAlias = Literal["file", "directory", "symlink", "other"]
"""The kind of an entry; `other` is a pipe, a socket or a device."""

HOME: Final = "/home/user"
#: Prefix of the names of files that are not complete yet.
PARTIAL: Final = ".arker-part-"
_ABSENT: Final = (": a part of the path is not a folder", ": too many links on the way")


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file, folder, link or other entry of a computer.

    Attributes:
        path: Absolute.
        kind: `file`, `directory`, `symlink` or `other`.
        size: In bytes; 0 unless it is a file.
        mode: Permission bits, such as `0o644`.
        mtime_ns: When the content last changed, in nanoseconds since 1970.
        version: Differs whenever the content may differ; for `if_match=`.
        target: Where a symbolic link points to.
        sha256: Digest of the content in hex, if it was requested.
    """

    path: str
    kind: FileKind
    size: int
    mode: int
    mtime_ns: int
    version: str
    target: str | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(self.path)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.kind == "file"

    @property
    def is_directory(self) -> bool:
        """Whether it is a folder."""
        return self.kind == "directory"

    @property
    def modified(self) -> datetime:
        """When the content last changed, in UTC."""
        return datetime.fromtimestamp(self.mtime_ns / 1e9, UTC)


@dataclass(frozen=True, slots=True)
class FileChange:
    """A change below a watched folder.

    Attributes:
        kind: `added`, `changed` or `removed`.
        path: Absolute.
        info: The entry after the change; None if it was removed.
    """

    kind: Literal["added", "changed", "removed"]
    path: str
    info: FileInfo | None


@dataclass(frozen=True, slots=True)
class GrepMatch:
    """A line that matches.

    Attributes:
        path: Absolute path of the file.
        line: Number of the line, from 1.
        text: The line, without its end.
    """

    path: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class TreeResult:
    """The result of a `push` or `pull`.

    Attributes:
        sent: Relative paths that were created or replaced on the other side, or whose mode or time was set, in order.
        removed: Relative paths that were removed there.
        skipped: Entries that were skipped, with the reasons, by relative path.
        unchanged: How many entries were equal already.
        size: Bytes of content that were sent.
    """

    sent: tuple[str, ...]
    removed: tuple[str, ...]
    skipped: Mapping[str, str]
    unchanged: int
    size: int


def check_mode(mode: int | None) -> None:
    """Raise ArkerError `bad_request` unless these are permission bits; TypeError for no int."""
    if mode is not None and not isinstance(mode, int):
        raise TypeError(f"mode is an int such as 0o644, not {mode!r}")
    if mode is not None and not 0 <= mode <= 0o7777:
        raise bad_request(f"mode {mode:#o} is not permission bits, which are 0 to 0o7777")


def is_absent(error: ArkerError) -> bool:
    """Whether an error of `stat` says that nothing exists at a path of a computer, also because a part of it is not a
    folder or a link of it is in a circle."""
    return (error.code == "not_found" and error._resource != "vm") or error.message.endswith(_ABSENT)


def remote_path(path: RemotePath) -> str:
    """Return the absolute path inside a computer.

    Raises:
        ArkerError: `bad_request` for an empty path, or one with a NUL character.
        TypeError: if it is not a path.
    """
    text = path if isinstance(path, str) else os.fspath(path)
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    if not isinstance(text, str):
        raise TypeError(
            f"a path inside a computer is a str, bytes or a path object, not {type(path).__name__}"
        )
    if not text or "\0" in text:
        raise bad_request(f"path {text[:200]!r} {'contains a NUL character' if text else 'is empty'}")
    if text == "~" or text.startswith("~/"):
        text = f"{HOME}/{text[2:]}"
    whole = posixpath.join(HOME, text)
    # Keep `..`: its target depends on the links before it.
    return "/" + "/".join(part for part in whole.split("/") if part not in ("", "."))


def text_fields(name: str, text: str) -> dict[str, str]:
    """A path or name as JSON fields."""
    raw = text.encode("utf-8", "surrogateescape")
    try:
        return {name: raw.decode()}
    except UnicodeDecodeError:
        return {f"{name}_b64": base64.b64encode(raw).decode()}


def texts_fields(name: str, texts: Iterable[str]) -> dict[str, list[str]]:
    """Paths as JSON fields."""
    fields: dict[str, list[str]] = {name: [], f"{name}_b64": []}
    for text in texts:
        for key, value in text_fields(name, text).items():
            fields[key].append(value)
    return {key: values for key, values in fields.items() if values or key == name}


def text_of(fields: Mapping[str, Any], name: str) -> str:
    """The path or name in JSON fields. Raises KeyError, TypeError, ValueError."""
    encoded = fields.get(f"{name}_b64")
    if encoded is not None:
        return base64.b64decode(encoded).decode("utf-8", "surrogateescape")
    text = fields[name]
    if not isinstance(text, str):
        raise TypeError(f"{name} is not a string")
    return text


def info_of(fields: Mapping[str, Any], base: str = "") -> FileInfo:
    """The entry in JSON fields; `base` is the folder that its path is relative to. Raises KeyError, TypeError,
    ValueError."""
    path = text_of(fields, "path")
    size, mode, mtime_ns = int(fields["size"]), int(fields["mode"]), int(fields["mtime_ns"])
    has_target = "target" in fields or "target_b64" in fields
    return FileInfo(
        posixpath.join(base, path) if base else path,
        fields["kind"],
        size,
        mode,
        mtime_ns,
        str(fields["version"]),
        text_of(fields, "target") if has_target else None,
        fields.get("sha256"),
    )
