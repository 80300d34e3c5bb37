# Derived from arker/_async/files.py by `make generate`; do not edit.
"""The files of a computer."""

from __future__ import annotations

import base64
import binascii
import contextlib
import functools
import hashlib
import inspect
import os
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast
from urllib.parse import quote

from arker_api.regional.api.files import sync_files
from arker_api.regional.models import (
    InlineFile,
    ReadRequest,
    SignedFile,
    UploadCommit,
    UploadRequest,
    WriteChunk,
    WriteRequest,
    WriteResponse,
    WriteResult,
)
from arker_api.regional.types import Unset

from arker._http._sync.pipeline import Budget, content, dump, parse
from arker._http._sync.request import Body, Request
from arker._http._sync.transport import Reply
from arker._io import Buffer
from arker._io_sync import in_thread, iterate
from arker.config import Url, parse_url
from arker.contract import LARGEST_CHUNK, LARGEST_FILE
from arker.errors import ArkerError, entry_error, read_answer
from arker.hooks import TransferEvent, tell
from arker.ids import new_ulid
from arker.paths import check_path
from arker.results import Failure, Outcome, Success, decode, expected
from arker.sources import Source, Spool, known, local
from arker.uploads import (
    PIECE,
    READ_AHEAD,
    SLOWEST,
    Range,
    batches,
    chunks,
    too_large,
)

from .downloads import Download, FileSink, MemorySink, Progress, Signed, Stopped, carried
from .gather import gather

if TYPE_CHECKING:
    from .client import Arker

T = TypeVar("T")

Data: TypeAlias = bytes | bytearray | memoryview | str | IO[bytes] | Iterable[bytes] | Iterable[bytes]

#: How many chunks of one file, or files, are in progress at a time.
_AT_A_TIME = 4
#: Raw bytes that make a PIECE of base64.
_RAW_PIECE = PIECE // 4 * 3
#: From this size on, importing pydantic pays off: it decodes base64 five times faster.
_LARGE_ANSWER = 256 * 1024
#: Largest answer with a file of the largest size: control characters take six bytes each in JSON.
_LARGEST_INLINE = 6 * LARGEST_FILE + 64 * 1024
#: Bytes at either end of an answer that contain all fields but the content: a path has 4 KiB, escaped six times that.
_ENDS = 32 * 1024


class Sync:
    """The files of one computer below `/home/user/`; see `computer.sync`."""

    __slots__ = ("_client", "_vm_id")

    def __init__(self, client: Arker, vm_id: str) -> None:
        self._client = client
        self._vm_id = vm_id

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._vm_id!r})"

    # --- reading ---

    def read_file(self, path: str, *, timeout: float | None = None) -> bytes:
        """Return the content of a file. Peak memory use is about its size.

        Args:
            path: Absolute, below `/home/user/`.
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total` plus time for the
                bytes.

        Raises:
            ArkerError: `not_found`, `bad_request` for a path that cannot name a file, and any other failure.
            TypeError, ValueError: for arguments of the wrong kind.
        """
        sink = MemorySink()
        self._read(path, sink, None, timeout)
        return sink.content

    def read_files(
        self, paths: Iterable[str], *, timeout: float | None = None
    ) -> dict[str, Outcome[bytes, ArkerError]]:
        """Read several files, several at a time; return an outcome for each path, in the order given.

        Args:
            paths: Absolute, below `/home/user/`.
            timeout: Longest time for each file, in seconds; see `read_file`.

        Raises:
            TypeError, ValueError: for arguments of the wrong kind. The failure of a file is in its outcome.
        """
        names = list(dict.fromkeys(paths))
        jobs = [functools.partial(self.read_file, path, timeout=timeout) for path in names]
        outcomes = expected(gather(jobs, 2 * _AT_A_TIME))
        return dict(zip(names, outcomes, strict=True))

    def download(
        self,
        remote_path: str,
        local_path: str | os.PathLike[str],
        *,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> None:
        """Copy a file of the computer to a local file, in constant memory. The local file is replaced only when the
        transfer is complete.

        Args:
            remote_path: Absolute, below `/home/user/`.
            local_path: Where to put it; its folder must exist.
            progress: Called with the bytes so far and the total. The first may decrease when a part is
                transferred again.
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total` plus time for the
                bytes.

        Raises:
            ArkerError: `not_found`, `bad_request` for a path that cannot name a file, `local_file` when the
                local file cannot be written, and any other failure.
            TypeError, ValueError: for arguments of the wrong kind. An exception of `progress` ends the call and
                is raised from it.
        """
        check_path(remote_path)
        sink = FileSink(Path(local_path))
        try:
            sink.open()
            self._read(remote_path, sink, carried(progress), timeout)
            sink.publish()
        except Stopped as stopped:
            raised = stopped.error
        else:
            return
        finally:
            sink.discard()
        raise raised

    def _read(
        self,
        path: str,
        sink: MemorySink | FileSink,
        progress: Progress | None,
        timeout: float | None,
    ) -> None:
        check_path(path)
        pipeline, timeouts = self._client._pipeline, self._client._timeouts
        budget = self._client._budget(timeout)
        started = time.perf_counter()
        via: Literal["inline", "signed"]
        for asked in (1, 2):
            read = self._ask(budget, path)
            if isinstance(read, bytes):
                via, size = "inline", len(read)
                if size > LARGEST_FILE:
                    raise too_large(size)
                sink.take(read)
                if progress is not None:
                    progress(size, size)
                break
            via, size = "signed", read.size
            if timeout is None:
                budget.deadline.extend(size / SLOWEST)
            try:
                Download(pipeline, timeouts, budget, path, read, sink, progress).run()
                break
            except ArkerError as error:
                # Usually an expired URL; ask for a new one. The file may have changed meanwhile.
                if asked == 2 or error.retryable or not 400 <= error.status < 500:
                    raise
        tell(
            pipeline.hooks.on_transfer,
            TransferEvent("download", path, size, (time.perf_counter() - started) * 1000, via),
        )

    def _ask(self, budget: Budget, path: str) -> bytes | Signed:
        """Ask for a file: return its content, or the signed URL to get it from."""
        pipeline = self._client._pipeline
        request = self._request(dump(ReadRequest(op="read", path=path).to_dict()))

        def consume(reply: Reply) -> bytes | Signed:
            body = content(reply, _LARGEST_INLINE)
            if len(body) >= _LARGE_ANSWER and (data := _decode_large(reply.status, body)) is not None:
                return data
            answer = read_answer(reply.status, reply.headers, body, pipeline.config.api_key)
            return parse(sync_files, answer, _content)

        return pipeline.perform(budget, lambda: request, consume)

    def _request(self, body: bytes | Body) -> Request:
        # Reads change nothing, and writes with the same `upload_id` can be repeated.
        return self._client._pipeline.request(
            "post",
            f"/api/v1/vms/{quote(self._vm_id, safe='')}/sync",
            self._client._timeouts,
            control=False,
            repeatable=True,
            body=body,
        )

    # --- writing ---

    def write_file(
        self,
        path: str,
        data: Data,
        *,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> None:
        """Write a file, making its folders. A reader sees the old file or the new one, never a part.

        Args:
            path: Absolute, below `/home/user/`.
            data: The content: bytes; a str, encoded as UTF-8; a binary file, read from its position to its end; or
                an iterable of bytes. The last two use constant memory; data that cannot be read twice goes to a
                temporary file first.
            progress: Called with the bytes so far and the total. The first may decrease when a part is sent again.
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total` plus time for the
                bytes.

        Raises:
            ArkerError: `payload_too_large` over 100 MB, `bad_request` for a path that cannot name a file, and
                any other failure.
            TypeError, ValueError: for arguments of the wrong kind. An exception of `data` or `progress` ends the
                call and is raised from it.
        """
        check_path(path)
        source = _source(data)
        try:
            self._write(path, source, carried(progress), timeout)
        except Stopped as stopped:
            raised = stopped.error
        else:
            return
        finally:
            source.close()
        raise raised

    def upload(
        self,
        local_path: str | os.PathLike[str],
        remote_path: str,
        *,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> None:
        """Copy a local file to the computer, in constant memory; see `write_file`.

        Args:
            local_path: The file to copy.
            remote_path: Absolute, below `/home/user/`.
            progress: Called with the bytes so far and the total. The first may decrease when a part is sent again.
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total` plus time for the
                bytes.

        Raises:
            ArkerError: `local_file` when the local file cannot be read, and see `write_file`.
            TypeError, ValueError: for arguments of the wrong kind. An exception of `progress` ends the call and
                is raised from it.
        """
        check_path(remote_path)
        with local(Path(local_path).open, "rb") as file:
            self.write_file(remote_path, file, progress=progress, timeout=timeout)

    def write_files(
        self, files: Mapping[str, Data], *, timeout: float | None = None
    ) -> dict[str, Outcome[None, ArkerError]]:
        """Write several files in as few requests as possible; return an outcome for each path, in the order given. A
        file that fails does not affect the others.

        Args:
            files: Content by path; see `write_file`. Data that can be read only once is kept until it is written:
                up to 4 MiB of a file in memory, the rest in a temporary file.
            timeout: Longest time for each request, in seconds; default `Timeouts.total` plus time for the
                bytes.

        Raises:
            TypeError, ValueError: for arguments of the wrong kind. The failure of a file is in its outcome.
        """
        outcomes: dict[str, Outcome[None, ArkerError]] = dict.fromkeys(files, Success(None))
        small: list[tuple[tuple[str, Source], int]] = []
        large: list[tuple[str, Source]] = []
        with contextlib.ExitStack() as opened:
            for path, data in files.items():
                try:
                    check_path(path)
                    source = _source(data)
                except ArkerError as error:
                    outcomes[path] = Failure(error)
                    continue
                opened.callback(source.close)
                if source.size <= LARGEST_CHUNK:
                    small.append(((path, source), source.size))
                else:
                    large.append((path, source))
            jobs: list[Callable[[], Any]] = [
                *(functools.partial(self._write_batch, batch, outcomes, timeout) for batch in batches(small)),
                *(
                    functools.partial(self._write_one, path, source, outcomes, timeout)
                    for path, source in large
                ),
            ]
            for job in gather(jobs, _AT_A_TIME):
                job.get()
        return outcomes

    def _write_one(
        self, path: str, source: Source, outcomes: dict[str, Outcome[None, ArkerError]], timeout: float | None
    ) -> None:
        try:
            self._write(path, source, None, timeout)
        except ArkerError as error:
            outcomes[path] = Failure(error)

    def _write_batch(
        self,
        files: list[tuple[str, Source]],
        outcomes: dict[str, Outcome[None, ArkerError]],
        timeout: float | None,
    ) -> None:
        size = sum(source.size for _, source in files)
        budget = self._client._budget(timeout, size)
        started = time.perf_counter()
        pending: dict[str, WriteChunk] = {}
        for path, source in files:
            try:
                pending[path] = _whole(path, bytes(_read_source(source, 0, source.size)))
            except ArkerError as error:
                outcomes[path] = Failure(error)

        def make() -> Request:
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
                self._results(budget, make, settle)
            except ArkerError as error:
                for path in pending:
                    outcomes[path] = Failure(outcomes[path].error or error)

    def _write(self, path: str, source: Source, progress: Progress | None, timeout: float | None) -> None:
        budget = self._client._budget(timeout, source.size)
        started = time.perf_counter()
        via: Literal["inline", "signed", "chunks"]
        if source.size <= LARGEST_CHUNK:
            via = "inline"
            self._write_chunk(budget, path, source, new_ulid(), (0, source.size), _expect_written)
            if progress is not None:
                progress(source.size, source.size)
        elif self._write_signed(budget, path, source, progress):
            via = "signed"
        else:
            via = "chunks"
            # Use another way, with its own tries and the same deadline.
            budget.attempt = 1
            self._write_chunks(budget, path, source, progress)
        self._tell(path, source.size, started, via)

    def _tell(self, path: str, size: int, started: float, via: Literal["inline", "signed", "chunks"]) -> None:
        tell(
            self._client._pipeline.hooks.on_transfer,
            TransferEvent("upload", path, size, (time.perf_counter() - started) * 1000, via),
        )

    def _results(
        self,
        budget: Budget,
        make: Callable[[], Request],
        settle: Callable[[list[WriteResult]], T],
    ) -> T:
        pipeline = self._client._pipeline

        def convert(response: InlineFile | SignedFile | WriteResponse) -> T:
            if not isinstance(response, WriteResponse):
                raise TypeError("no results of a write")
            return settle(response.results)

        def consume(reply: Reply) -> T:
            return parse(sync_files, pipeline.answer(reply), convert)

        return pipeline.perform(budget, make, consume)

    def _error_of(self, result: WriteResult, budget: Budget) -> ArkerError | None:
        if isinstance(result.error, Unset):
            return None
        error = entry_error(
            result.error.code, result.error.message, 200, self._client._pipeline.config.api_key
        )
        error.attempts, error.method, error.route = budget.attempt, "POST", "/api/v1/vms/{vm_id}/sync"
        return error

    def _write_entry(
        self, budget: Budget, entry: UploadRequest | UploadCommit, settle: Callable[[WriteResult], T]
    ) -> T:
        request = self._request(dump(WriteRequest(op="write", writes=[entry]).to_dict()))
        return self._results(budget, lambda: request, self._only(budget, settle))

    def _only(self, budget: Budget, settle: Callable[[WriteResult], T]) -> Callable[[list[WriteResult]], T]:
        def only(results: list[WriteResult]) -> T:
            (result,) = results
            if error := self._error_of(result, budget):
                raise error
            return settle(result)

        return only

    def _write_chunk(
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

        def pieces() -> Generator[Buffer]:
            digest = hashlib.sha256()
            before = head
            # A slice of a multiple of 3 bytes has no padding.
            for position in range(start, end, _RAW_PIECE):
                raw = _read_source(source, position, min(position + _RAW_PIECE, end))
                digest.update(raw)
                encoded = binascii.b2a_base64(raw, newline=False)
                yield before + encoded if before else encoded
                before = b""
            yield before + tail % digest.hexdigest().encode()

        body: bytes | Body = Body(size, pieces)
        if end - start <= _RAW_PIECE:
            # Small enough for one packet with its headers.
            body = b"".join([bytes(piece) for piece in pieces()])
        request = self._request(body)
        return self._results(budget, lambda: request, self._only(budget, settle))

    def _write_signed(self, budget: Budget, path: str, source: Source, progress: Progress | None) -> bool:
        """Upload a file by a signed URL; return False if that is not possible and the API should take it in chunks."""
        for asked in (1, 2):
            url, upload_id = self._write_entry(
                budget, UploadRequest(path, source.size, presigned=True), _upload_url
            )
            try:
                digest = self._put(budget, url, source, progress)
            except ArkerError as error:
                if error.code == "local_file" or error.attempts == 0 or budget.deadline.left <= 0:
                    raise
                if asked == 1 and 400 <= error.status < 500 and not error.retryable:
                    # Usually an expired URL; ask for a new one.
                    continue
                return False
            try:
                self._write_entry(
                    budget, UploadCommit(path, source.size, upload_id, sha256=digest), _expect_written
                )
            except ArkerError as error:
                # The uploaded bytes are gone, or are not what was sent.
                if error.code in ("bad_request", "not_found", "expired") and error.processed == "yes":
                    return False
                raise
            return True
        return False

    def _put(self, budget: Budget, url: Url, source: Source, progress: Progress | None) -> str:
        """Send all bytes to a signed URL; return their SHA-256."""
        pipeline, timeouts = self._client._pipeline, self._client._timeouts
        digest = hashlib.sha256()

        def pieces() -> Generator[Buffer]:
            nonlocal digest
            digest = hashlib.sha256()
            for ahead in range(0, source.size, READ_AHEAD):
                block = memoryview(_read_source(source, ahead, min(ahead + READ_AHEAD, source.size)))
                for start in range(0, len(block), PIECE):
                    piece = block[start : start + PIECE]
                    digest.update(piece)
                    yield piece
                    if progress is not None:
                        progress(ahead + start + len(piece), source.size)

        def consume(reply: Reply) -> None:
            read_answer(reply.status, reply.headers, content(reply), parse=False)

        request = pipeline.signed("PUT", url, timeouts, body=Body(source.size, pieces))
        pipeline.perform(budget, lambda: request, consume)
        return digest.hexdigest()

    def _write_chunks(self, budget: Budget, path: str, source: Source, progress: Progress | None) -> None:
        """Send a file through the API, several chunks at a time; send again only the chunks that did not arrive."""
        upload_id = new_ulid()
        have: set[Range] = set()
        #: Ranges that have arrived, by the last answer.
        told: list[Range] = []
        written = False

        def write(part: Range) -> None:
            def settle(result: WriteResult) -> None:
                nonlocal written, told
                written = written or result.written is True
                told = [(span.start, span.end) for span in result.ranges or ()] or told
                if not all(isinstance(edge, int) for span in told for edge in span):
                    raise TypeError("ranges that are not of numbers")
                have.update(told, [part])

            self._write_chunk(budget, path, source, upload_id, part, settle)
            if progress is not None:
                missing = sum(end - start for start, end in chunks(source.size, have))
                progress(source.size - missing, source.size)

        for _ in range(2):
            jobs = [functools.partial(write, part) for part in chunks(source.size, have)]
            for outcome in gather(jobs, _AT_A_TIME):
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


def _source(data: Any) -> Source:
    """Turn data of any kind into a Source, spooling it if necessary."""
    source = local(known, data)
    if source is not None:
        return cast("Source", source)
    spool = Spool()
    try:
        if callable(getattr(data, "read", None)) and not inspect.iscoroutinefunction(data.read):
            while piece := in_thread(local, data.read, PIECE):
                spool.add(piece)
        elif isinstance(data, (Iterable, Iterable)):
            for piece in iterate(data):
                spool.add(piece)
        else:
            raise TypeError(
                f"data is bytes, str, a binary file or an iterable of bytes, not {type(data).__name__}"
            )
        return spool.source()
    except BaseException:
        spool.close()
        raise


def _read_source(source: Source, start: int, end: int) -> Buffer:
    if source.blocking:
        return in_thread(source.read, start, end)
    return source.read(start, end)


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


def _content(response: InlineFile | SignedFile | WriteResponse) -> bytes | Signed:
    if isinstance(response, InlineFile):
        return _sized(decode(response.content, response.encoding), response.size)
    if isinstance(response, SignedFile):
        size = response.size
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise ValueError(f"a size of {size!r}")
        if size > LARGEST_FILE:
            raise too_large(size)
        return Signed(parse_url(response.presigned_url), size)
    raise TypeError("no file")


def _sized(data: bytes, size: object) -> bytes:
    if len(data) != size:
        raise ValueError(f"{len(data)} bytes of a file of {size!r}")
    return data


def _decode_large(status: int, content: bytes) -> bytes | None:
    """The bytes of a large inline answer in base64; None for any other answer, which is then parsed normally."""
    # Within a JSON string the quotes would be escaped, so this is the encoding field, before or after the content.
    if status != 200 or not any(b'"base64"' in end for end in (content[:_ENDS], content[-_ENDS:])):
        return None
    from arker import _large

    return _large.decode(content)
