"""Requests about the files of a computer: one for each method."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlencode

from arker import archive
from arker._http._async.pipeline import Budget, content, dump
from arker._http._async.transport import AsyncReply
from arker._io_async import async_in_thread
from arker.archive import Entry
from arker.config import is_loopback
from arker.errors import Answer, ArkerError, read_answer
from arker.filechanges import TreeNews
from arker.filevalues import FileInfo, info_of, text_fields, text_of, texts_fields

if TYPE_CHECKING:
    from arker._async.computer import AsyncComputer
    from arker.results import RunResult

T = TypeVar("T")

#: Most bytes of a file in one request.
PART: Final = 8 << 20
#: Most bytes of an answer with a page of entries, or with a piece of a tree.
_LARGEST_PAGE: Final = 64 << 20
_LARGEST_PIECE: Final = 40 << 20
#: Operations that can be repeated without another effect.
REPEATABLE: Final = frozenset({"stat", "list", "manifest", "chmod", "mark", "changes", "remove"})
#: How many sessions to use for our own commands.
_SESSIONS: Final = 8
_TOTAL: Final = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)")


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of a version of a file, and the total size of that version."""

    data: bytes
    size: int
    version: str


@dataclass(frozen=True, slots=True)
class Mark:
    """The mode and time to set on an entry: on a folder if its path ends with a slash, and only on the given version if
    there is one."""

    path: str
    mode: int
    mtime_ns: int
    version: str = ""


@dataclass(frozen=True, slots=True)
class TreePage:
    """Entries of a tree, the start of the next page, and the folders that cannot be read, with the reasons."""

    entries: Sequence[FileInfo]
    cursor: str | None
    refused: dict[str, str]


async def run_apart(computer: AsyncComputer, command: str) -> RunResult:
    """Run a command in a free one of our own sessions. Raises ArkerError."""
    for number in range(_SESSIONS):
        try:
            return await computer.run(command, session_id=f"arker-files-{number}")
        except ArkerError as error:
            if error.code != "vm_busy" or number == _SESSIONS - 1:
                raise
    raise AssertionError


class AsyncFileWire:
    """Requests to endpoints for the files of one computer."""

    __slots__ = ("_computer",)

    def __init__(self, computer: AsyncComputer) -> None:
        self._computer = computer

    async def operate(self, op: str, path: str, *, to: str | None = None, **fields: Any) -> None:
        """Do an operation on the file or folder at `path`. Raises ArkerError."""
        await self._operate(op, path, to=to, **fields)

    async def _operate(self, op: str, path: str, *, to: str | None = None, **fields: Any) -> dict[str, Any]:
        body: dict[str, Any] = {"op": op, **text_fields("path", path), **fields}
        if to is not None:
            body |= text_fields("target", to)
        repeatable = op in REPEATABLE or (op == "mkdir" and bool(fields.get("exist_ok")))
        return await self._ask("post", "", dump(body), repeatable=repeatable, forgiven=op == "remove")

    async def stat(self, path: str, *, follow: bool = True) -> FileInfo:
        """Return what is at a path. Raises ArkerError."""
        return _parsed(info_of, await self._operate("stat", path, follow=follow))

    async def list(
        self, path: str, cursor: str, limit: int, *, recursive: bool, glob: str | None
    ) -> tuple[Sequence[FileInfo], str | None]:
        """Return a page of entries, and the start of the next page. Raises ArkerError."""
        fields: dict[str, Any] = {"recursive": recursive} if glob is None else {**text_fields("glob", glob)}
        answer = await self._operate("list", path, cursor=cursor, limit=limit, **fields)
        return _parsed(lambda fields: _page(fields, path), answer)

    async def manifest(self, path: str, cursor: str, limit: int) -> TreePage:
        """Return a page of all entries below a folder, with relative paths. Raises ArkerError."""
        answer = await self._operate("manifest", path, hashed=False, cursor=cursor, limit=limit)
        return _parsed(lambda fields: TreePage(*_page(fields, ""), _refused(fields)), answer)

    async def changes(self, path: str, cursor: str, wait: float) -> TreeNews:
        """Wait at most `wait` seconds for changes below a folder since `cursor`; return them. Raises ArkerError."""
        answer = await self._operate("changes", path, cursor=cursor, wait=wait)
        return _parsed(lambda fields: _news(fields, path), answer)

    async def write(self, path: str, data: bytes, *, mode: int | None = None, **conditions: Any) -> FileInfo:
        """Write a file in one request. Raises ArkerError."""
        query = _query(path, mode=mode, **conditions)
        repeatable = not (conditions.get("if_match") or conditions.get("if_absent"))
        answer = await self._ask("put", f"/content?{query}", data, repeatable=repeatable)
        return _parsed(info_of, answer)

    async def append(self, path: str, data: bytes, at: int | None) -> FileInfo:
        """Append to a file that has `at` bytes. Raises ArkerError."""
        query = _query(path, append=True, at=at)
        return _parsed(info_of, await self._ask("put", f"/content?{query}", data, repeatable=at is not None))

    async def place(self, part: str, path: str, *, base: str | None = None, **fields: Any) -> FileInfo:
        """Move a file that was written in parts into place; with `base`, to a path relative to that folder, following
        no link. Raises ArkerError."""
        given = {name: value for name, value in fields.items() if value is not None}
        if base is not None:
            given |= text_fields("base", base)
        return _parsed(info_of, await self._operate("place", part, to=path, **given))

    async def read(self, path: str, start: int, size: int, version: str | None) -> Part:
        """Read bytes of a file, of the given version if there is one. Raises ArkerError."""
        if size <= 0:
            size = 1
        headers = {"Range": f"bytes={start}-{start + size - 1}"}
        if version is not None:
            headers["If-Match"] = f'"{version}"'

        async def consume(reply: AsyncReply) -> Part:
            body = await content(reply, PART + 1)
            named = reply.headers.get("etag", "").strip('"')
            total = _TOTAL.fullmatch(reply.headers.get("content-range", ""))
            if reply.status == 416 and total is not None:
                return Part(b"", int(total[1]), version or named)
            read_answer(reply.status, reply.headers, body, self._key, parse=False)
            return Part(body, int(total[1]) if total else len(body), named)

        return await self._perform(
            "get", f"/content?{_query(path)}", consume, headers=headers, repeatable=True
        )

    async def pack(self, base: str, paths: Sequence[str], budget: int) -> Sequence[Entry]:
        """Return entries of a tree with their contents. Raises ArkerError."""
        body = dump({**text_fields("path", base), **texts_fields("paths", paths), "budget": budget})

        async def consume(reply: AsyncReply) -> tuple[bytes, bool]:
            answer = await content(reply, _LARGEST_PIECE)
            read_answer(reply.status, reply.headers, answer, self._key, parse=False)
            return answer, reply.headers.get("content-encoding") == "gzip"

        headers = {"Accept-Encoding": "gzip"} if self._compresses else None
        packed, compressed = await self._perform(
            "post", "/pack", consume, body=body, headers=headers, repeatable=True
        )
        return await async_in_thread(_unpacked, packed, compressed)

    async def unpack(self, base: str, entries: Sequence[Entry], *, read_only: bool) -> dict[str, str]:
        """Write entries below a folder; return the refused ones with the reasons. Raises ArkerError."""
        packed, compressed = await async_in_thread(_packed, entries, self._compresses)
        headers = {"Content-Encoding": "gzip"} if compressed else None
        query = _query(base, read_only=read_only)
        answer = await self._ask("put", f"/unpack?{query}", packed, headers=headers, repeatable=True)
        return _parsed(_refused, answer)

    async def mark(self, base: str, marks: Sequence[Mark]) -> dict[str, str]:
        """Set modes and times of entries below a folder; return the refused ones with the reasons. Raises
        ArkerError."""
        fields: list[dict[str, Any]] = [
            {**text_fields("path", mark.path), "mode": mark.mode, "mtime_ns": mark.mtime_ns}
            | ({"if_match": mark.version} if mark.version else {})
            for mark in marks
        ]
        return _parsed(_refused, await self._operate("mark", base, marks=fields))

    async def hashes(self, base: str, paths: Sequence[str]) -> dict[str, str]:
        """Return the digests of files of a tree, by path. Raises ArkerError."""
        only: dict[str, Any] = texts_fields("only", paths)
        answer = await self._operate("manifest", base, hashed=True, **only)

        def found(answer: dict[str, Any]) -> dict[str, str]:
            return {
                text_of(entry, "path"): entry["sha256"] for entry in answer["entries"] if "sha256" in entry
            }

        return _parsed(found, answer)

    @property
    def _compresses(self) -> bool:
        """Whether to compress trees: a connection within this machine carries more than gzip compresses."""
        return not is_loopback(self._computer._client._pipeline.config.regional.host)

    @property
    def _key(self) -> str:
        return self._computer._client._pipeline.config.api_key

    async def _ask(
        self,
        method: str,
        target: str,
        body: bytes,
        *,
        repeatable: bool,
        forgiven: bool = False,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Send a request whose answer is JSON. With `forgiven`, `not_found` is success if an earlier try may have been
        acted on."""

        async def consume(reply: AsyncReply) -> Answer:
            answer = await content(reply, _LARGEST_PAGE)
            return read_answer(reply.status, reply.headers, answer, self._key)

        client = self._computer._client
        budget = client._budget(None, len(body))
        try:
            answer = await self._perform(
                method, target, consume, body=body, headers=headers, repeatable=repeatable, budget=budget
            )
        except ArkerError as error:
            if forgiven and error.code == "not_found" and budget.doubtful:
                return {}
            raise
        return _parsed(dict, answer.body)

    async def _perform(
        self,
        method: str,
        target: str,
        consume: Callable[[AsyncReply], Awaitable[T]],
        *,
        repeatable: bool,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        budget: Budget | None = None,
    ) -> T:
        client = self._computer._client
        request = client._pipeline.request(
            method,
            f"/api/v1/local/vms/{self._computer._segment}/files{target}",
            client._timeouts,
            control=False,
            repeatable=repeatable,
            body=body,
            headers=headers,
        )
        budget = budget or client._budget(None, PART)
        return await client._pipeline.perform(budget, lambda: request, consume)


def _query(path: str, **fields: Any) -> str:
    """A query string, without fields that are None or False."""
    given = {
        name: "true" if value is True else value
        for name, value in fields.items()
        if value is not None and value is not False
    }
    return urlencode({**text_fields("path", path), **given})


def _page(answer: dict[str, Any], base: str) -> tuple[Sequence[FileInfo], str | None]:
    return [info_of(entry, base) for entry in answer["entries"]], answer["cursor"]


def _news(answer: dict[str, Any], base: str) -> TreeNews:
    return TreeNews(
        str(answer["cursor"]),
        bool(answer["rescan"]),
        [info_of(entry, base) for entry in answer["entries"]],
        [posixpath.join(base, text_of(one, "path")) for one in answer["removed"]],
    )


def _packed(entries: Sequence[Entry], compress: bool) -> tuple[bytes, bool]:
    """Return an archive, and whether it is compressed."""
    packed = b"".join(archive.pack(entries))
    smaller = archive.compress(packed) if compress else None
    return (packed, False) if smaller is None else (smaller, True)


def _unpacked(packed: bytes, compressed: bool) -> list[Entry]:
    try:
        return list(archive.unpack(archive.expand(packed, _LARGEST_PIECE) if compressed else packed))
    except ValueError as error:
        raise ArkerError("internal", f"the received archive is damaged: {error}", 200) from error


def _refused(answer: dict[str, Any]) -> dict[str, str]:
    return {text_of(one, "path"): str(one["reason"]) for one in answer["refused"]}


def _parsed(convert: Callable[[Any], T], answer: Any) -> T:
    try:
        return convert(answer)
    except (LookupError, TypeError, ValueError) as error:
        raise ArkerError(
            "internal",
            f"the answer is not what a deployment of files says: {error!r}"[:500],
            200,
            processed="maybe",
        ) from error
