"""Files: read and written by `sync`, and by signed URLs."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import stat
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from arker.local.http.answers import Answer
from arker.local.http.bodies import MAX_BODY, content_length, pieces, received, room
from arker.local.http.endpoint import Endpoint, base_url, json, platform, who
from arker.local.http.errors import DisconnectedError, HttpError, entry_error, speaks_0_1
from arker.local.http.rendering import text
from arker.local.http.schemas import SyncRequest, WriteEntry, check_sync
from arker.local.service import ranges
from arker.local.service.errors import ApiError
from arker.local.service.files import (
    ENTRY_BYTES,
    MAX_MANIFEST,
    Arrived,
    Committed,
    Entry,
    Granted,
    Link,
    Manifest,
    Readable,
    Result,
)

log: logging.Logger = logging.getLogger("arker.web")

#: Bytes read from a file at a time.
_PIECE: Final = 1024 * 1024
#: Content above this size (bytes), and results of more entries than this, are encoded in a thread.
_LARGE: Final = 64 * 1024
_MANY: Final = 100


class Sync(Endpoint):
    """Read or write files."""

    operations: ClassVar[Mapping[str, str]] = {"post": "sync"}

    async def post(self, request: Request) -> Response:
        """POST /api/v1/vms/{vm_id}/sync."""
        # The contents of a write are held until its end.
        async with room(request, MAX_BODY):
            asked = await received(request, SyncRequest, MAX_BODY, array="writes", check=check_sync)
            files, vm_id, url = platform(request).files, request.path_params["vm_id"], base_url(request)
            if asked.op == "manifest":
                assert asked.path is not None
                async with files.answers.held(who(request).org_id, MAX_MANIFEST * ENTRY_BYTES):
                    return json(_manifest(asked.path, await files.manifest(who(request), vm_id, asked.path)))
            if asked.op == "read":
                assert asked.path is not None
                answer = partial(_read_answer, asked.path)
                return json(await files.read(who(request), vm_id, asked.path, url, answer))
            writes, old = asked.writes or (), speaks_0_1(request.scope)
            if len(writes) <= _MANY:
                entries = _entries(writes)
                results = await files.write(who(request), vm_id, entries, url)
                return json(_all_written(entries, results, old))
            entries = await asyncio.to_thread(_entries, writes)
            # The garbage collector blocks the event loop while it visits many live objects.
            del asked, writes
            results = await files.write(who(request), vm_id, entries, url)
            return json(await asyncio.to_thread(_all_written, entries, results, old))


def _entries(writes: Sequence[WriteEntry]) -> list[Entry]:
    return [entry.entry() for entry in writes]


class Signed(Endpoint):
    """Files by signed URL: the token alone authorizes the request, without a key."""

    public = True

    async def put(self, request: Request) -> Response:
        """PUT /signed/{token}."""
        # As long as the URL is valid: a slow connection may need that long for 100 MB.
        body = pieces(request, 900)
        await platform(request).files.receive_signed(
            request.path_params["token"], content_length(request), body
        )
        return Answer(status_code=200)

    async def get(self, request: Request) -> Response:
        """GET /signed/{token}, or a range of it."""
        if request.method == "HEAD":
            raise ApiError("forbidden", "this URL is signed for GET, not HEAD")
        file = await platform(request).files.open_signed(request.path_params["token"])
        whole = request.headers.get("if-range") not in (None, etag_of(file))
        answer = content(file, None if whole else request.headers.get("range"))
        asked = "sha-256" in request.headers.get("want-repr-digest", "").lower()
        if (sha256 := await file.digest() if asked else file.sha256) is not None:
            digest = base64.b64encode(bytes.fromhex(sha256)).decode()
            answer.headers["Repr-Digest"] = f"sha-256=:{digest}:"
        elif not asked:
            # The digest is not known, and computing it first would delay the first byte by a read of the whole file.
            answer.headers["Arker-Digest"] = "on-request"
        return answer


def etag_of(file: Readable) -> str:
    """Return the ETag of a file."""
    return f'"{file.version}"'


def content(file: Readable, wanted: str | None) -> Response:
    """Answer with the content of a file, or with what the Range header `wanted` asks for.

    Raises:
        ApiError: `unsupported_range` (416) when the file has no such bytes.
    """
    part = byte_range(wanted, file.size)
    start, end = part or (0, file.size)
    headers = {
        "ETag": etag_of(file),
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-store",
        "Content-Length": str(end - start),
    }
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    return StreamingResponse(
        send_file(file, start, end), 206 if part else 200, headers, "application/octet-stream"
    )


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the bytes `[start, end)` that a Range header asks for; None for all, or for a header that may be ignored.

    Raises:
        ApiError: `unsupported_range` (416) when the file has no such bytes.
    """
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", (header or "").replace(" ", ""), re.ASCII)
    if found is None or found[1] == found[2] == "":
        return None
    first, last = found[1][:20], found[2][:20]
    if first:
        start, end = int(first), min(int(last) + 1 if last else size, size)
        if last and int(last) < int(first):
            return None
    else:
        start, end = max(0, size - int(last)), size
    if start >= size or start >= end:
        raise HttpError(
            "unsupported_range",
            f"the file has {size} bytes, so none of {header}",
            {"Content-Range": f"bytes */{size}"},
        )
    return start, end


async def send_file(file: Readable, start: int, end: int) -> AsyncIterator[bytes]:
    """Yield bytes `[start, end)` of a file and close it; stops early if the file changes meanwhile."""
    async with file:
        while start < end:
            piece = await file.read(start, min(_PIECE, end - start))
            start += len(piece)
            # Checked before the last piece is sent: a client must never take a mixture of two versions for the file.
            if not piece or (start >= end and await file.current_version() != file.version):
                log.warning("a file changed while it was sent; the response was cut off")
                raise DisconnectedError
            yield piece


async def _read_answer(path: str, found: bytes | Link) -> bytes:
    if isinstance(found, bytes) and len(found) > _LARGE:
        return await asyncio.to_thread(_read, path, found)
    return _read(path, found)


def _read(path: str, found: bytes | Link) -> bytes:
    answer: dict[str, Any] = {"ok": True, "op": "read", "path": path}
    if isinstance(found, Link):
        return to_json({**answer, "size": found.size, **_link(found), "method": "GET"})
    content, encoding = text(found)
    # Written without the hyphen that the encodings of a run have.
    encoding = encoding.replace("utf-8", "utf8")
    return to_json({**answer, "size": len(found), "content": content, "encoding": encoding})


def _manifest(path: str, found: Manifest) -> bytes:
    return to_json(
        {
            "root": path,
            "hash_algo": "sha256",
            "entries": [
                {"path": file.path, "size": file.size, "mode": stat.S_IFREG | file.mode, "hash": file.sha256}
                for file in found.files
            ],
            "truncated": found.truncated,
        }
    )


def _all_written(entries: Sequence[Entry], results: Sequence[Result], old: bool) -> bytes:
    written = [_written(entry, result, old) for entry, result in zip(entries, results, strict=True)]
    return to_json({"ok": True, "op": "write", "results": written})


def _written(entry: Entry, result: Result, old: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {"path": entry.path, "size": entry.size}
    match result:
        case Committed():
            return {**answer, "complete": True, "written": True}
        case Arrived(arrived):
            complete = ranges.covers(arrived, entry.size)
            return {
                **answer,
                "complete": complete,
                "written": complete,
                "received_bytes": ranges.length(arrived),
                "ranges": [{"start": start, "end": end} for start, end in arrived],
            }
        case Granted(upload_id, link):
            return {
                **answer,
                "complete": False,
                "written": False,
                "upload_id": upload_id,
                "method": "PUT",
                **_link(link),
            }
        case ApiError():
            return {**answer, "complete": False, "written": False, "error": entry_error(result, old)}


def _link(link: Link) -> dict[str, Any]:
    return {"presigned_url": link.url, "expires_in": link.expires_in}


ROUTES: Final = [
    Route("/api/v1/vms/{vm_id}/sync", Sync),
    Route("/signed/{token}", Signed),
]
