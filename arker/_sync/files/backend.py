# Derived from arker/_async/files/backend.py by `make generate`; do not edit.
"""The backend for the files of a computer: endpoints for them or, where a deployment has none, runs of a shell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from arker.archive import Entry
from arker.errors import ArkerError
from arker.filechanges import TreeNews
from arker.filevalues import FileInfo, GrepMatch

from .shell import FileShell
from .wire import FileWire, Mark, Part, TreePage

if TYPE_CHECKING:
    from arker._sync.computer import Computer

T = TypeVar("T")

_Backend: TypeAlias = FileWire | FileShell


class FileBackend:
    """Operations on the files of one computer, by the means that its deployment has. The first answers decide; where
    there are endpoints, no request is made only to find that out."""

    __slots__ = ("_computer", "_shell", "_wire")

    def __init__(self, computer: Computer) -> None:
        self._computer = computer
        self._wire = FileWire(computer)
        self._shell = FileShell(computer)

    def _by(self, work: Callable[[_Backend], T]) -> T:
        speaks = self._computer._client._speaks
        if speaks.files != "shell":
            try:
                result = work(self._wire)
            except ArkerError as error:
                if speaks.files is not None or not error._unknown_path:
                    raise
            else:
                speaks.files = "endpoints"
                return result
        result = work(self._shell)
        # Not before: a computer that does not exist has neither.
        speaks.files = "shell"
        return result

    def operate(self, op: str, path: str, *, to: str | None = None, **fields: Any) -> None:
        """Do an operation on the file or folder at `path`. Raises ArkerError."""
        self._by(lambda backend: backend.operate(op, path, to=to, **fields))

    def stat(self, path: str, *, follow: bool = True) -> FileInfo:
        """Return what is at a path. Raises ArkerError."""
        return self._by(lambda backend: backend.stat(path, follow=follow))

    def list(
        self, path: str, cursor: str, limit: int, *, recursive: bool, glob: str | None
    ) -> tuple[Sequence[FileInfo], str | None]:
        """Return a page of entries, and the start of the next page. Raises ArkerError."""
        return self._by(lambda backend: backend.list(path, cursor, limit, recursive=recursive, glob=glob))

    def manifest(self, path: str, cursor: str, limit: int) -> TreePage:
        """Return a page of all entries below a folder, with relative paths. Raises ArkerError."""
        return self._by(lambda backend: backend.manifest(path, cursor, limit))

    def changes(self, path: str, cursor: str, wait: float) -> TreeNews:
        """Wait at most `wait` seconds for changes below a folder since `cursor`; return them. Raises ArkerError."""
        return self._by(lambda backend: backend.changes(path, cursor, wait))

    def write(self, path: str, data: bytes, *, mode: int | None = None, **conditions: Any) -> FileInfo:
        """Write a file. Raises ArkerError."""
        return self._by(lambda backend: backend.write(path, data, mode=mode, **conditions))

    def append(self, path: str, data: bytes, at: int | None) -> FileInfo:
        """Append to a file that has `at` bytes. Raises ArkerError."""
        return self._by(lambda backend: backend.append(path, data, at))

    def place(self, part: str, path: str, *, base: str | None = None, **fields: Any) -> FileInfo:
        """Move a file that was written in parts into place; with `base`, to a path relative to that folder, following
        no link. Raises ArkerError."""
        return self._by(lambda backend: backend.place(part, path, base=base, **fields))

    def read(self, path: str, start: int, size: int, version: str | None) -> Part:
        """Read bytes of a file, of the given version if there is one. Raises ArkerError."""
        return self._by(lambda backend: backend.read(path, start, size, version))

    def pack(self, base: str, paths: Sequence[str], budget: int) -> Sequence[Entry]:
        """Return entries of a tree with their contents. Raises ArkerError."""
        return self._by(lambda backend: backend.pack(base, paths, budget))

    def unpack(self, base: str, entries: Sequence[Entry], *, read_only: bool) -> dict[str, str]:
        """Write entries below a folder; return the refused ones with the reasons. Raises ArkerError."""
        return self._by(lambda backend: backend.unpack(base, entries, read_only=read_only))

    def mark(self, base: str, marks: Sequence[Mark]) -> dict[str, str]:
        """Set modes and times of entries below a folder; return the refused ones with the reasons. Raises
        ArkerError."""
        return self._by(lambda backend: backend.mark(base, marks))

    def hashes(self, base: str, paths: Sequence[str]) -> dict[str, str]:
        """Return the digests of files of a tree, by path. Raises ArkerError."""
        return self._by(lambda backend: backend.hashes(base, paths))

    def grep(self, pattern: str, path: str, *, fixed: bool, ignore_case: bool) -> Sequence[GrepMatch]:
        """Return matching lines, as `grep` in the computer finds them: there is no endpoint for that. Raises
        ArkerError."""
        return self._shell.grep(pattern, path, fixed=fixed, ignore_case=ignore_case)
