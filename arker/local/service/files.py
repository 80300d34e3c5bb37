"""Files of computers: read and written whole, inline or by signed URL."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from arker.contract import LARGEST_FILE, path_problem
from arker.local.engine.file_protocol import FileInfo
from arker.local.engine.protocol import Engine, FileRefused, Readable
from arker.local.storage.uploads import Range

from . import signing
from .access import Access, Principal
from .activity import Activity
from .computers import Computers
from .errors import ApiError
from .semaphores import ByteSemaphores
from .translation import Sandboxes
from .uploads import Chunk, Commit, UploadRequest, Uploads

T = TypeVar("T")

#: Files up to this size (bytes) are read inline, larger ones by a signed URL.
MAX_INLINE: Final = 4 * 1024 * 1024
#: Maximum bytes of memory for large answers that are being made, for one organization and for all together.
MAX_ANSWERS: Final = 192 * 1024 * 1024
MAX_ALL_ANSWERS: Final = 512 * 1024 * 1024
#: Content up to this size is not counted.
_SMALL_ANSWER: Final = 64 * 1024
#: How many times the size of a content is in memory while its answer is made; and the bytes of an entry of a list.
_COPIES: Final = 4
ENTRY_BYTES: Final = 1024
#: Maximum number of ranges in the answer to a write; further entries need another request.
MAX_LISTED: Final = 100_000
#: Seconds after which a long loop yields to other tasks.
_TURN: Final = 0.005
#: Minimum number of bytes read at a time.
_SMALL: Final = 64 * 1024
#: Maximum number of files in a manifest.
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


class Link(NamedTuple):
    """A signed URL for a file of `size` bytes, and its lifetime in seconds."""

    size: int
    url: str
    expires_in: int = signing.LIFETIME


class Granted(NamedTuple):
    """The result of an `UploadRequest`."""

    upload_id: str
    link: Link


class Arrived(NamedTuple):
    """The result of a `Chunk`: which bytes of the file have arrived. Once all have, the file is written."""

    ranges: Sequence[Range]


class Committed(NamedTuple):
    """The result of a `Commit`."""


class Manifest(NamedTuple):
    """Regular files of a folder, and whether there are more."""

    files: Sequence[FileInfo]
    truncated: bool


Entry = Chunk | UploadRequest | Commit
Result = Arrived | Granted | Committed | ApiError


class Files:
    """The files of the computers of a deployment.

    Args:
        secret: the key that signs URLs.
    """

    def __init__(
        self,
        engine: Engine,
        access: Access,
        computers: Computers,
        uploads: Uploads,
        sandboxes: Sandboxes,
        activity: Activity,
        secret: bytes,
    ) -> None:
        self._engine = engine
        self._access = access
        self._computers = computers
        self._uploads = uploads
        self._sandboxes = sandboxes
        self._activity = activity
        self._secret = secret
        #: Limits the bytes of large answers that are being made.
        self.answers: ByteSemaphores = ByteSemaphores(MAX_ANSWERS, MAX_ALL_ANSWERS)

    async def write(
        self, who: Principal, vm_id: str, entries: Sequence[Entry], base_url: str
    ) -> list[Result]:
        """Process entries in order; return a result or an error for each. `base_url` is the base of signed URLs."""
        results: list[Result] = []
        listed = 0
        began = time.monotonic()
        with self._used(who, vm_id) as vm_id:
            for entry in entries:
                if time.monotonic() - began > _TURN:
                    # Most entries do not wait, so many of them could block other tasks.
                    await asyncio.sleep(0)
                    began = time.monotonic()
                try:
                    if listed >= MAX_LISTED:
                        raise ApiError(
                            "payload_too_large",
                            "the response would be too large; send this in another request",
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

    async def read(
        self,
        who: Principal,
        vm_id: str,
        path: str,
        base_url: str,
        answer: Callable[[bytes | Link], Awaitable[T]],
    ) -> T:
        """Make an answer of the content of a file, or for a large one of a signed URL below `base_url`, when there is
        room for it."""
        with self._used(who, vm_id) as vm_id:
            check_path(path)
            async with await self._open(vm_id, path) as file:
                if file.size > MAX_INLINE:
                    return await answer(self._signed(base_url, "GET", vm_id, path, file.size, file.version))
                if file.size <= _SMALL_ANSWER:
                    return await answer(await _content(file, path))
                async with self.answers.held(who.org_id, _COPIES * file.size):
                    return await answer(await _content(file, path))

    async def manifest(self, who: Principal, vm_id: str, path: str) -> Manifest:
        """List the regular files below a folder, with their digests; empty if there is no folder.

        Files whose names are not Unicode are left out, because the contract cannot represent them.
        """
        files: list[FileInfo] = []
        cursor: str | None = ""
        with self._used(who, vm_id) as vm_id, self._sandboxes.used():
            if problem := path_problem(f"{path.rstrip('/')}/file", below="/"):
                raise ApiError("bad_request", f"path {path[:80]!r} {problem}")
            if not path.strip("/"):
                raise ApiError("bad_request", "path: the root cannot be listed; name a folder in it")
            while cursor is not None and len(files) <= MAX_MANIFEST:
                page = await self._engine.files(vm_id).manifest(path, cursor=cursor)
                for refused in page.refused:
                    raise FileRefused(refused.reason)
                files += [entry for entry in page.entries if entry.kind == "file" and _is_unicode(entry.path)]
                cursor = page.cursor
        return Manifest(files[:MAX_MANIFEST], cursor is not None or len(files) > MAX_MANIFEST)

    @contextlib.contextmanager
    def _used(self, who: Principal, vm_id: str) -> Iterator[str]:
        """Use the files of a computer in the block, and note in the activity log that they were; yield its id."""
        vm_id = self._access.owned(who, vm_id, "read or written").vm_id
        self._computers.touch(vm_id)
        at_ms, began = time.time_ns() // 1_000_000, time.monotonic()
        yield vm_id
        took = (time.monotonic() - began) * 1000
        self._activity.add(who, "sync", vm_id, at_ms=at_ms, total_ms=took)

    async def _open(self, vm_id: str, path: str) -> Readable:
        with self._sandboxes.used():
            file = await self._engine.open_file(vm_id, path)
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
        """Open the file of a signed URL, if it is still the version that the URL was made for.

        Pinning the version keeps a resumed download from mixing two versions: all answers to the same URL
        have the same bytes, whole or in ranges.

        Raises:
            ApiError: `forbidden`, `not_found`, or `conflict` when the file has changed.
        """
        grant = signing.verify(self._secret, token, method="GET", now=time.time())
        file = await self._open(grant.vm_id, grant.object)
        if (file.size, file.version) != (grant.size, grant.version):
            await file.close()
            raise ApiError(
                "conflict",
                "the file has changed since this URL was made; read it again for a new one",
                resource="file",
            )
        return file

    async def receive_signed(self, token: str, declared: int | None, body: AsyncIterator[bytes]) -> None:
        """Receive the body of a `PUT` to a signed URL; `declared` is its Content-Length, if it has one."""
        grant = signing.verify(self._secret, token, method="PUT", now=time.time())
        if declared is not None and declared != grant.size:
            raise ApiError(
                "bad_request",
                f"the upload was requested with {grant.size} bytes, and the body has {declared}",
            )
        with self._sandboxes.used():
            await self._uploads.receive(grant.vm_id, grant.object, grant.size, body)


def check_path(path: str) -> None:
    """Refuse a path that no file can have. Whether the file exists, and what the computer's user may do with it, is
    decided by the computer.

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
        # Read more than the expected size, to see the end; but not much more, because files in /proc refuse that.
        while piece := await file.read(len(data), max(file.size - len(data), 0) + _SMALL):
            data += piece
            if len(data) > MAX_INLINE:
                raise ApiError("conflict", f"{path} grows while it is read; try again", resource="file")
    except OSError as error:
        raise ApiError("bad_request", f"{path} cannot be read: {error.strerror}") from None
    return bytes(data)
