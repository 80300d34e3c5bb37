"""`computer.files`: everything that can be done with the files of a computer."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import posixpath
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, cast, get_args

from arker._io_async import async_in_thread
from arker.errors import ArkerError, bad_request
from arker.filechanges import FileChanges, KnownTree
from arker.filevalues import (
    PARTIAL,
    FileInfo,
    FileKind,
    GrepMatch,
    RemotePath,
    TreeResult,
    check_mode,
    is_absent,
    remote_path,
)
from arker.folders import Ignore
from arker.sources import Source, local
from arker.transfers import PIECE

from .backend import AsyncFileBackend
from .data import AsyncData, read_source, source_of
from .downloads import AsyncFileSink, Progress
from .trees import async_pull, async_push
from .wire import PART

if TYPE_CHECKING:
    from arker._async.computer import AsyncComputer

#: No limit here: the computer's own limits apply.
_ANY_SIZE: Final = 1 << 62
#: How often reading starts over when the file changes meanwhile.
_TRIES: Final = 3
#: Entries per request.
_PAGE: Final = 1000
#: Bytes that are read at a time to find the end of a line.
_LINE: Final = 8192
#: Seconds that the deployment waits for a change before it answers.
_WAIT: Final = 20.0


class AsyncFiles:
    """The files of one computer: any path that its user may access, any size.

    A path is relative to the home folder `/home/user` unless it is absolute; `~` is the home folder. Permissions are
    those of the computer's user. All methods raise ArkerError: `not_found` if nothing is there, `already_exists`,
    `conflict` if the file does not have the given version, `bad_request` if something is not permitted or not
    possible, `unavailable` for a full disk, and any other failure.

    Works with every deployment: where there are no endpoints for files, by runs of a POSIX shell in the computer.
    """

    __slots__ = ("_backend", "_computer")

    def __init__(self, computer: AsyncComputer) -> None:
        self._computer = computer
        self._backend = AsyncFileBackend(computer)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._computer.id!r})"

    # --- contents ---

    async def read(self, path: RemotePath, start: int = 0, end: int | None = None) -> bytes:
        """Return the content of a file, or bytes `[start, end)` of it; fewer if the file is shorter. Memory use is
        about the size of the result.

        Args:
            path: The file; links are followed.
            start: First byte, from 0.
            end: The byte after the last one; default the end of the file.

        Raises:
            ArkerError: See the class.
        """
        if start < 0 or (end is not None and end < start):
            raise bad_request(f"bytes [{start}, {end}) is not a range")
        where = remote_path(path)
        if start == end:
            await self._backend.read(where, start, 1, None)
            return b""
        for attempt in range(1, _TRIES + 1):
            data = bytearray()
            try:
                async for piece in self._pieces(where, start, end):
                    data += piece
                return bytes(data)
            except ArkerError as error:
                if error.code != "conflict" or attempt == _TRIES:
                    raise
        raise AssertionError

    async def _pieces(
        self, path: str, start: int = 0, end: int | None = None, version: str | None = None
    ) -> AsyncIterator[bytes]:
        """Iterate over a range of one version of a file, in pieces. Raises ArkerError `conflict` when the file
        changes."""
        while end is None or start < end:
            piece = await self._backend.read(
                path, start, min(PART, _ANY_SIZE if end is None else end - start), version
            )
            version = piece.version
            if piece.data:
                yield piece.data
            start += len(piece.data)
            if start >= piece.size or not piece.data:
                return

    async def read_text(self, path: RemotePath, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the content of a file as text, without changing line ends.

        Args:
            path: The file; links are followed.
            encoding: The encoding of the text.
            errors: How to handle bytes that cannot be decoded, as for `bytes.decode`.

        Raises:
            ArkerError: See the class.
        """
        return (await self.read(path)).decode(encoding, errors)

    async def write(
        self,
        path: RemotePath,
        data: AsyncData,
        *,
        mode: int | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
        replace_read_only: bool = False,
        progress: Progress | None = None,
    ) -> FileInfo:
        """Write a file, making its folders. A reader sees the old file or the new one, never a part.

        A large file is sent in parts of 8 MiB to a hidden file beside it, which is checked and then moved into place.
        If that is interrupted, writing the same content again continues where it stopped.

        Args:
            path: The file to write; links are followed.
            data: Bytes; a str, encoded as UTF-8; a binary file, read from its position to its end; or an iterable of
                bytes. The last two use constant memory.
            mode: Permission bits; default those of the replaced file, 0644 for a new file.
            if_match: Write only if the file has this `version`; otherwise `conflict`, or `not_found`.
            if_absent: Write only if nothing is there; otherwise `already_exists`.
            replace_read_only: Also replace a file that its owner may not write (such as one of mode 0444).
            progress: Called with the bytes so far and the total.

        Returns:
            The new file.

        Raises:
            ArkerError: See the class.
        """
        where = remote_path(path)
        if os.fspath(path)[-1:] in ("/", b"/"):
            raise bad_request(f"{where} names a folder, not a file")
        check_mode(mode)
        conditions = {"if_match": if_match, "if_absent": if_absent, "read_only": replace_read_only}
        source = await source_of(data, _ANY_SIZE)
        try:
            if source.size <= PART:
                whole = bytes(await read_source(source, 0, source.size))
                info = await self._backend.write(where, whole, mode=mode, **conditions)
                if progress is not None:
                    progress(source.size, source.size)
                return info
            return await self._write_parts(where, source, mode, conditions, progress=progress)
        finally:
            source.close()

    async def _write_parts(
        self,
        path: str,
        source: Source,
        mode: int | None,
        conditions: dict[str, Any],
        base: str | None = None,
        progress: Progress | None = None,
    ) -> FileInfo:
        """Write a large file in parts; with `base`, `path` is relative to that folder and links are not followed."""
        digest = hashlib.sha256()
        for start in range(0, source.size, PART):
            digest.update(await read_source(source, start, min(start + PART, source.size)))
        # Named by its content, so that writing the same content again finds it.
        folder = posixpath.dirname(path) if base is None else base
        key = hashlib.sha256(f"{path}\0{digest.hexdigest()}".encode("utf-8", "surrogateescape")).hexdigest()
        part = posixpath.join(folder, f"{PARTIAL}{key[:24]}")
        for attempt in range(1, _TRIES + 1):
            try:
                done = (await self._backend.stat(part, follow=False)).size
            except ArkerError as error:
                if error.code != "not_found":
                    raise
                done = 0
            try:
                while done < source.size:
                    piece = bytes(await read_source(source, done, min(done + PART, source.size)))
                    await self._backend.append(part, piece, done)
                    done += len(piece)
                    if progress is not None:
                        progress(done, source.size)
                return await self._backend.place(
                    part, path, base=base, mode=mode, sha256=digest.hexdigest(), **conditions
                )
            except ArkerError as error:
                # The same write would fail again: remove what was sent, as nobody will continue it.
                if error.processed != "yes" or error.retryable:
                    raise
                with contextlib.suppress(ArkerError):
                    await self._backend.operate("remove", part, missing_ok=True)
                if (
                    error.code not in ("conflict", "not_found")
                    or conditions["if_match"] is not None
                    or attempt == _TRIES
                ):
                    raise
                # Another client writes the same content, or has put it into place: continue under another name.
                part = posixpath.join(folder, f"{PARTIAL}{secrets.token_hex(12)}")
        raise AssertionError

    async def append(self, path: RemotePath, data: bytes | str) -> FileInfo:
        """Append to a file, which is made if missing. More than 8 MiB is sent in parts; if this fails, the first parts
        may have been appended.

        Args:
            path: The file; links are followed.
            data: Bytes, or a str, encoded as UTF-8.

        Raises:
            ArkerError: See the class.
            TypeError: for any other data.
        """
        raw = data.encode() if isinstance(data, str) else bytes(memoryview(data))
        where = remote_path(path)
        info: FileInfo | None = None
        for start in range(0, max(1, len(raw)), PART):
            info = await self._backend.append(where, raw[start : start + PART], None)
        assert info is not None
        return info

    async def upload(
        self,
        local_path: str | os.PathLike[str],
        path: RemotePath,
        *,
        mode: int | None = None,
        replace_read_only: bool = False,
        progress: Progress | None = None,
    ) -> FileInfo:
        """Copy a local file to the computer, in constant memory. It stays executable unless `mode` is given.

        Args:
            local_path: The local file.
            path: Where to put it.
            mode: Permission bits; default 0755 for an executable file, else those of the replaced file, or 0644.
            replace_read_only: Also replace a file that its owner may not write (such as one of mode 0444).
            progress: Called with the bytes so far and the total.

        Raises:
            ArkerError: See the class.
        """
        with local(Path(local_path).open, "rb") as file:
            if mode is None and os.fstat(file.fileno()).st_mode & 0o111:
                mode = 0o755
            return await self.write(
                path, file, mode=mode, replace_read_only=replace_read_only, progress=progress
            )

    async def download(
        self, path: RemotePath, local_path: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> None:
        """Copy a file of the computer to a local file, in constant memory. The local file is replaced only when the
        transfer is complete. It stays executable.

        Args:
            path: The file in the computer.
            local_path: Where to put it; its folder must exist.
            progress: Called with the bytes so far and the total. The first starts over when the file changes meanwhile.

        Raises:
            ArkerError: See the class.
        """
        where = remote_path(path)
        sink = AsyncFileSink(Path(local_path))
        try:
            sink.open()
            for attempt in range(1, _TRIES + 1):
                try:
                    info = await self._backend.stat(where)
                    await sink.start(info.size)
                    done = 0
                    # Not of the version of `info`, as a file of one piece may change all the time.
                    async for piece in self._pieces(where):
                        await sink.write(done, piece)
                        done += len(piece)
                        if progress is not None:
                            progress(done, max(done, info.size))
                    await sink.publish(executable=bool(info.mode & 0o111))
                    return
                except ArkerError as error:
                    if error.code != "conflict" or attempt == _TRIES:
                        raise
        finally:
            sink.discard()

    def open(self, path: RemotePath, mode: str = "rb") -> AsyncFile:
        """Return a file of the computer as a file object; use it in a `with` statement.

        Args:
            path: The file.
            mode: `rb` to read, from any position; `wb` to write: the file appears at the end of the block, unless an
                exception leaves it; `ab` to append and `xb` to write a new file, with the same rule.

        Raises:
            ArkerError: See the class.
            ValueError: for another mode.
        """
        if mode not in ("rb", "wb", "ab", "xb"):
            raise ValueError(f"mode is 'rb', 'wb', 'ab' or 'xb', not {mode!r}")
        return AsyncFile(self, remote_path(path), mode)

    # --- what is there ---

    async def stat(self, path: RemotePath, *, follow: bool = True) -> FileInfo:
        """Return what is at a path; with `follow=False`, a link itself.

        Args:
            path: The file or folder.
            follow: Whether to follow a link at the end of the path.

        Raises:
            ArkerError: See the class.
        """
        return await self._backend.stat(remote_path(path), follow=follow)

    async def exists(self, path: RemotePath) -> bool:
        """Whether anything is at a path; a link that leads nowhere counts as nothing.

        Raises:
            ArkerError: See the class.
        """
        try:
            await self.stat(path)
        except ArkerError as error:
            if not is_absent(error):
                raise
            return False
        return True

    async def list(
        self, path: RemotePath = ".", *, recursive: bool = False, glob: str | None = None
    ) -> AsyncIterator[FileInfo]:
        """Iterate over the entries of a folder, by name, each folder before its entries. They are fetched as needed,
        so a folder may have any number of them. Links are listed and not followed; a recursive listing shows folders
        that may not be read as empty.

        Args:
            path: The folder.
            recursive: Also list the folders below.
            glob: Only paths, relative to the folder, that match this pattern: `*`, `?` and `[abc]` match within a name,
                `**` matches any number of folders; such as `*.py`, `**/*.py`, `src/**/test_*`.

        Raises:
            ArkerError: See the class.
        """
        where = remote_path(path)
        cursor: str | None = ""
        while cursor is not None:
            page, cursor = await self._backend.list(where, cursor, _PAGE, recursive=recursive, glob=glob)
            for info in page:
                yield info

    async def find(
        self,
        path: RemotePath = ".",
        *,
        name: str = "*",
        kind: FileKind | None = None,
        larger_than: int | None = None,
        newer_than: float | None = None,
    ) -> Sequence[FileInfo]:
        """Return the entries below a folder, at any depth, that match all given conditions.

        Args:
            path: The folder.
            name: Pattern of the name, such as `*.log`.
            kind: `file`, `directory`, `symlink` or `other`; default any.
            larger_than: Only entries larger than this, in bytes.
            newer_than: Only entries whose content changed after this time, in seconds since 1970.

        Raises:
            ArkerError: See the class.
            ValueError: There is no such kind.
        """
        if kind is not None and kind not in get_args(FileKind):
            raise ValueError(f"kind is {', '.join(get_args(FileKind))} or None, not {kind!r}")
        return [
            info
            async for info in self.list(path, glob=f"**/{name}")
            if (kind is None or info.kind == kind)
            and (larger_than is None or info.size > larger_than)
            and (newer_than is None or info.mtime_ns > newer_than * 1e9)
        ]

    async def grep(
        self, pattern: str, path: RemotePath = ".", *, fixed: bool = False, ignore_case: bool = False
    ) -> Sequence[GrepMatch]:
        """Return the matching lines of the text files at or below a path, as `grep` in the computer finds them.

        Args:
            pattern: A POSIX extended regular expression.
            path: A file, or a folder for all files below it; links are not followed.
            fixed: Take the pattern literally, not as an expression.
            ignore_case: Whether to ignore case.

        Raises:
            ArkerError: See the class.
        """
        return await self._backend.grep(pattern, remote_path(path), fixed=fixed, ignore_case=ignore_case)

    async def watch(
        self, path: RemotePath = ".", *, since: Sequence[FileInfo] | None = None
    ) -> AsyncIterator[FileChanges]:
        """Iterate over changes below a folder as they happen; each item has the changes since the item before it. What
        is changed and changed back in between is left out. A folder that goes meanwhile is waited for.

        Args:
            path: The folder.
            since: The last known entries, as `list(recursive=True)` or `FileChanges.entries` give them, to continue
                from there; default the current entries.

        Raises:
            ArkerError: `not_found` when the folder is missing and `since` is not given; and see the class.
        """
        where = remote_path(path)
        known = None if since is None else KnownTree(since)
        cursor = ""
        while True:
            news = await self._backend.changes(where, cursor, _WAIT)
            cursor = news.cursor
            found = await self._all(where, missing_ok=known is not None) if news.rescan else []
            if known is None:
                known = KnownTree(found)
                continue
            changes = known.replace(found) if news.rescan else known.update(news)
            if changes:
                yield FileChanges(changes, known.entries)

    async def _all(self, path: str, *, missing_ok: bool) -> Sequence[FileInfo]:
        try:
            return [info async for info in self.list(path, recursive=True)]
        except ArkerError as error:
            if error.code != "not_found" or not missing_ok:
                raise
            return []

    # --- trees ---

    async def push(
        self,
        local_path: str | os.PathLike[str],
        path: RemotePath,
        *,
        delete: bool = False,
        ignore: Ignore = None,
        follow: bool = False,
        checksum: bool = False,
        replace_read_only: bool = False,
        progress: Callable[[int, int], object] | None = None,
    ) -> TreeResult:
        """Make a folder of the computer equal to a local folder. Only differences are sent, several pieces at a time.
        Each file is old or new at any moment. Calling this again continues a push that was interrupted.

        Files, folders (also empty ones) and links are copied with permission bits and times; a link is copied as a
        link. Files of the same size and time are assumed to be equal. Nothing is written outside of the folder: an
        entry whose path leads over a link in the computer is skipped.

        Args:
            local_path: The local folder.
            path: The folder in the computer; made if missing.
            delete: Remove entries that the local folder does not have.
            ignore: Entries to leave alone on both sides: patterns as in `.gitignore` (needs `pip install
                'arker[files]'`), or a function of relative paths; paths of folders end with a slash.
            follow: Copy the targets of local links in place of the links.
            checksum: Also compare the content of files of the same size and time.
            replace_read_only: Also replace files that their owner may not write (such as those of mode 0444);
                otherwise they are skipped.
            progress: Called with the bytes so far and the total.

        Returns:
            What was sent and removed, and what was skipped and why.

        Raises:
            ArkerError: `local_file` when the local folder cannot be read, and see the class.
        """
        return await async_push(
            self,
            local_path,
            path,
            delete=delete,
            ignore=ignore,
            follow=follow,
            checksum=checksum,
            replace_read_only=replace_read_only,
            progress=progress,
        )

    async def pull(
        self,
        path: RemotePath,
        local_path: str | os.PathLike[str],
        *,
        delete: bool = False,
        ignore: Ignore = None,
        checksum: bool = False,
        progress: Callable[[int, int], object] | None = None,
    ) -> TreeResult:
        """Make a local folder equal to a folder of the computer; see `push`. Nothing is written outside of the local
        folder, whatever the computer contains: links that lead out of it are skipped, and no link is followed.

        Args:
            path: The folder in the computer.
            local_path: The local folder; made if missing.
            delete: Remove entries that the folder in the computer does not have.
            ignore: Entries to leave alone on both sides; see `push`.
            checksum: Also compare the content of files of the same size and time.
            progress: Called with the bytes so far and the total.

        Returns:
            What was received and removed, and what was skipped and why.

        Raises:
            ArkerError: `local_file` when the local folder cannot be written, and see the class.
        """
        return await async_pull(
            self, path, local_path, delete=delete, ignore=ignore, checksum=checksum, progress=progress
        )

    # --- changes ---

    async def mkdir(self, path: RemotePath, *, parents: bool = True, exist_ok: bool = True) -> None:
        """Make a folder.

        Args:
            path: The new folder.
            parents: Also make missing folders above it.
            exist_ok: Whether the folder may exist already.

        Raises:
            ArkerError: See the class.
        """
        await self._backend.operate("mkdir", remote_path(path), parents=parents, exist_ok=exist_ok)

    async def move(self, source: RemotePath, target: RemotePath, *, replace: bool = True) -> None:
        """Rename a file or folder. A file replaces a file, a folder replaces an empty one.

        Args:
            source: The file or folder to move.
            target: The new path.
            replace: Whether to replace an existing file; otherwise `already_exists`.

        Raises:
            ArkerError: See the class.
        """
        await self._backend.operate("move", remote_path(source), to=remote_path(target), replace=replace)

    async def copy(
        self, source: RemotePath, target: RemotePath, *, recursive: bool = False, replace: bool = True
    ) -> None:
        """Copy a file, with its mode and time, or with `recursive` a folder, to a path (never *into* a folder). A link
        is copied as a link.

        Args:
            source: The file or folder to copy.
            target: The new path.
            recursive: Whether to copy folders, with everything in them.
            replace: Whether to replace an existing file; otherwise `already_exists`.

        Raises:
            ArkerError: See the class.
        """
        await self._backend.operate(
            "copy", remote_path(source), to=remote_path(target), recursive=recursive, replace=replace
        )

    async def remove(self, path: RemotePath, *, recursive: bool = False, missing_ok: bool = False) -> None:
        """Remove a file, a link (not its target), an empty folder, or with `recursive` a folder with everything in it.
        What the computer needs, such as its home folder, is refused.

        Args:
            path: The file or folder.
            recursive: Whether to remove folders with everything in them.
            missing_ok: Whether the path may be missing.

        Raises:
            ArkerError: See the class.
        """
        await self._backend.operate("remove", remote_path(path), recursive=recursive, missing_ok=missing_ok)

    async def chmod(self, path: RemotePath, mode: int) -> None:
        """Set permission bits, such as `0o755`.

        Args:
            path: The file or folder.
            mode: Permission bits.

        Raises:
            ArkerError: See the class.
        """
        check_mode(mode)
        await self._backend.operate("chmod", remote_path(path), mode=mode)

    async def symlink(self, target: RemotePath, path: RemotePath) -> None:
        """Make a symbolic link at `path` to `target`, which may be relative to the link and does not have to exist.

        Args:
            target: The path that the link points to.
            path: The new link.

        Raises:
            ArkerError: See the class.
        """
        said = target if isinstance(target, str) else os.fspath(target)
        text = said.decode("utf-8", "surrogateescape") if isinstance(said, bytes) else said
        if not text or "\0" in text:
            raise bad_request("the target of a link is a path without NUL characters")
        await self._backend.operate("symlink", remote_path(path), to=text)

    async def readlink(self, path: RemotePath) -> str:
        """Return the target of a symbolic link.

        Raises:
            ArkerError: See the class.
        """
        info = await self.stat(path, follow=False)
        if info.target is None:
            raise bad_request(f"{info.path} is not a symbolic link")
        return info.target


class AsyncFile:
    """An open file of a computer; made by `AsyncFiles.open`.

    Iterating over it gives its lines, with their ends. The blocking class can be given to what takes a binary file,
    such as `json.load`, `zipfile.ZipFile` and `io.TextIOWrapper`.
    """

    def __init__(self, files: AsyncFiles, path: str, mode: str) -> None:
        self._files = files
        self._spool: IO[bytes] | None = None
        self._at = 0
        self._info: FileInfo | None = None
        self._ahead = b""
        self._ahead_at = 0
        self.path: str = path
        self.mode: str = mode
        self.closed: bool = False

    async def __aenter__(self) -> AsyncFile:
        if self.mode == "rb":
            info = await self._files.stat(self.path)
            if not info.is_file:
                kind = "a folder" if info.is_directory else "not a regular file"
                raise bad_request(f"{self.path} is {kind}")
            self._info = info
        else:
            self._spool = _spool()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose(discard=error is not None)

    async def aclose(self, *, discard: bool = False) -> None:
        """Close the file; after that, the computer has what was written.

        Args:
            discard: Drop what was written instead.

        Raises:
            ArkerError: See `AsyncFiles`.
        """
        spool, self._spool = self._spool, None
        self.closed = True
        if spool is None:
            return
        with spool:
            if discard:
                return
            spool.seek(0)
            if self.mode != "ab":
                await self._files.write(self.path, spool, if_absent=self.mode == "xb")
                return
            while piece := await async_in_thread(spool.read, PART):
                await self._files.append(self.path, piece)

    @property
    def info(self) -> FileInfo:
        """The file as it was when it was opened for reading."""
        if self._info is None or self.closed:
            raise io.UnsupportedOperation("the file is not open to be read")
        return self._info

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while line := await self.readline():
            yield line

    def readable(self) -> bool:
        """Whether it is open to be read."""
        return self.mode == "rb" and not self.closed

    def writable(self) -> bool:
        """Whether it is open to be written."""
        return self.mode != "rb" and not self.closed

    def seekable(self) -> bool:
        """Whether `seek` is possible."""
        return self.readable()

    async def read(self, size: int | None = -1) -> bytes:
        """Read up to `size` bytes from the position, by default all; empty at the end. If the file changes meanwhile,
        this raises ArkerError `conflict`.

        Raises:
            ArkerError: See `AsyncFiles`.
        """
        total = self.info.size
        end = total if size is None or size < 0 else min(total, self._at + size)
        out = bytearray()
        while self._at < end:
            offset = self._at - self._ahead_at
            if not 0 <= offset < len(self._ahead):
                piece = await self._files._backend.read(
                    self.path, self._at, max(min(PART, end - self._at), PIECE), self.info.version
                )
                if not piece.data:
                    break
                self._ahead, self._ahead_at, offset = piece.data, self._at, 0
            taken = self._ahead[offset : offset + end - self._at]
            out += taken
            self._at += len(taken)
        return bytes(out)

    async def readinto(self, buffer: bytearray | memoryview) -> int:
        """Read into a buffer; return how many bytes, 0 at the end.

        Raises:
            ArkerError: See `AsyncFiles`.
        """
        view = memoryview(buffer).cast("B")
        data = await self.read(len(view))
        view[: len(data)] = data
        return len(data)

    async def readline(self, size: int | None = -1) -> bytes:
        """Read up to the end of the line, or up to `size` bytes of it; empty at the end of the file.

        Raises:
            ArkerError: See `AsyncFiles`.
        """
        left = self.info.size if size is None or size < 0 else size
        line = bytearray()
        while left > 0:
            piece = await self.read(min(left, _LINE))
            end = piece.find(b"\n") + 1
            if end:
                self._at -= len(piece) - end
                piece = piece[:end]
            line += piece
            left -= len(piece)
            if end or not piece:
                break
        return bytes(line)

    async def write(self, data: bytes) -> int:
        """Append bytes; return their number.

        Raises:
            ArkerError: See `AsyncFiles`.
        """
        if self._spool is None:
            raise io.UnsupportedOperation("the file is not open to be written")
        await async_in_thread(local, self._spool.write, data)
        size = memoryview(data).nbytes
        self._at += size
        return size

    async def flush(self) -> None:
        """Do nothing: what is written appears when the file is closed."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the read position, also beyond the end; return the new one.

        Args:
            offset: Bytes.
            whence: What `offset` counts from, as for `io.IOBase.seek`.

        Raises:
            ValueError: for a position before the start, another `whence`, or a file that is not open to be read.
        """
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.info.size}
        if whence not in bases:
            raise ValueError(f"whence is 0, 1 or 2, not {whence!r}")
        if bases[whence] + offset < 0:
            raise ValueError(f"the position would be {bases[whence] + offset}")
        self._at = bases[whence] + offset
        return self._at

    def tell(self) -> int:
        """The position; of a file that is written, how many bytes were."""
        return self._at


def _spool() -> IO[bytes]:
    """A file that stays in memory while it is small."""
    return cast("IO[bytes]", tempfile.SpooledTemporaryFile(max_size=PART))
