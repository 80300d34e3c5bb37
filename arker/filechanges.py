"""Changes of a tree of files, found by comparing what was there with what is there. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import overload

from .filevalues import PARTIAL, FileChange, FileInfo

__all__ = ["FileChanges", "KnownTree", "TreeNews"]


@dataclass(frozen=True, slots=True)
class TreeNews:
    """What a deployment says about a tree.

    Attributes:
        cursor: Continues after this.
        rescan: Whether the tree has to be read again, as the changes are not known.
        entries: What is now at the paths that may have changed.
        removed: Paths that were removed, or whose former contents were removed; apply these before `entries`.
    """

    cursor: str
    rescan: bool
    entries: Sequence[FileInfo] = ()
    removed: Sequence[str] = ()


@dataclass(frozen=True, slots=True, repr=False)
class FileChanges(Sequence[FileChange]):
    """Some changes of a folder, in the order of paths.

    Attributes:
        changes: The changes; also what the sequence itself consists of.
        entries: What was in the folder and below it after them. Give this to `Files.watch` as `since=` to continue
            from here, also in another process.
    """

    changes: Sequence[FileChange]
    entries: Sequence[FileInfo]

    def __len__(self) -> int:
        return len(self.changes)

    @overload
    def __getitem__(self, index: int) -> FileChange: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[FileChange]: ...
    def __getitem__(self, index: int | slice) -> FileChange | Sequence[FileChange]:
        return self.changes[index]

    def __repr__(self) -> str:
        return f"FileChanges({list(self.changes)!r})"


class KnownTree:
    """The known entries of a tree. Files that are not complete yet do not count."""

    def __init__(self, entries: Iterable[FileInfo]) -> None:
        self._known = _by_path(entries)

    @property
    def entries(self) -> Sequence[FileInfo]:
        """The entries."""
        return tuple(self._known.values())

    def replace(self, entries: Iterable[FileInfo]) -> Sequence[FileChange]:
        """Take these for all entries; return what changed by that."""
        before, self._known = self._known, _by_path(entries)
        return self._changes(dict.fromkeys(self._known) | before)

    def update(self, news: TreeNews) -> Sequence[FileChange]:
        """Take in what a deployment says; return what changed by that."""
        found = _by_path(news.entries)
        # Entries below them are gone, unless `news` has them.
        ended = set(news.removed) | {path for path, info in found.items() if not info.is_directory}
        ended = {path for path in ended if path in self._known and self._known[path].is_directory}
        gone = {path for path in news.removed if path in self._known}
        if ended:
            gone |= {path for path in self._known if _is_below(path, ended)}
        before: dict[str, FileInfo | None] = {path: self._known.pop(path) for path in gone}
        for path, info in found.items():
            before.setdefault(path, self._known.get(path))
            self._known[path] = info
        return self._changes(before)

    def _changes(self, before: dict[str, FileInfo | None]) -> Sequence[FileChange]:
        """The differences to what was at these paths."""
        changes = []
        for path, old in sorted(before.items()):
            new = self._known.get(path)
            if new is None:
                if old is not None:
                    changes.append(FileChange("removed", path, None))
            elif old is None:
                changes.append(FileChange("added", path, new))
            # The time of a folder only reflects changes of its entries.
            elif (old.kind, old.mode, old.target) != (new.kind, new.mode, new.target) or (
                new.kind == "file" and old.version != new.version
            ):
                changes.append(FileChange("changed", path, new))
        return changes


def _by_path(entries: Iterable[FileInfo]) -> dict[str, FileInfo]:
    return {info.path: info for info in entries if f"/{PARTIAL}" not in info.path}


def _is_below(path: str, folders: set[str]) -> bool:
    while path not in ("", "/"):
        path = posixpath.dirname(path)
        if path in folders:
            return True
    return False
