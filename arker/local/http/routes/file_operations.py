"""Files and trees: inspected, changed, and transferred in pieces."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, assert_never

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from arker.archive import Entry, compress, expand, pack, unpack
from arker.local.http import bodies
from arker.local.http.answers import Answer
from arker.local.http.endpoint import Endpoint, json, platform, who
from arker.local.http.file_schemas import (
    AnyOperation,
    Chmod,
    Copy,
    List,
    Manifest,
    MarkAll,
    Mkdir,
    Move,
    Operation,
    Pack,
    PathQuery,
    Place,
    Remove,
    Stat,
    Symlink,
    UnpackQuery,
    Watch,
    WriteQuery,
    changes_fields,
    info_fields,
    one_path,
    refused_fields,
)
from arker.local.http.routes.files import content, etag_of
from arker.local.http.schemas import query
from arker.local.service.errors import ApiError
from arker.local.service.file_operations import LARGEST_PIECE, Files, NewEntry, Page
from arker.local.service.files import ENTRY_BYTES

#: Maximum bytes of the body of an operation, and of a piece with the headers of its entries.
MAX_OPERATION: Final = 8 << 20
#: Maximum bytes of such a body outside of strings.
MAX_STRUCTURE: Final = 1 << 20
MAX_PIECE: Final = 2 * LARGEST_PIECE
#: How many times the contents of a piece are in memory while it is made.
_COPIES: Final = 2
#: Maximum number of reported reasons for entries that a piece leaves out.
_REASONS: Final = 20


class FileOperation(Endpoint):
    """Inspect or change files."""

    operations: ClassVar[Mapping[str, str]] = {"post": "fileOperation"}

    async def post(self, request: Request) -> Response:
        """POST /api/v1/local/vms/{vm_id}/files."""
        asked = await bodies.body(request, Operation, MAX_OPERATION, structure=MAX_STRUCTURE)
        entries = asked.root.limit if isinstance(asked.root, List | Manifest) else 0
        with bodies.cancelled_with(request):
            async with _room(request, entries * ENTRY_BYTES):
                with platform(request).file_operations.of(
                    who(request), request.path_params["vm_id"]
                ) as files:
                    return json(await asyncio.to_thread(to_json, await _perform(files, asked.root)))


def _room(request: Request, size: int) -> contextlib.AbstractAsyncContextManager[None]:
    """Wait for the memory of an answer."""
    return platform(request).files.answers.held(who(request).org_id, size)


async def _perform(files: Files, asked: AnyOperation) -> dict[str, Any]:
    path = asked.where
    match asked:
        case Stat():
            return info_fields(await files.stat(path, follow=asked.follow))
        case List():
            return _page(
                await files.list(
                    path,
                    recursive=asked.recursive,
                    glob=asked.pattern,
                    cursor=_position(asked.cursor),
                    limit=asked.limit,
                )
            )
        case Manifest():
            return _page(
                await files.manifest(
                    path,
                    hashed=asked.hashed,
                    cursor=_position(asked.cursor),
                    limit=asked.limit,
                    only=asked.wanted,
                )
            )
        case Mkdir():
            await files.mkdir(path, parents=asked.parents, exist_ok=asked.exist_ok)
        case Remove():
            await files.remove(path, recursive=asked.recursive, missing_ok=asked.missing_ok)
        case Move():
            await files.move(path, asked.to, replace=asked.replace)
        case Copy():
            await files.copy(path, asked.to, recursive=asked.recursive, replace=asked.replace)
        case Chmod():
            await files.chmod(path, asked.mode)
        case Symlink():
            await files.symlink(asked.to, path)
        case MarkAll():
            return {"refused": refused_fields(await files.mark(path, asked.values()))}
        case Place():
            return info_fields(
                await files.place(
                    path,
                    asked.to,
                    conditions=asked.conditions(),
                    mode=asked.mode,
                    mtime_ns=asked.mtime_ns,
                    sha256=asked.sha256,
                    base=asked.below,
                )
            )
        case Watch():
            return changes_fields(await files.changes(path, asked.cursor, wait=asked.wait))
        case _:
            assert_never(asked)
    return {}


def _page(page: Page) -> dict[str, Any]:
    cursor = None if page.cursor is None else base64.b64encode(page.cursor.encode("utf-8", "surrogateescape"))
    return {
        "entries": [info_fields(entry) for entry in page.entries],
        "cursor": None if cursor is None else cursor.decode(),
        "refused": refused_fields(page.refused),
    }


def _position(cursor: str) -> str:
    return one_path(None, cursor, "cursor") if cursor else ""


class FileContent(Endpoint):
    """The content of one file, whole or in parts."""

    operations: ClassVar[Mapping[str, str]] = {"get": "readContent", "put": "writeContent"}

    async def get(self, request: Request) -> Response:
        """GET /api/v1/local/vms/{vm_id}/files/content, or a range of it."""
        path = query(PathQuery, request).where
        with platform(request).file_operations.of(who(request), request.path_params["vm_id"]) as files:
            file = await files.open(path)
        if request.headers.get("if-match") not in (None, etag_of(file)):
            raise ApiError("conflict", f"{path} was changed meanwhile")
        return content(file, request.headers.get("range"))

    async def put(self, request: Request) -> Response:
        """PUT /api/v1/local/vms/{vm_id}/files/content: replace a file or, with `at`, append a piece to it."""
        asked = query(WriteQuery, request)
        path = asked.where
        async with bodies.room(request, LARGEST_PIECE):
            data = await bodies.raw(request, LARGEST_PIECE)
            with platform(request).file_operations.of(who(request), request.path_params["vm_id"]) as files:
                if asked.append:
                    info = await files.append(path, data, at=asked.at)
                else:
                    info = await files.write(
                        path, data, conditions=asked.conditions(), mode=asked.mode, mtime_ns=asked.mtime_ns
                    )
        return json(info_fields(info))


class FilePack(Endpoint):
    """Entries of a tree, as an archive."""

    operations: ClassVar[Mapping[str, str]] = {"post": "packTree"}

    async def post(self, request: Request) -> Response:
        """POST /api/v1/local/vms/{vm_id}/files/pack."""
        asked = await bodies.body(request, Pack, MAX_OPERATION, structure=MAX_STRUCTURE)
        budget = min(asked.budget, LARGEST_PIECE)
        async with _room(request, _COPIES * budget):
            with platform(request).file_operations.of(who(request), request.path_params["vm_id"]) as files:
                entries, refused = await files.pack(asked.where, asked.wanted, budget=budget)
            headers = {
                "Arker-Refused": base64.b64encode(to_json(refused_fields(refused[:_REASONS]))).decode()
            }
            packed = await asyncio.to_thread(_packed, entries)
            if any("gzip" in value for value in request.headers.getlist("accept-encoding")):
                smaller = await asyncio.to_thread(compress, packed)
                if smaller is not None:
                    packed, headers["Content-Encoding"] = smaller, "gzip"
            return Answer(packed, headers=headers, media_type="application/x-tar")


class FileUnpack(Endpoint):
    """Entries for a tree, as an archive."""

    operations: ClassVar[Mapping[str, str]] = {"put": "unpackTree"}

    async def put(self, request: Request) -> Response:
        """PUT /api/v1/local/vms/{vm_id}/files/unpack."""
        asked = query(UnpackQuery, request)
        path = asked.where
        compressed = bodies.encoding(request) == "gzip"
        async with (
            bodies.room(request, MAX_PIECE),
            # What it expands to is not known before.
            _room(request, MAX_PIECE) if compressed else contextlib.nullcontext(),
        ):
            data = await bodies.raw(request, MAX_PIECE, encodings=("identity", "gzip"))
            try:
                entries = await asyncio.to_thread(_unpacked, data, compressed)
            except ValueError as error:
                raise ApiError("bad_request", f"the body: {error}") from None
            with platform(request).file_operations.of(who(request), request.path_params["vm_id"]) as files:
                refused = await files.unpack(path, entries, conditions=asked.conditions())
        return json({"refused": refused_fields(refused)})


def _packed(entries: Sequence[NewEntry]) -> bytes:
    return b"".join(pack(Entry(e.path, e.kind, e.mode, e.mtime_ns, e.data, e.target) for e in entries))


def _unpacked(data: bytearray, compressed: bool) -> list[NewEntry]:
    archive = expand(data, MAX_PIECE) if compressed else data
    return [NewEntry(e.path, e.kind, e.mode, e.mtime_ns, e.data, e.target) for e in unpack(archive)]


ROUTES: Final = [
    Route("/api/v1/local/vms/{vm_id}/files", FileOperation),
    Route("/api/v1/local/vms/{vm_id}/files/content", FileContent),
    Route("/api/v1/local/vms/{vm_id}/files/pack", FilePack),
    Route("/api/v1/local/vms/{vm_id}/files/unpack", FileUnpack),
]
