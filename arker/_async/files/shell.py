"""The files of a computer without endpoints for them: by runs of a POSIX shell, with the same results."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import math
import posixpath
import secrets
import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from arker import fileshell
from arker._io_async import async_in_thread
from arker.archive import Entry, pack, unpack
from arker.errors import ArkerError, bad_request, doubting
from arker.filechanges import TreeNews
from arker.fileshell import Output
from arker.filevalues import HOME, PARTIAL, FileInfo, GrepMatch

from .wire import REPEATABLE, Mark, Part, TreePage, run_apart

if TYPE_CHECKING:
    from arker._async.computer import AsyncComputer
    from arker.results import RunResult

#: Most bytes of content in a script or in its output; more goes through a file in the home folder.
_INLINE_DATA: Final = 4 << 10
_INLINE_OUTPUT: Final = 256 << 10
#: Longest script that is a command; a longer one goes through a file, too.
_LONGEST_COMMAND: Final = 64 << 10
#: Most entries of a page: each page goes through the tree again.
_PAGE: Final = 10_000
_TRIES: Final = 3
#: The least exit code of a command that a signal ended.
_SIGNALS: Final = 128


class AsyncFileShell:
    """What `AsyncFileWire` does, by runs in the computer."""

    __slots__ = ("_computer",)

    def __init__(self, computer: AsyncComputer) -> None:
        self._computer = computer

    async def operate(self, op: str, path: str, *, to: str | None = None, **fields: Any) -> None:
        """Do an operation on the file or folder at `path`. Raises ArkerError."""
        if "mode" in fields:
            fields["mode"] = f"{fields['mode']:04o}"
        if op == "remove" and path == "/":
            raise ArkerError("bad_request", "/: the last part of the path is not a name", 400)
        repeatable = op in REPEATABLE or (op == "mkdir" and bool(fields.get("exist_ok")))
        await self._do(op, path, repeatable=repeatable, forgiven=op == "remove", Q=to, **fields)

    async def stat(self, path: str, *, follow: bool = True) -> FileInfo:
        """Return what is at a path. Raises ArkerError."""
        return _only(await self._do("stat", path, repeatable=True, follow=follow), path)

    async def list(
        self, path: str, cursor: str, limit: int, *, recursive: bool, glob: str | None
    ) -> tuple[Sequence[FileInfo], str | None]:
        """Return a page of entries, and the start of the next page. Raises ArkerError."""
        pattern, deep = fileshell.glob_pattern(glob) if glob else (None, recursive)
        page = await self._page("list", path, cursor, deep=deep)
        entries = [info for info in page.entries if pattern is None or pattern.fullmatch(info.path)]
        return [
            dataclasses.replace(info, path=posixpath.join(path, info.path)) for info in entries
        ], page.cursor

    async def manifest(self, path: str, cursor: str, limit: int) -> TreePage:
        """Return a page of all entries below a folder, with relative paths. Raises ArkerError."""
        return await self._page("manifest", path, cursor, deep=True)

    async def _page(self, op: str, path: str, cursor: str, *, deep: bool) -> TreePage:
        if "\2" in cursor:
            raise ArkerError("bad_request", f"{path} has a name with the byte 2, and more than a page", 400)
        # As the script orders names.
        after = f"./{cursor}".translate({1: "/", ord("/"): 1, ord("\n"): 2}) if cursor else ""
        found = await self._do(
            op, path, repeatable=True, after=after, limit=_PAGE, depth=None if deep else "-maxdepth 1"
        )
        following = found.entries[-1].path if found.more and found.entries else None
        return TreePage(found.entries, following, found.refused)

    async def changes(self, path: str, cursor: str, wait: float) -> TreeNews:
        """Wait at most `wait` seconds for changes below a folder since `cursor`; return whether there are any. Raises
        ArkerError."""
        found = await self._do("changes", path, repeatable=True, known=cursor, wait=math.ceil(wait))
        token = (found.data or b"").decode()
        return TreeNews(token, token != cursor)

    async def write(self, path: str, data: bytes, *, mode: int | None = None, **conditions: Any) -> FileInfo:
        """Write a file. Raises ArkerError."""
        repeatable = not (conditions.get("if_match") or conditions.get("if_absent"))
        fields = _conditions(mode, conditions)
        return _only(await self._do("write", path, repeatable=repeatable, data=data, **fields), path)

    async def append(self, path: str, data: bytes, at: int | None) -> FileInfo:
        """Append to a file that has `at` bytes. Raises ArkerError."""
        fields = {**_conditions(None, {}), "at": at, "length": len(data)}
        return _only(await self._do("append", path, repeatable=at is not None, data=data, **fields), path)

    async def place(self, part: str, path: str, *, base: str | None = None, **fields: Any) -> FileInfo:
        """Move a file that was written in parts into place; with `base`, to a path relative to that folder, following
        no link. Raises ArkerError."""
        given = _conditions(fields.get("mode"), fields)
        found = await self._do("place", part, Q=path, base=base, digest=fields.get("sha256"), **given)
        return _only(found, path)

    async def read(self, path: str, start: int, size: int, version: str | None) -> Part:
        """Read bytes of a file, of the given version if there is one. Raises ArkerError."""
        stage = _stage()
        found = await self._do(
            "read", path, repeatable=True, start=start, size=size, inline=_INLINE_OUTPUT, S=stage
        )
        before, after = found.entries
        data = found.data
        if data is None:
            data = await self._fetch(stage)
        if before.version != after.version or version not in (None, after.version):
            raise ArkerError("conflict", f"{path} was changed meanwhile", 409)
        return Part(data, after.size, after.version)

    async def pack(self, base: str, paths: Sequence[str], budget: int) -> Sequence[Entry]:
        """Return entries of a tree with their contents. Raises ArkerError."""
        stage = _stage()
        words = [f"./{path}" for path in paths]
        found = await self._do("pack", base, repeatable=True, words=words, inline=_INLINE_OUTPUT, S=stage)
        packed = found.data
        if packed is None:
            packed = await self._fetch(stage)
        contents = await async_in_thread(_contents, packed)
        before = {info.path: info.version for info in found.before}
        return [
            Entry(
                info.path,
                info.kind,
                info.mode,
                info.mtime_ns,
                contents.get(info.path, b""),
                info.target or "",
            )
            for info in found.entries
            if before.get(info.path) == info.version
            and (info.kind != "file" or len(contents.get(info.path, b"")) == info.size)
        ]

    async def unpack(self, base: str, entries: Sequence[Entry], *, read_only: bool) -> dict[str, str]:
        """Write entries below a folder; return the refused ones with the reasons. Raises ArkerError."""
        packed = await async_in_thread(lambda: b"".join(pack(entries, gnu=True)))
        calls: list[list[str]] = [["make", entry.path] for entry in entries if entry.kind == "directory"]
        folders: dict[str, list[str]] = {}
        for entry in entries:
            if entry.kind != "directory":
                folder, _, name = entry.path.rpartition("/")
                folders.setdefault(folder, []).append(name)
        calls += [["fill", folder, *names] for folder, names in folders.items()]
        found = await self._do("unpack", base, repeatable=True, data=packed, calls=calls, read_only=read_only)
        return found.refused

    async def mark(self, base: str, marks: Sequence[Mark]) -> dict[str, str]:
        """Set modes and times of entries below a folder; return the refused ones with the reasons. Raises
        ArkerError."""
        calls = [
            [
                "mark",
                f"{mark.mode:04o}",
                f"{mark.mtime_ns // 10**9}.{mark.mtime_ns % 10**9:09}",
                mark.path,
                mark.version.replace("_", " "),
            ]
            for mark in marks
        ]
        return (await self._do("mark", base, repeatable=True, calls=calls)).refused

    async def hashes(self, base: str, paths: Sequence[str]) -> dict[str, str]:
        """Return the digests of files of a tree, by path. Raises ArkerError."""
        found = await self._do("hashes", base, repeatable=True, words=[f"./{path}" for path in paths])
        return fileshell.digests(found.data or b"")

    async def grep(self, pattern: str, path: str, *, fixed: bool, ignore_case: bool) -> Sequence[GrepMatch]:
        """Return matching lines, as `grep` in the computer finds them. Raises ArkerError."""
        if "\0" in pattern or "\n" in pattern:
            raise bad_request("a pattern is one line without NUL characters")
        syntax = f"{'F' if fixed else 'E'}{'i' if ignore_case else ''}"
        found = await self._do("grep", path, repeatable=True, pattern=pattern, syntax=syntax)
        return await async_in_thread(fileshell.matches, found.data or b"")

    # --- scripts ---

    async def _do(
        self,
        op: str,
        path: str,
        *,
        repeatable: bool = False,
        forgiven: bool = False,
        data: bytes | None = None,
        words: Iterable[str] = (),
        calls: Iterable[Sequence[str]] = (),
        **variables: Any,
    ) -> Output:
        """Run the script of an operation. With `forgiven`, `not_found` is success if an earlier try may have been acted
        on. Raises ArkerError."""
        stage = variables.setdefault("S", None)
        if data is not None and len(data) > _INLINE_DATA:
            stage = variables["S"] = _stage()
        doubt: str | None = None
        for attempt in range(1, _TRIES + 1):
            with doubting(doubt):
                if data is not None and stage is not None:
                    await self._computer.sync.write_file(stage, data)
                mark = secrets.token_hex(8)
                inline = data if stage is None or data is None else None
                text = fileshell.script(
                    op, mark, {"P": path, **variables}, words=words, calls=calls, data=inline
                )
                try:
                    result = await self._run(text)
                except ArkerError as error:
                    if error.code != "network" or not repeatable or attempt == _TRIES:
                        raise
                    if error.processed != "no":
                        doubt = doubt or f"an earlier attempt may have been carried out ({error})"
                    continue
                error_ = fileshell.failure(result.stderr, path, variables.get("Q"))
                if error_ is not None and error_.code == "internal" and result.exit_code >= _SIGNALS:
                    raise _cut_short(result, path)
                if error_ is None and result.truncated:
                    raise bad_request(f"{path}: the answer is longer than the deployment keeps output")
                if error_ is None:
                    return fileshell.output(result.stdout, result.stderr, mark)
                if forgiven and doubt and error_.code == "not_found":
                    return Output()
                raise error_
        raise AssertionError

    async def _run(self, text: str) -> RunResult:
        command = f"/bin/sh -c {shlex.quote(text)}"
        try:
            if len(command) > _LONGEST_COMMAND:
                stage = _stage()
                await self._computer.sync.write_file(stage, text)
                command = f"/bin/sh {stage}; rm -f {stage}"
            return await run_apart(self._computer, command)
        except ArkerError as error:
            if error.code == "not_found":
                # What is not found here is the computer.
                error._resource = "vm"
            raise

    async def _fetch(self, stage: str) -> bytes:
        """Return the content of a file that a script left in the home folder, and remove it."""
        try:
            return await self._computer.sync.read_file(stage)
        finally:
            with contextlib.suppress(ArkerError):
                await run_apart(self._computer, f"rm -f {stage}")


def _cut_short(result: RunResult, path: str) -> ArkerError:
    """The error for a script that was ended."""
    full = result.reason == "disk_full"
    code, status = ("payload_too_large", 413) if full else ("internal", 200)
    said = "; ".join(result.notes) or f"it ended with {result.exit_code}"
    message = f"{path}: the command that does this was cut short: {said}"
    return ArkerError(code, message, status, processed="maybe")


def _stage() -> str:
    return f"{HOME}/{PARTIAL}{secrets.token_hex(12)}"


def _only(found: Output, path: str) -> FileInfo:
    try:
        [info] = found.entries
    except ValueError:
        raise ArkerError(
            "internal", f"the computer did not say what is at {path}", processed="maybe"
        ) from None
    return dataclasses.replace(info, path=path)


def _conditions(mode: int | None, fields: dict[str, Any]) -> dict[str, Any]:
    mtime_ns = fields.get("mtime_ns")
    return {
        "mode": None if mode is None else f"{mode:04o}",
        "version": (fields.get("if_match") or "").replace("_", " "),
        "absent": fields.get("if_absent"),
        "read_only": fields.get("read_only"),
        "time": None if mtime_ns is None else f"{mtime_ns // 10**9}.{mtime_ns % 10**9:09}",
    }


def _contents(packed: bytes) -> dict[str, bytes | memoryview]:
    """The contents of the files of an archive, which may be compressed. Raises ArkerError."""
    try:
        if packed.startswith(b"\x1f\x8b"):
            packed = gzip.decompress(packed)
        return {entry.path: entry.data for entry in unpack(packed) if entry.kind == "file"}
    except (ValueError, OSError, EOFError) as error:
        raise ArkerError("internal", f"the received archive is damaged: {error}", 200) from error
