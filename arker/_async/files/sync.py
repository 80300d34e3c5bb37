"""`computer.sync`: the files below the home folder, through the contract."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from arker_api.regional.api.files import sync_files
from arker_api.regional.models import InlineFile, ReadRequest, SignedFile, WriteResponse

from arker._async.gather import async_gather
from arker._http._async.pipeline import Budget, content, dump, parse
from arker._http._async.request import AsyncBody, AsyncRequest
from arker._http._async.transport import AsyncReply
from arker.config import parse_url
from arker.contract import LARGEST_CHUNK, LARGEST_FILE
from arker.errors import ArkerError, read_answer
from arker.hooks import TransferEvent, tell
from arker.paths import check_path
from arker.results import Failure, Outcome, Success, decode, expected
from arker.sources import Source, local
from arker.transfers import MOST_ENTRIES, SLOWEST, batches, too_large

from .data import AsyncData, source_of
from .downloads import AsyncDownload, AsyncFileSink, AsyncMemorySink, Progress, Signed, Stopped, carried
from .uploads import AT_A_TIME, AsyncUploads

if TYPE_CHECKING:
    from arker._async.client import AsyncArker

#: From this size on, importing pydantic pays off: it decodes base64 five times faster.
_LARGE_ANSWER = 256 * 1024
#: Largest answer with a file of the largest size: control characters take six bytes each in JSON.
_LARGEST_INLINE = 6 * LARGEST_FILE + 64 * 1024
#: Bytes at either end of an answer that contain all fields but the content: a path has 4 KiB, escaped six times that.
_ENDS = 32 * 1024


class AsyncSync:
    """The files of one computer below `/home/user/`; see `computer.sync`."""

    __slots__ = ("_client", "_vm_id")

    def __init__(self, client: AsyncArker, vm_id: str) -> None:
        self._client = client
        self._vm_id = vm_id

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._vm_id!r})"

    @property
    def _uploads(self) -> AsyncUploads:
        # Not kept: each would hold the other, and be left to the garbage collector.
        return AsyncUploads(self._client, self._request)

    # --- reading ---

    async def read_file(self, path: str, *, timeout: float | None = None) -> bytes:
        """Return the content of a file. Peak memory use is about its size.

        Args:
            path: Absolute, below `/home/user/`.
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total` plus time for the
                bytes.

        Raises:
            ArkerError: `not_found`, `bad_request` for a path that cannot name a file, and any other failure.
            TypeError, ValueError: for arguments of the wrong kind.
        """
        sink = AsyncMemorySink()
        await self._read(path, sink, None, timeout)
        return sink.content

    async def read_files(
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
        outcomes = expected(await async_gather(jobs, 2 * AT_A_TIME))
        return dict(zip(names, outcomes, strict=True))

    async def download(
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
        sink = AsyncFileSink(Path(local_path))
        try:
            sink.open()
            await self._read(remote_path, sink, carried(progress), timeout)
            await sink.publish()
        except Stopped as stopped:
            raised = stopped.error
        else:
            return
        finally:
            sink.discard()
        raise raised

    async def _read(
        self,
        path: str,
        sink: AsyncMemorySink | AsyncFileSink,
        progress: Progress | None,
        timeout: float | None,
    ) -> None:
        check_path(path)
        pipeline, timeouts = self._client._pipeline, self._client._timeouts
        budget = self._client._budget(timeout)
        started = time.perf_counter()
        via: Literal["inline", "signed"]
        for asked in (1, 2):
            read = await self._ask(budget, path)
            if isinstance(read, bytes):
                via, size = "inline", len(read)
                if size > LARGEST_FILE:
                    raise too_large(size)
                await sink.take(read)
                if progress is not None:
                    progress(size, size)
                break
            via, size = "signed", read.size
            if timeout is None:
                budget.deadline.extend(size / SLOWEST)
            try:
                await AsyncDownload(pipeline, timeouts, budget, path, read, sink, progress).run()
                break
            except ArkerError as error:
                # Usually an expired URL; ask for a new one. The file may have changed meanwhile.
                if asked == 2 or error.retryable or not 400 <= error.status < 500:
                    raise
        tell(
            pipeline.hooks.on_transfer,
            TransferEvent("download", path, size, (time.perf_counter() - started) * 1000, via),
        )

    async def _ask(self, budget: Budget, path: str) -> bytes | Signed:
        """Ask for a file: return its content, or the signed URL to get it from."""
        pipeline = self._client._pipeline
        request = self._request(dump(ReadRequest(op="read", path=path).to_dict()))

        async def consume(reply: AsyncReply) -> bytes | Signed:
            body = await content(reply, _LARGEST_INLINE)
            if len(body) >= _LARGE_ANSWER and (data := _decode_large(reply.status, body)) is not None:
                return data
            answer = read_answer(reply.status, reply.headers, body, pipeline.config.api_key)
            return parse(answer, lambda body: _content(sync_files.parse(body)))

        return await pipeline.perform(budget, lambda: request, consume)

    def _request(self, body: bytes | AsyncBody) -> AsyncRequest:
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

    async def write_file(
        self,
        path: str,
        data: AsyncData,
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
        source = await source_of(data, LARGEST_FILE)
        try:
            await self._uploads.write(path, source, carried(progress), timeout)
        except Stopped as stopped:
            raised = stopped.error
        else:
            return
        finally:
            source.close()
        raise raised

    async def upload(
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
            await self.write_file(remote_path, file, progress=progress, timeout=timeout)

    async def write_files(
        self, files: Mapping[str, AsyncData], *, timeout: float | None = None
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
        small: list[tuple[str, Source]] = []
        large: list[tuple[str, Source]] = []
        with contextlib.ExitStack() as opened:
            for path, data in files.items():
                try:
                    check_path(path)
                    source = await source_of(data, LARGEST_FILE)
                except ArkerError as error:
                    outcomes[path] = Failure(error)
                    continue
                opened.callback(source.close)
                (small if source.size <= LARGEST_CHUNK else large).append((path, source))
            jobs: list[Callable[[], Any]] = [
                *(
                    functools.partial(self._uploads.write_batch, batch, outcomes, timeout)
                    for batch in batches(
                        small, lambda one: one[1].size, most_bytes=LARGEST_CHUNK, most_items=MOST_ENTRIES
                    )
                ),
                *(
                    functools.partial(self._uploads.write_one, path, source, outcomes, timeout)
                    for path, source in large
                ),
            ]
            for job in await async_gather(jobs, AT_A_TIME):
                job.get()
        return outcomes


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
