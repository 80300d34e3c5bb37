# Derived from arker/_async/files/trees.py by `make generate`; do not edit.
"""Copy whole trees between this machine and a computer: only the differences, in a few large pieces."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from arker._io_sync import in_thread
from arker._sync.gather import gather
from arker.errors import ArkerError
from arker.filevalues import PARTIAL, FileInfo, RemotePath, TreeResult, remote_path
from arker.folders import Ignore, LocalTree, ignorer, is_leftover
from arker.sources import File, local
from arker.transfers import batches
from arker.treeplan import Listing, Plan, plan

from .wire import PART, Mark, TreePage

if TYPE_CHECKING:
    from .api import Files

Progress: TypeAlias = Callable[[int, int], object]

#: Most bytes of content of a piece, most entries of a piece, and how many pieces are in progress at a time.
_PIECE: Final = 4 << 20
_MOST_ENTRIES: Final = 1000
_AT_A_TIME: Final = 3
#: Entries per page of a manifest, and paths per request for digests.
_PAGE: Final = 50_000
_QUESTIONS: Final = 5_000
_REMOVALS: Final = 8
_TRIES: Final = 3


class _Work:
    """The progress of a push or pull."""

    def __init__(self, todo: Plan, progress: Progress | None) -> None:
        self.todo = todo
        self.sent: list[str] = []
        self.removed: list[str] = []
        self.skipped: dict[str, str] = dict(todo.skipped)
        self.size = 0
        self.total = 0
        self._progress = progress

    def done(self, paths: Iterable[str], size: int, refused: dict[str, str]) -> None:
        """Record that entries of `size` bytes are done, except for refused ones."""
        self.skipped |= refused
        self.sent += [path for path in paths if path not in refused]
        self.size += size
        if self._progress is not None:
            self._progress(self.size, self.total)

    def result(self) -> TreeResult:
        """The result."""
        unchanged = self.todo.unchanged
        order = sorted(self.sent, key=lambda path: path.split("/"))
        return TreeResult(tuple(order), tuple(self.removed), self.skipped, unchanged, self.size)


def push(
    files: Files,
    source: str | os.PathLike[str],
    target: RemotePath,
    *,
    delete: bool,
    ignore: Ignore,
    follow: bool,
    checksum: bool,
    replace_read_only: bool,
    progress: Progress | None,
) -> TreeResult:
    """Make a folder of a computer equal to one of this machine; see `Files.push`."""
    backend, base, tree = files._backend, remote_path(target), LocalTree(source)
    here, there = _both(files, base, tree, ignorer(ignore), follow=follow)
    todo = plan(here, there, delete=delete, checksum=checksum)
    work = _Work(todo, progress)
    _compare(files, base, tree, todo, there)
    _clear(files, base, todo.clear, work)
    work.total = sum(info.size for info in todo.send)

    def piece(wanted: list[FileInfo]) -> None:
        entries, skipped = in_thread(functools.partial(tree.entries, wanted, follow=follow))
        refused = backend.unpack(base, entries, read_only=replace_read_only)
        size = sum(len(entry.data) for entry in entries)
        work.done([entry.path for entry in entries], size, {**skipped, **refused})

    def large(info: FileInfo) -> None:
        try:
            with local((tree.root / info.path).open, "rb") as file:
                before = os.fstat(file.fileno())
                conditions = {
                    "if_match": None,
                    "if_absent": False,
                    "read_only": replace_read_only,
                    "mtime_ns": before.st_mtime_ns,
                }
                given = File(file, owned=False, most=1 << 62)
                files._write_parts(info.path, given, info.mode, conditions, base)
        except ArkerError as error:
            if error.code not in ("local_file", "bad_request", "conflict"):
                raise
            work.done([info.path], 0, {info.path: error.message})
        else:
            work.done([info.path], info.size, {})

    if not there.entries:
        # It may not exist.
        backend.operate("mkdir", base, parents=True, exist_ok=True)
    _all(piece, large, todo.send)
    folders = [info for info in todo.send if info.kind == "directory"]
    marks = [_mark(info) for info in [*todo.mark, *reversed(folders)]]
    for start in range(0, len(marks), _QUESTIONS):
        refused = backend.mark(base, marks[start : start + _QUESTIONS])
        work.skipped |= {path.rstrip("/"): why for path, why in refused.items()}
    work.sent += [info.path for info in todo.mark if info.path not in work.skipped]
    _clear(files, base, [*todo.remove, *there.leftovers], work)
    work.removed += [path for path in todo.remove if path not in work.skipped]
    return work.result()


def pull(
    files: Files,
    source: RemotePath,
    target: str | os.PathLike[str],
    *,
    delete: bool,
    ignore: Ignore,
    checksum: bool,
    progress: Progress | None,
) -> TreeResult:
    """Make a folder of this machine equal to one of a computer; see `Files.pull`."""
    backend, base, tree = files._backend, remote_path(source), LocalTree(target)
    here, there = _both(files, base, tree, ignorer(ignore), missing_ok=True)
    if not there.entries:
        # A folder that does not exist has an empty manifest, too.
        backend.stat(base)
    in_thread(tree.make_root)
    for path, why in (in_thread(tree.refusals, there.entries.values())).items():
        del there.entries[path]
        there.skipped[path] = why
    todo = plan(there, here, delete=delete, checksum=checksum)
    work = _Work(todo, progress)
    _compare(files, base, tree, todo, here)
    for path in todo.clear:
        if why := in_thread(tree.remove, path):
            work.skipped[path] = why
    work.total = sum(info.size for info in todo.send)

    def piece(wanted: list[FileInfo]) -> None:
        left = [info.path for info in wanted]
        entries = backend.pack(base, left, 2 * _PIECE)
        refused = in_thread(tree.put, entries)
        arrived = {entry.path for entry in entries}
        refused |= {path: "it could not be read in the computer" for path in left if path not in arrived}
        work.done(left, sum(len(entry.data) for entry in entries), refused)

    def large(info: FileInfo) -> None:
        for attempt in range(1, _TRIES + 1):
            try:
                _get(files, f"{base}/{info.path}", tree, info.path)
            except ArkerError as error:
                if error.code == "conflict" and attempt < _TRIES:
                    continue
                if error.code not in ("local_file", "bad_request", "not_found", "conflict"):
                    raise
                work.done([info.path], 0, {info.path: error.message})
                return
            work.done([info.path], info.size, {})
            return

    _all(piece, large, todo.send)
    folders = [info for info in todo.send if info.kind == "directory"]
    work.skipped |= in_thread(tree.mark, [*todo.mark, *reversed(folders)])
    work.sent += [info.path for info in todo.mark if info.path not in work.skipped]
    for path in todo.remove:
        if why := in_thread(tree.remove, path):
            work.skipped[path] = why
        else:
            work.removed.append(path)
    for path in here.leftovers:
        in_thread(tree.remove, path)
    return work.result()


def _get(files: Files, path: str, tree: LocalTree, name: str) -> None:
    """Download a large file part by part. Raises ArkerError."""
    info = files._backend.stat(path, follow=False)
    if info.kind != "file":
        raise ArkerError("conflict", f"{path} is not a file any more", 409)
    try:
        with tree.partial(name) as (file, place):
            for part in files._pieces(path, 0, None, info.version):
                in_thread(file.write, part)
            place(info.mode, info.mtime_ns)
    except OSError as error:
        raise ArkerError("local_file", str(error)) from error


def _both(
    files: Files, base: str, tree: LocalTree, ignored: Callable[[str], bool], **options: bool
) -> tuple[Listing, Listing]:
    """List the local folder and, meanwhile, the one of the computer, which is empty if it does not exist. Raises
    ArkerError."""
    scan = functools.partial(tree.scan, ignored, **options)
    pages: list[TreePage] = []

    def manifest() -> Listing | None:
        cursor: str | None = ""
        while cursor is not None:
            pages.append(files._backend.manifest(base, cursor, _PAGE))
            cursor = pages[-1].cursor
        return None

    jobs: list[Callable[[], Listing | None]] = [functools.partial(in_thread, scan), manifest]
    here, _ = [outcome.get() for outcome in gather(jobs, 2)]
    assert here is not None
    # After the scan, not during it: `ignored` may be a function that must not be called from two threads at a time.
    return here, _listed(pages, ignored)


def _listed(pages: Iterable[TreePage], ignored: Callable[[str], bool]) -> Listing:
    found = Listing()
    left_out = ""
    for page in pages:
        found.skipped |= page.refused
        for info in page.entries:
            if left_out and info.path.startswith(left_out):
                continue
            if info.path.rpartition("/")[2].startswith(PARTIAL):
                if is_leftover(info.mtime_ns):
                    found.leftovers.append(info.path)
                continue
            if ignored(f"{info.path}/" if info.kind == "directory" else info.path):
                left_out = f"{info.path}/"
                found.ignored.append(info.path)
                continue
            found.entries[info.path] = info if info.mode <= 0o777 else replace(info, mode=info.mode & 0o777)
    for path in [path for path in found.skipped if path not in found.entries]:
        del found.skipped[path]
    return found


def _compare(files: Files, base: str, tree: LocalTree, todo: Plan, target: Listing) -> None:
    """Compare digests to decide which files of the same size have to be sent."""
    for start in range(0, len(todo.compare), _QUESTIONS):
        asked = todo.compare[start : start + _QUESTIONS]
        theirs = files._backend.hashes(base, [info.path for info in asked])
        ours = in_thread(lambda asked=asked: {info.path: tree.digest(info.path) for info in asked})
        for info in asked:
            known = target.entries[info.path]
            if theirs.get(info.path, "") != ours[info.path]:
                todo.send.append(info)
            elif (known.mode, known.mtime_ns) == (info.mode, info.mtime_ns):
                todo.unchanged += 1
            else:
                # After its time is set, the next comparison is quick.
                todo.mark.append(replace(info, version=known.version))
    todo.send.sort(key=lambda info: info.path.split("/"))


def _mark(info: FileInfo) -> Mark:
    if info.kind == "directory":
        return Mark(f"{info.path}/", info.mode, info.mtime_ns)
    return Mark(info.path, info.mode, info.mtime_ns, info.version)


def _clear(files: Files, base: str, paths: Sequence[str], work: _Work) -> None:
    def remove(path: str) -> None:
        try:
            files._backend.operate("remove", f"{base}/{path}", recursive=True, missing_ok=True)
        except ArkerError as error:
            if error.code != "bad_request":
                raise
            work.skipped[path] = error.message

    jobs = [functools.partial(remove, path) for path in paths]
    for outcome in gather(jobs, _REMOVALS):
        outcome.get()


def _all(
    piece: Callable[[list[FileInfo]], None],
    large: Callable[[FileInfo], None],
    entries: list[FileInfo],
) -> None:
    """Transfer entries, several pieces at a time."""
    small = batches(
        (info for info in entries if info.size <= PART),
        lambda info: info.size,
        most_bytes=_PIECE,
        most_items=_MOST_ENTRIES,
    )
    jobs: list[Callable[[], Any]] = [
        *(functools.partial(piece, batch) for batch in small),
        *(functools.partial(large, info) for info in entries if info.size > PART),
    ]
    for outcome in gather(jobs, _AT_A_TIME):
        outcome.get()
