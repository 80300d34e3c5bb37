"""Bodies of requests: limited in size and time, and parsed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, TypeVar

from pydantic import BaseModel
from starlette.requests import Request

from arker.local.service.errors import ApiError
from arker.local.service.semaphores import ByteSemaphores

from .errors import DisconnectedError, HttpError
from .headers import header
from .schemas import parse, parse_large
from .slices import MAX_STRUCTURE

#: Maximum size of a JSON body in bytes, and of all bodies held at once for one organization. Bodies no larger than a
#: request's head are not counted, as heads are not.
MAX_BODY: Final = 32 * 1024 * 1024
MAX_BODIES: Final = 128 * 1024 * 1024
#: The same for all organizations together.
MAX_ALL_BODIES: Final = 512 * 1024 * 1024
_HEAD_LIKE: Final = 16 * 1024
#: Maximum size in bytes of a body that is parsed on the event loop; larger ones are parsed in a thread.
SMALL_BODY: Final = 64 * 1024
#: Seconds within which the next piece of a body has to arrive, and all of a JSON body.
PIECE_WAIT: Final = 30.0
BODY_WAIT: Final = 300.0
#: Key in the scope of a request whose body may be read without waiting: a function that returns all of it, or None if
#: it has not arrived yet.
ARRIVED: Final = "arker.arrived"

B = TypeVar("B", bound=BaseModel)


def body_semaphores() -> ByteSemaphores:
    """Return the limits of the memory for request bodies."""
    return ByteSemaphores(MAX_BODIES, MAX_ALL_BODIES)


def room(request: Request, limit: int) -> contextlib.AbstractAsyncContextManager[None]:
    """Reserve memory for the body of a request."""
    length = content_length(request)
    size = limit if length is None else min(length, limit)
    if size <= _HEAD_LIKE:
        return contextlib.nullcontext()
    semaphores: ByteSemaphores = request.app.state.body_semaphores
    return semaphores.held(request.scope["arker.who"].org_id, size)


async def body(
    request: Request, model: type[B], limit: int = SMALL_BODY, *, structure: int = MAX_STRUCTURE
) -> B:
    """Read and parse the JSON body of a request.

    Args:
        limit: its maximum size in bytes.
        structure: maximum number of its bytes outside of strings.

    Raises:
        ApiError: it is invalid, too large or too slow.
    """
    async with room(request, limit):
        return await received(request, model, limit, structure=structure)


async def received(
    request: Request,
    model: type[B],
    limit: int = SMALL_BODY,
    *,
    array: str | None = None,
    structure: int = MAX_STRUCTURE,
    check: Callable[[B], None] = lambda _: None,
) -> B:
    """Like `body`, for a caller that has reserved the memory for it.

    Args:
        array: the field of the model that may have many elements; `structure` applies to each of them, and to the rest.
        check: further checks of the parsed body; they run in a worker thread when it is large.
    """
    media_type = header(request, b"content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ApiError(
            "unsupported_media_type", "the body must be JSON: send it with `Content-Type: application/json`"
        )
    data = await raw(request, limit)
    if len(data) <= SMALL_BODY:
        parsed = parse(model, data)
        check(parsed)
        return parsed

    # Not in two threads at a time.
    model.model_rebuild()

    def work() -> B:
        parsed = parse_large(model, data, array, structure)
        check(parsed)
        return parsed

    return await asyncio.to_thread(work)


async def raw(request: Request, limit: int, *, encodings: Sequence[str] = ("identity",)) -> bytearray:
    """Read the bytes of a body, for a caller that has reserved the memory for it.

    Args:
        limit: its maximum size in bytes.
        encodings: the content codings that it may have; it is returned as it is sent.

    Raises:
        ApiError: it has another coding, or is too large or too slow.
    """
    if encoding(request) not in encodings:
        raise ApiError("unsupported_encoding", f"Content-Encoding: expected {' or '.join(encodings)}")
    length = content_length(request) or 0
    if length > limit:
        raise _too_large(limit)
    arrived: Callable[[], bytearray | None] | None = request.scope.get(ARRIVED)
    if arrived is not None and (whole := arrived()) is not None:
        if len(whole) > limit:
            raise _too_large(limit)
        return whole
    # Of its whole size at once: a large bytearray that grows is copied again and again.
    body = bytearray(length)
    size = 0
    async for piece in pieces(request, BODY_WAIT):
        if size + len(piece) > limit:
            raise _too_large(limit)
        body[size : size + len(piece)] = piece
        size += len(piece)
    return body


def encoding(request: Request) -> str:
    """Return the content coding of a request's body, such as `gzip`."""
    return header(request, b"content-encoding", "identity").lower()


def content_length(request: Request) -> int | None:
    """Return the Content-Length of a request; None if it has none."""
    # The HTTP parser has refused anything that is not a number.
    length = header(request, b"content-length", None)
    return None if length is None else int(length)


def _too_large(limit: int) -> ApiError:
    return ApiError(
        "payload_too_large",
        f"the body of this request has at most {limit} bytes",
        details={"maximum_bytes": limit},
    )


async def pieces(request: Request, wait: float) -> AsyncIterator[bytes]:
    """Yield a body as it arrives, with a deadline for the next piece and one for the whole."""
    deadline = time.monotonic() + wait
    while True:
        left = deadline - time.monotonic()
        try:
            async with asyncio.timeout(min(PIECE_WAIT, left)):
                message = await request.receive()
        except TimeoutError:
            raise HttpError(
                "bad_request",
                f"the body did not arrive in time: {PIECE_WAIT:g} s for the next piece, {wait:g} s for all",
                {"Connection": "close"},
            ) from None
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        if message["body"]:
            yield message["body"]
        if not message.get("more_body", False):
            return


class cancelled_with:  # noqa: N801 - used like `contextlib.suppress`
    """Cancel the block when the client disconnects. The watching task is started only for a block that takes some
    time."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._watcher: asyncio.Task[None] | None = None
        self._gone = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._timer = task.get_loop().call_later(0.1, self._begin)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._gone and isinstance(error, asyncio.CancelledError):
            self._task.uncancel()
            raise DisconnectedError from None

    def _begin(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._task.cancel()
