"""Files of computers: read and written whole, inline or by signed URL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from arker.contract import LARGEST_FILE, path_problem
from arker.local.engine.file_protocol import FileInfo
from arker.local.engine.protocol import Engine, FileMissing, Readable
from arker.local.storage.uploads import Range

from . import signing
from .access import Access, Principal
from .computers import Computers
from .errors import ApiError
from .translation import Sandboxes
from .uploads import Chunk, Commit, UploadRequest, Uploads

#: Files up to this size are read inline, larger ones by a signed URL; in bytes.
MAX_INLINE: Final = 4 * 1024 * 1024
#: Ranges that the answer to a write lists at the most; entries beyond have to come in another request.
MAX_LISTED: Final = 100_000
#: Seconds after which a long loop lets others have a turn.
_TURN: Final = 0.005
#: Bytes read at least at a time.
_SMALL: Final = 64 * 1024
#: Files that a manifest lists at the most.
MAX_MANIFEST: Final = 50_000

__all__ = [
    "Arrived",
    "Committed",
    "Entry",
    "Files",
    "Granted",
    "Link",
    "Manifest",
    "Readable",
    "Result",
    "check_path",
]


@dataclass(frozen=True, slots=True)
class Link:
    """A signed URL for a file of `size` bytes, and the seconds that it lives."""

    size: int
    url: str
    expires_in: int = signing.LIFETIME


@dataclass(frozen=True, slots=True)
class Granted:
    """The result of an `UploadRequest`."""

    upload_id: str
    link: Link


@dataclass(frozen=True, slots=True)
class Arrived:
    """The result of a `Chunk`: which bytes of the file have arrived. All of them: it is written."""

    ranges: Sequence[Range]


@dataclass(frozen=True, slots=True)
class Committed:
    """The result of a `Commit`."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Regular files of a folder, and whether there are more."""

    files: Sequence[FileInfo]
    truncated: bool


Entry = Chunk | UploadRequest | Commit
Result = Arrived | Granted | Committed | ApiError


class Files:
    """The files of a deployment's computers.

    Args:
        secret: what signed URLs are signed with.
    """

    def __init__(
        self,
        engine: Engine,
        access: Access,
        computers: Computers,
        uploads: Uploads,
        sandboxes: Sandboxes,
        secret: bytes,
    ) -> None:
        self._engine = engine
        self._access = access
        self._computers = computers
        self._uploads = uploads
        self._sandboxes = sandboxes
        self._secret = secret

    async def write(
        self, who: Principal, vm_id: str, entries: Sequence[Entry], base_url: str
    ) -> list[Result]:
        """Take entries in order; a result or an error for each. `base_url` is where signed URLs point."""
        vm_id = self._use(who, vm_id)
        results: list[Result] = []
        listed = 0
        began = time.monotonic()
        for entry in entries:
            if time.monotonic() - began > _TURN:
                # Most entries wait for nothing, and many of them must not keep others waiting.
                await asyncio.sleep(0)
                began = time.monotonic()
            try:
                if listed >= MAX_LISTED:
                    raise ApiError(
                        "payload_too_large", "too much to answer at once; send this in another request"
                    )
                with self._sandboxes.used():
                    result = await self._write(vm_id, entry, base_url)
                if isinstance(result, Arrived):
                    listed += len(result.ranges)
                results.append(result)
            except ApiError as error:
                results.append(error)
        return results

    async def _write(self, vm_id: str, entry: Entry, base_url: str) -> Result:
        check_path(entry.path)
        match entry:
            case Chunk():
                return Arrived(await self._uploads.chunk(vm_id, entry))
            case UploadRequest():
                upload_id = await self._uploads.request(vm_id, entry)
                return Granted(upload_id, self._signed(base_url, "PUT", vm_id, upload_id, entry.size))
            case Commit():
                await self._uploads.commit(vm_id, entry)
                return Committed()

    async def read(self, who: Principal, vm_id: str, path: str, base_url: str) -> bytes | Link:
        """The content of a file, or a signed URL for a large one, which points to `base_url`."""
        vm_id = self._use(who, vm_id)
        check_path(path)
        async with await self._open(vm_id, path) as file:
            if file.size > MAX_INLINE:
                return self._signed(base_url, "GET", vm_id, path, file.size, file.version)
            return await _content(file, path)

    async def manifest(self, who: Principal, vm_id: str, path: str) -> Manifest:
        """The regular files below a folder, with their digests; none where there is no folder.

        Files whose names are not Unicode are left out: the contract cannot name them.
        """
        vm_id = self._use(who, vm_id)
        if problem := path_problem(f"{path.rstrip('/')}/file", below="/"):
            raise ApiError("bad_request", f"path {path[:80]!r} {problem}")
        if not path.strip("/"):
            raise ApiError("bad_request", "path: the root cannot be listed; name a folder in it")
        files: list[FileInfo] = []
        cursor: str | None = ""
        with self._sandboxes.used():
            while cursor is not None and len(files) <= MAX_MANIFEST:
                page = await self._engine.files(vm_id).manifest(path, cursor=cursor)
                files += [entry for entry in page.entries if entry.kind == "file" and _is_unicode(entry.path)]
                cursor = page.cursor
        return Manifest(files[:MAX_MANIFEST], cursor is not None or len(files) > MAX_MANIFEST)

    def _use(self, who: Principal, vm_id: str) -> str:
        vm_id = self._access.owned(who, vm_id, "read or written").vm_id
        self._computers.touch(vm_id)
        return vm_id

    async def _open(self, vm_id: str, path: str) -> Readable:
        with self._sandboxes.used():
            try:
                file = await self._engine.open_file(vm_id, path)
            except FileMissing:
                # Word for word what the original SDK documents, and programs match.
                raise ApiError("not_found", f"file not found: {path}") from None
        if file.size > LARGEST_FILE:
            await file.close()
            raise ApiError(
                "payload_too_large", f"{path} has {file.size} bytes, and the limit is {LARGEST_FILE}"
            )
        return file

    def _signed(
        self, base_url: str, method: str, vm_id: str, name: str, size: int, version: str = ""
    ) -> Link:
        grant = signing.Grant(method, vm_id, name, size, int(time.time()) + signing.LIFETIME, version)
        return Link(size, f"{base_url}/signed/{signing.sign(self._secret, grant)}")

    async def open_signed(self, token: str) -> Readable:
        """The file of a signed URL, as long as it is the version that the URL was made for.

        Pinning the version keeps a resumed download from mixing two: whoever gets the same URL answered
        twice, in pieces or not, has got the same bytes.

        Raises:
            ApiError: `forbidden`, `not_found`, or `conflict` when the file has changed.
        """
        grant = signing.verify(self._secret, token, method="GET", now=time.time())
        file = await self._open(grant.vm_id, grant.object)
        if (file.size, file.version) != (grant.size, grant.version):
            await file.close()
            raise ApiError(
                "conflict", "the file has changed since this URL was made; read it again for a new one"
            )
        return file

    async def receive_signed(self, token: str, declared: int | None, body: AsyncIterator[bytes]) -> None:
        """Take the bytes of a `PUT` to a signed URL; `declared` is how many it announced, if it did."""
        grant = signing.verify(self._secret, token, method="PUT", now=time.time())
        if declared is not None and declared != grant.size:
            raise ApiError(
                "bad_request",
                f"the upload was asked for with {grant.size} bytes, and the body has {declared}",
            )
        with self._sandboxes.used():
            await self._uploads.receive(grant.vm_id, grant.object, grant.size, body)


def check_path(path: str) -> None:
    """Refuse a path that no file can have. Which files there are, and what the computer's user may do with them, is for
    the computer to say.

    Raises:
        ApiError: `bad_request`.
    """
    if problem := path_problem(path, below="/"):
        raise ApiError("bad_request", f"path {path[:80]!r} {problem}")


def _is_unicode(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


async def _content(file: Readable, path: str) -> bytes:
    data = bytearray()
    try:
        # More than is there, to see the end of it; but not by much, as files of /proc refuse that.
        while piece := await file.read(len(data), max(file.size - len(data), 0) + _SMALL):
            data += piece
            if len(data) > MAX_INLINE:
                raise ApiError("conflict", f"{path} grows while it is read; try again")
    except OSError as error:
        raise ApiError("bad_request", f"{path} cannot be read: {error.strerror}") from None
    return bytes(data)
