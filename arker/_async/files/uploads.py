"""Uploads of files through `computer.sync`: inline, by signed URL, or in chunks."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import time
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from arker_api.regional.api.files import sync_files
from arker_api.regional.models import (
    UploadCommit,
    UploadRequest,
    WriteChunk,
    WriteRequest,
    WriteResponse,
    WriteResult,
)
from arker_api.regional.types import Unset

from arker._async.gather import async_gather
from arker._http._async.pipeline import Budget, content, dump, parse
from arker._http._async.request import AsyncBody, AsyncRequest
from arker._http._async.transport import AsyncReply
from arker._io import Buffer
from arker.config import Url, parse_url
from arker.contract import LARGEST_CHUNK
from arker.errors import ArkerError, entry_error, in_doubt, read_answer
from arker.hooks import TransferEvent, tell
from arker.ids import new_ulid
from arker.results import Failure, Outcome, Success
from arker.sources import Source
from arker.transfers import PIECE, READ_AHEAD, Range, chunks

from .data import read_source
from .downloads import Progress

if TYPE_CHECKING:
    from arker._async.client import AsyncArker

T = TypeVar("T")

#: How many chunks of one file, or files, are in progress at a time.
AT_A_TIME = 4
#: Raw bytes that make a PIECE of base64.
_RAW_PIECE = PIECE // 4 * 3


class AsyncUploads:
    """Uploads to one computer. All methods raise ArkerError.

    Args:
        client: The client that sends the requests.
        request: Makes a request to the files of the computer with a given body.
    """

    __slots__ = ("_client", "_request")

    def __init__(self, client: AsyncArker, request: Callable[[bytes | AsyncBody], AsyncRequest]) -> None:
        self._client = client
        self._request = request

    async def write(
        self, path: str, source: Source, progress: Progress | None, timeout: float | None
    ) -> None:
        """Write a file, in the way that its size asks for."""
        budget = self._client._budget(timeout, source.size)
        started = time.perf_counter()
        via: Literal["inline", "signed", "chunks"]
        if source.size <= LARGEST_CHUNK:
            via = "inline"
            await self._write_chunk(budget, path, source, new_ulid(), (0, source.size), _expect_written)
            if progress is not None:
                progress(source.size, source.size)
        elif await self._write_signed(budget, path, source, progress):
            via = "signed"
        else:
            via = "chunks"
            # Use another way, with its own tries and the same deadline.
            budget.attempt = 1
            await self._write_chunks(budget, path, source, progress)
        self._tell(path, source.size, started, via)

    async def write_one(
        self, path: str, source: Source, outcomes: dict[str, Outcome[None, ArkerError]], timeout: float | None
    ) -> None:
        """Write a file, and put its failure into `outcomes`."""
        try:
            await self.write(path, source, None, timeout)
        except ArkerError as error:
            outcomes[path] = Failure(error)

    async def write_batch(
        self,
        files: list[tuple[str, Source]],
        outcomes: dict[str, Outcome[None, ArkerError]],
        timeout: float | None,
    ) -> None:
        """Write several small files in one request, and put their failures into `outcomes`."""
        size = sum(source.size for _, source in files)
        budget = self._client._budget(timeout, size)
        started = time.perf_counter()
        pending: dict[str, WriteChunk] = {}
        for path, source in files:
            try:
                pending[path] = _whole(path, bytes(await read_source(source, 0, source.size)))
            except ArkerError as error:
                outcomes[path] = Failure(error)

        def make() -> AsyncRequest:
            return self._request(dump(WriteRequest(op="write", writes=list(pending.values())).to_dict()))

        def settle(results: list[WriteResult]) -> None:
            if len(results) != len(pending):
                raise ValueError(f"{len(results)} results of {len(pending)} entries")
            again: ArkerError | None = None
            for path, result in zip(list(pending), results, strict=True):
                error = self._error_of(result, budget) or _unwritten(result)
                outcomes[path] = Success(None) if error is None else Failure(error)
                if error is not None and error.retryable:
                    again = error
                    continue
                chunk = pending.pop(path)
                if error is None:
                    self._tell(path, chunk.size, started, "inline")
            if again is not None:
                raise again

        if pending:
            try:
                await self._results(budget, make, settle)
            except ArkerError as error:
                for path in pending:
                    own = outcomes[path].error or error
                    # It may be older than an attempt without an answer.
                    lost = budget.doubtful or error.processed == "maybe"
                    in_doubt(own, "another attempt may have written it" if lost else None)
                    outcomes[path] = Failure(own)

    def _tell(self, path: str, size: int, started: float, via: Literal["inline", "signed", "chunks"]) -> None:
        tell(
            self._client._pipeline.hooks.on_transfer,
            TransferEvent("upload", path, size, (time.perf_counter() - started) * 1000, via),
        )

    async def _results(
        self,
        budget: Budget,
        make: Callable[[], AsyncRequest],
        settle: Callable[[list[WriteResult]], T],
    ) -> T:
        pipeline = self._client._pipeline

        def convert(body: Any) -> T:
            response = sync_files.parse(body)
            if not isinstance(response, WriteResponse):
                raise TypeError("no results of a write")
            return settle(response.results)

        async def consume(reply: AsyncReply) -> T:
            return parse(await pipeline.answer(reply), convert)

        return await pipeline.perform(budget, make, consume)

    def _error_of(self, result: WriteResult, budget: Budget) -> ArkerError | None:
        if isinstance(result.error, Unset):
            return None
        error = entry_error(
            result.error.code, result.error.message, 200, self._client._pipeline.config.api_key
        )
        error.attempts, error.method, error.route = budget.attempt, "POST", "/api/v1/vms/{vm_id}/sync"
        return error

    async def _write_entry(
        self, budget: Budget, entry: UploadRequest | UploadCommit, settle: Callable[[WriteResult], T]
    ) -> T:
        request = self._request(dump(WriteRequest(op="write", writes=[entry]).to_dict()))
        return await self._results(budget, lambda: request, self._only(budget, settle))

    def _only(self, budget: Budget, settle: Callable[[WriteResult], T]) -> Callable[[list[WriteResult]], T]:
        def only(results: list[WriteResult]) -> T:
            (result,) = results
            if error := self._error_of(result, budget):
                raise error
            return settle(result)

        return only

    async def _write_chunk(
        self,
        budget: Budget,
        path: str,
        source: Source,
        upload_id: str,
        part: Range,
        settle: Callable[[WriteResult], T],
    ) -> T:
        """Send bytes `[start, end)`, encoding them piece by piece, so that memory holds them only once."""
        start, end = part
        entry = WriteChunk(path, source.size, upload_id, start, end, content="").to_dict()
        # The content comes last, followed by the digest, which is known only then.
        del entry["content"]
        head = dump({"op": "write", "writes": [entry]})
        assert head.endswith(b"}]}")
        head = head[:-3] + b',"content":"'
        tail = b'","sha256":"%s"}]}'
        size = len(head) + (end - start + 2) // 3 * 4 + len(tail) - 2 + 64

        async def pieces() -> AsyncGenerator[Buffer]:
            digest = hashlib.sha256()
            before = head
            # A slice of a multiple of 3 bytes has no padding.
            for position in range(start, end, _RAW_PIECE):
                raw = await read_source(source, position, min(position + _RAW_PIECE, end))
                digest.update(raw)
                encoded = binascii.b2a_base64(raw, newline=False)
                yield before + encoded if before else encoded
                before = b""
            yield before + tail % digest.hexdigest().encode()

        body: bytes | AsyncBody = AsyncBody(size, pieces)
        if end - start <= _RAW_PIECE:
            # Small enough for one packet with its headers.
            body = b"".join([bytes(piece) async for piece in pieces()])
        request = self._request(body)
        return await self._results(budget, lambda: request, self._only(budget, settle))

    async def _write_signed(
        self, budget: Budget, path: str, source: Source, progress: Progress | None
    ) -> bool:
        """Upload a file by a signed URL; return False if that is not possible and the API should take it in chunks."""
        for asked in (1, 2):
            url, upload_id = await self._write_entry(
                budget, UploadRequest(path, source.size, presigned=True), _upload_url
            )
            try:
                digest = await self._put(budget, url, source, progress)
            except ArkerError as error:
                if error.code == "local_file" or error.attempts == 0 or budget.deadline.left <= 0:
                    raise
                if asked == 1 and 400 <= error.status < 500 and not error.retryable:
                    # Usually an expired URL; ask for a new one.
                    continue
                return False
            try:
                await self._write_entry(
                    budget, UploadCommit(path, source.size, upload_id, sha256=digest), _expect_written
                )
            except ArkerError as error:
                # The uploaded bytes are gone, or are not what was sent.
                if error.code in ("bad_request", "not_found", "expired") and error.processed == "yes":
                    return False
                raise
            return True
        return False

    async def _put(self, budget: Budget, url: Url, source: Source, progress: Progress | None) -> str:
        """Send all bytes to a signed URL; return their SHA-256."""
        pipeline, timeouts = self._client._pipeline, self._client._timeouts
        digest = hashlib.sha256()

        async def pieces() -> AsyncGenerator[Buffer]:
            nonlocal digest
            digest = hashlib.sha256()
            for ahead in range(0, source.size, READ_AHEAD):
                block = memoryview(await read_source(source, ahead, min(ahead + READ_AHEAD, source.size)))
                for start in range(0, len(block), PIECE):
                    piece = block[start : start + PIECE]
                    digest.update(piece)
                    yield piece
                    if progress is not None:
                        progress(ahead + start + len(piece), source.size)

        async def consume(reply: AsyncReply) -> None:
            read_answer(reply.status, reply.headers, await content(reply), parse=False)

        request = pipeline.signed("PUT", url, timeouts, body=AsyncBody(source.size, pieces))
        await pipeline.perform(budget, lambda: request, consume)
        return digest.hexdigest()

    async def _write_chunks(
        self, budget: Budget, path: str, source: Source, progress: Progress | None
    ) -> None:
        """Send a file through the API, several chunks at a time; send again only the chunks that did not arrive."""
        upload_id = new_ulid()
        have: set[Range] = set()
        #: Ranges that have arrived, by the last answer.
        told: list[Range] = []
        written = False

        async def write(part: Range) -> None:
            def settle(result: WriteResult) -> None:
                nonlocal written, told
                written = written or result.written is True
                told = [(span.start, span.end) for span in result.ranges or ()] or told
                if not all(isinstance(edge, int) for span in told for edge in span):
                    raise TypeError("ranges that are not of numbers")
                have.update(told, [part])

            await self._write_chunk(budget, path, source, upload_id, part, settle)
            if progress is not None:
                missing = sum(end - start for start, end in chunks(source.size, have))
                progress(source.size - missing, source.size)

        for _ in range(2):
            jobs = [functools.partial(write, part) for part in chunks(source.size, have)]
            for outcome in await async_gather(jobs, AT_A_TIME):
                # If the file is there, no chunk is missing, even if its answer was lost.
                if not (written and isinstance(outcome.error, ArkerError)):
                    outcome.get()
            if written:
                return
            # Every chunk was accepted, but something is missing: the last answer says what.
            have = set(told)
        raise ArkerError(
            "internal", f"all bytes of {path} were sent, but the file was not written", processed="maybe"
        )


def _whole(path: str, data: bytes) -> WriteChunk:
    return WriteChunk(
        path,
        len(data),
        new_ulid(),
        0,
        len(data),
        base64.b64encode(data).decode(),
        hashlib.sha256(data).hexdigest(),
    )


def _unwritten(result: WriteResult) -> ArkerError | None:
    if result.written is False or result.complete is False:
        return ArkerError("internal", f"{result.path} was accepted, but not written", 200, processed="maybe")
    return None


def _expect_written(result: WriteResult) -> None:
    if error := _unwritten(result):
        raise error


def _upload_url(result: WriteResult) -> tuple[Url, str]:
    if not isinstance(result.presigned_url, str) or not isinstance(result.upload_id, str):
        raise TypeError("no URL to upload to")
    return parse_url(result.presigned_url), result.upload_id
