"""Schemas of file requests below `/api/v1/local/`."""

# Annotations are not deferred: pydantic would evaluate each of them by itself, which takes longer.

import base64
import binascii
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field, RootModel, StringConstraints

from arker.local.service.errors import ApiError
from arker.local.service.file_operations import Changes, Conditions, FileInfo, Marks, Refused

from .schemas import Body, Number, Truth, Whole, number

#: A path or name as text. If it is not UTF-8, it is given as base64 in the field of the same name with the suffix
#: `_b64`.
Text = Annotated[str, StringConstraints(max_length=8192)]
Paths = Annotated[list[Text], Field(max_length=50_000)]
Mode = Annotated[int, Field(ge=0, le=0o7777)]


def _signed(value: object) -> object:
    text = str(value)
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    return sign * number(digits)


class _WithPath(Body):
    path: Text | None = None
    path_b64: Text | None = None

    @property
    def where(self) -> str:
        """The path."""
        return one_path(self.path, self.path_b64, "path")


class _WithTarget(_WithPath):
    target: Text | None = None
    target_b64: Text | None = None

    @property
    def to(self) -> str:
        """The other path."""
        return one_path(self.target, self.target_b64, "target")


class Stat(_WithPath):
    """A request for what is at a path."""

    op: Literal["stat"]
    follow: bool = True


class List(_WithPath):
    """A request for a page of a folder or tree."""

    op: Literal["list"]
    recursive: bool = False
    glob: Text | None = None
    glob_b64: Text | None = None
    cursor: Text = ""
    limit: Annotated[int, Field(ge=1, le=50_000)] = 1000

    @property
    def pattern(self) -> str:
        """The pattern for paths; empty for all."""
        return "" if self.glob is self.glob_b64 is None else one_path(self.glob, self.glob_b64, "glob")


class Mkdir(_WithPath):
    """A request to create a folder."""

    op: Literal["mkdir"]
    parents: bool = True
    exist_ok: bool = True


class Remove(_WithPath):
    """A request to remove a path."""

    op: Literal["remove"]
    recursive: bool = False
    missing_ok: bool = False


class Move(_WithTarget):
    """A request to rename a path."""

    op: Literal["move"]
    replace: bool = True


class Copy(_WithTarget):
    """A request to copy a path."""

    op: Literal["copy"]
    recursive: bool = False
    replace: bool = True


class Chmod(_WithPath):
    """A request to set permission bits."""

    op: Literal["chmod"]
    mode: Mode


class Symlink(_WithTarget):
    """A request to create a link at `path` to `target`."""

    op: Literal["symlink"]


class Manifest(_WithPath):
    """A request for a page of everything below a folder, or for some paths below it."""

    op: Literal["manifest"]
    hashed: bool = True
    cursor: Text = ""
    limit: Annotated[int, Field(ge=1, le=50_000)] = 50_000
    only: Paths | None = None
    only_b64: Paths | None = None

    @property
    def wanted(self) -> list[str] | None:
        """Return the requested paths; None for all."""
        if self.only is None and self.only_b64 is None:
            return None
        return many_paths(self.only, self.only_b64)


class Mark(Body):
    """The mode and time of an entry."""

    path: Text | None = None
    path_b64: Text | None = None
    mode: Mode | None = None
    mtime_ns: int | None = None
    if_match: Text | None = None


class MarkAll(_WithPath):
    """A request to set modes and times below a folder."""

    op: Literal["mark"]
    marks: Annotated[list[Mark], Field(max_length=50_000)]

    def values(self) -> list[Marks]:
        """Return the values for the engine."""
        return [
            Marks(one_path(mark.path, mark.path_b64, "path"), mark.mode, mark.mtime_ns, mark.if_match)
            for mark in self.marks
        ]


class Place(_WithTarget):
    """A request to replace a file by one that was written in pieces."""

    op: Literal["place"]
    base: Text | None = None
    base_b64: Text | None = None
    if_match: Text | None = None
    if_absent: bool = False
    read_only: bool = False
    mode: Mode | None = None
    mtime_ns: int | None = None
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None

    @property
    def below(self) -> str | None:
        """The folder that the target is relative to, if any."""
        return None if self.base is self.base_b64 is None else one_path(self.base, self.base_b64, "base")

    def conditions(self) -> Conditions:
        """Return the conditions for the replacement."""
        return Conditions(self.if_match, self.if_absent, self.read_only)


class Watch(_WithPath):
    """A request to wait for changes below a folder, since the given cursor."""

    op: Literal["changes"]
    cursor: Text = ""
    wait: Annotated[float, Field(ge=0, le=60)] = 0


class Pack(_WithPath):
    """A request for entries below a folder, as an archive."""

    paths: Paths | None = None
    paths_b64: Paths | None = None
    budget: Whole = 8 << 20

    @property
    def wanted(self) -> list[str]:
        """Return the requested paths."""
        return many_paths(self.paths, self.paths_b64)


class PathQuery(_WithPath):
    """The path of a file."""


class _WithConditions(_WithPath):
    if_match: Text | None = None
    if_absent: Truth = False
    read_only: Truth = False

    def conditions(self) -> Conditions:
        """Return the conditions for the replacement."""
        return Conditions(self.if_match, self.if_absent, self.read_only)


class WriteQuery(_WithConditions):
    """How to write a file; with `append`, at the end of one of `at` bytes, if that is given."""

    append: Truth = False
    at: Number | None = None
    mode: Annotated[Number, Field(le=0o7777)] | None = None
    mtime_ns: Annotated[int, BeforeValidator(_signed)] | None = None


class UnpackQuery(_WithConditions):
    """Where to unpack an archive."""


AnyOperation = (
    Stat | List | Mkdir | Remove | Move | Copy | Chmod | Symlink | Manifest | MarkAll | Place | Watch
)


class Operation(RootModel[Any]):
    """One of the file operations."""

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True)
    root: Annotated[AnyOperation, Field(discriminator="op")]


def _decoded(text: str, name: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        raise ApiError("bad_request", f"{name}: expected base64") from None


def one_path(plain: str | None, encoded: str | None, name: str) -> str:
    """Return a path that was given as text or as base64.

    Raises:
        ApiError: `bad_request`.
    """
    if (plain is None) == (encoded is None):
        raise ApiError("bad_request", f"{name}: give `{name}`, or `{name}_b64` where it is not UTF-8")
    return _decoded(encoded, f"{name}_b64") if encoded is not None else plain or ""


def many_paths(plain: Iterable[str] | None, encoded: Iterable[str] | None) -> list[str]:
    """Return paths that were given as text or as base64."""
    return [*(plain or ()), *(_decoded(text, "paths_b64") for text in encoded or ())]


def text_fields(name: str, text: str) -> dict[str, str]:
    """Return the JSON fields of a path or name: its text and, if that is not UTF-8, its bytes as well."""
    raw = text.encode("utf-8", "surrogateescape")
    try:
        return {name: raw.decode()}
    except UnicodeDecodeError:
        return {name: raw.decode(errors="replace"), f"{name}_b64": base64.b64encode(raw).decode()}


def info_fields(info: FileInfo) -> dict[str, Any]:
    """Return the JSON fields of a file."""
    fields: dict[str, Any] = text_fields("path", info.path)
    fields |= {"kind": info.kind, "size": info.size, "mode": info.mode, "mtime_ns": info.mtime_ns}
    fields["version"] = info.version
    if info.target is not None:
        fields |= text_fields("target", info.target)
    if info.sha256 is not None:
        fields["sha256"] = info.sha256
    return fields


def changes_fields(changes: Changes) -> dict[str, Any]:
    """Return the JSON fields of changes."""
    return {
        "cursor": changes.cursor,
        "rescan": changes.rescan,
        "entries": [info_fields(entry) for entry in changes.entries],
        "removed": [text_fields("path", path) for path in changes.removed],
    }


def refused_fields(refused: Iterable[Refused]) -> list[dict[str, str]]:
    """Return the JSON fields of entries that were left out."""
    return [
        {**text_fields("path", one.path), "reason": text_fields("reason", one.reason)["reason"]}
        for one in refused
    ]
