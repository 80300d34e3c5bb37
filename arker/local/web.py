"""The web app: requests into calls of the platform, and whatever comes of it into answers of the contract."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import math
import re
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar, Final, TypeVar

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .digests import Digests
from .engine.protocol import Readable
from .errors import ApiError
from .metrics import Metrics
from .platform import PLATFORM, PROVIDER, REGION, Platform, Principal, timestamp
from .ratelimit import RateLimit
from .requests import (
    MAX_RUN_BODY,
    Body,
    ForkByNameRequest,
    ForkRequest,
    ListQuery,
    RunRequest,
    SyncRequest,
    parse,
    parse_query,
)

log: logging.Logger = logging.getLogger("arker.web")
access: logging.Logger = logging.getLogger("arker.request")

#: Bytes of a JSON body at the most, and of all that are held at once for one organization. What is no larger
#: than a head is not counted, as heads are not.
MAX_BODY: Final = 32 * 1024 * 1024
MAX_BODIES: Final = 128 * 1024 * 1024
_SMALL_BODY: Final = 16 * 1024
#: Seconds within which the next piece of a body has to come, and all of a JSON body.
PIECE_WAIT: Final = 30.0
BODY_WAIT: Final = 300.0
#: Bytes read from a file at a time.
_PIECE: Final = 1024 * 1024

_REQUEST_ID: Final = re.compile(r"[0-9A-Za-z_.-]{1,64}", re.ASCII)
_IDEMPOTENCY_KEY: Final = re.compile(r"[!-~]{1,64}", re.ASCII)
_HOST: Final = re.compile(
    r"[0-9A-Za-z.-]{1,255}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?", re.ASCII
)

B = TypeVar("B", bound=Body)


class DisconnectedError(Exception):
    """The client closed the connection; nobody waits for an answer."""


def create_app(
    platform: Platform,
    metrics: Metrics,
    *,
    rate_limit: float = 0,
    public_url: str | None = None,
    own_url: str,
) -> Starlette:
    """The app of both APIs.

    Args:
        rate_limit: requests a second that each organization may make; 0 for no limit.
        public_url: where clients reach the deployment; if None, wherever the request says that it was sent
            to.
        own_url: where the deployment listens, for requests that do not say.
    """
    routes = [
        Route("/api/v1/health", Health),
        Route("/api/v1/regions", Regions),
        Route("/api/v1/whoami", Whoami),
        Route("/api/v1/vms/list", VmList),
        Route("/api/v1/vms/fork", ForkByName),
        Route("/api/v1/vms/{vm_id}/run", Run),
        Route("/api/v1/vms/{vm_id}/sync", Sync),
        Route("/api/v1/vms/{vm_id}/fork", Fork),
        Route("/api/v1/vms/{vm_id}", Vm),
        Route("/api/v1/vms/{vm_id}/{operation:path}", UnknownOperation),
        Route("/signed/{token}", Signed),
        Route("/metrics", MetricsText),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Edge, metrics=metrics)],
        exception_handlers={HTTPException: _http_exception},
    )
    app.router.redirect_slashes = False
    app.state.platform = platform
    app.state.metrics = metrics
    app.state.limit = RateLimit(rate_limit)
    app.state.rooms = defaultdict(lambda: Room(MAX_BODIES))
    app.state.digests = Digests()
    app.state.public_url = public_url
    app.state.own_url = own_url
    return app


class Edge:
    """Around everything: the request's id, its line in the log, its count, and an envelope for whatever went
    wrong."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = time.perf_counter()
        request_id = _request_id(scope)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(raw=message["headers"])["X-Request-Id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ApiError as error:
            if not status:
                await error_response(error, request_id)(scope, receive, send_with_id)
        except DisconnectedError:
            status = status or 499
        except asyncio.CancelledError:
            # The grace of a stop is over. Swallowed, as this is the end of the task, and the server would log
            # it as a fault.
            if not status:
                cut = ApiError(
                    "internal", "the deployment stopped before this was done; what came of it is not known"
                )
                await error_response(cut, request_id)(scope, receive, send_with_id)
        except Exception:
            log.exception("a request failed unexpectedly: id=%s", request_id)
            if not status:
                internal = ApiError(
                    "internal", "the deployment failed; its log says why, under the id of this request"
                )
                await error_response(internal, request_id)(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - began
            route = scope.get("route")
            template = route.path_format if isinstance(route, Route) else "-"
            method = scope["method"] if scope["method"] in _METHODS else "-"
            self._metrics.request(method, template, status, seconds)
            if access.isEnabledFor(logging.INFO):
                access.info(
                    "method=%s route=%s status=%d ms=%.2f id=%s vm=%s key=%s",
                    method, template, status, seconds * 1000, request_id,
                    _loggable(scope), scope.get("arker.key", "-"),
                )  # fmt: skip


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text: str = value.decode("latin-1")
            if _REQUEST_ID.fullmatch(text):
                return text
    return secrets.token_hex(8)


def _loggable(scope: Scope) -> str:
    vm_id: str = scope.get("path_params", {}).get("vm_id", "-")
    return vm_id if _REQUEST_ID.fullmatch(vm_id) else "-"


def error_body(error: ApiError, request_id: str) -> bytes:
    """The envelope of an error."""
    return to_json(
        {"ok": False, "error": {"code": error.code, "message": error.message, "request_id": request_id}}
    )


def error_response(error: ApiError, request_id: str) -> Response:
    """The answer that carries an error."""
    headers = dict(error.headers)
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.code == "unauthorized":
        headers["WWW-Authenticate"] = "Bearer"
    return Response(error_body(error, request_id), error.status, headers, "application/json")


async def _http_exception(request: Request, error: Exception) -> Response:
    """What the router refuses: a path or a method that is not there."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        raise ApiError(
            "unsupported_method",
            f"{request.method} is not possible here; what is: {allowed}",
            headers={"Allow": allowed},
        )
    raise ApiError("not_found", "there is no such path; the API is below /api/v1/")


class Endpoint(HTTPEndpoint):
    """A route: its methods are those of the class."""

    #: Whether it answers without a key.
    public: ClassVar[bool] = False

    async def dispatch(self) -> None:
        """Find out who asks, before anything else is looked at, then answer."""
        request = Request(self.scope, self.receive)
        name = "get" if request.method == "HEAD" else request.method.lower()
        handler: Callable[[Request], Awaitable[Response]] | None = (
            getattr(self, name, None) if request.method in self._allowed_methods else None
        )
        if handler is None:
            await self.method_not_allowed(request)
        assert handler is not None
        if not self.public:
            _authenticate(request)
        response = await handler(request)
        await response(self.scope, self.receive, self.send)


def _authenticate(request: Request) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if not key:
        raise ApiError("unauthorized", "no API key: send it as `Authorization: Bearer <api key>`")
    if scheme.lower() != "bearer":
        raise ApiError("unauthorized", "the Authorization header must be `Bearer <api key>`")
    principal = _platform(request).authenticate(key.strip(" "))
    request.scope["arker.who"] = principal
    request.scope["arker.key"] = principal.key_id
    wait = request.app.state.limit.wait(principal.org_id, time.monotonic())
    if wait:
        raise ApiError("rate_limited", "too many requests a second from this organization", retry_after=wait)


def _platform(request: Request) -> Platform:
    platform: Platform = request.app.state.platform
    return platform


def _who(request: Request) -> Principal:
    who: Principal = request.scope["arker.who"]
    return who


def _json(content: Any) -> Response:
    return Response(
        content if isinstance(content, bytes) else to_json(content), media_type="application/json"
    )


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise ApiError("bad_request", "Idempotency-Key: expected 1 to 64 visible ASCII characters")
    return key


def _base_url(request: Request) -> str:
    """Where signed URLs should point.

    The Host header is believed: only the caller, whose key has been checked, sees the URL that is made of it,
    and it is right behind a tunnel or a published port, where our own idea of our address is not.
    """
    if request.app.state.public_url is not None:
        return str(request.app.state.public_url)
    host = request.headers.get("host", "")
    return f"http://{host}" if _HOST.fullmatch(host) else str(request.app.state.own_url)


def _content_length(request: Request) -> int | None:
    # The HTTP parser has refused anything that is not a number.
    length = request.headers.get("content-length")
    return None if length is None else int(length)


class Room:
    """So many bytes that may be held at once. Who does not fit in waits, first come, first served."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def held(self, size: int) -> AsyncIterator[None]:
        """Hold `size` bytes for as long as the block takes."""
        async with self._turn:
            while self._free < size:
                self._freed.clear()
                await self._freed.wait()
            self._free -= size
        try:
            yield
        finally:
            self._free += size
            self._freed.set()


def _room(request: Request, limit: int) -> contextlib.AbstractAsyncContextManager[None]:
    """Room for the body of a request. Each organization has its own, so that none waits for another."""
    length = _content_length(request)
    size = limit if length is None else min(length, limit)
    if size <= _SMALL_BODY:
        return contextlib.nullcontext()
    room: Room = request.app.state.rooms[_who(request).org_id]
    return room.held(size)


async def _body(request: Request, model: type[B], limit: int = MAX_BODY) -> B:
    async with _room(request, limit):
        return await _received(request, model, limit)


async def _received(request: Request, model: type[B], limit: int = MAX_BODY) -> B:
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ApiError(
            "unsupported_media_type", "the body must be JSON: send it with `Content-Type: application/json`"
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError("unsupported_encoding", "the body must not be compressed")
    if (_content_length(request) or 0) > limit:
        raise _too_large(limit)
    body = bytearray()
    async for piece in _pieces(request, BODY_WAIT):
        body += piece
        if len(body) > limit:
            raise _too_large(limit)
    return parse(model, body)


def _too_large(limit: int) -> ApiError:
    return ApiError("payload_too_large", f"the body of this request has at most {limit} bytes")


async def _pieces(request: Request, wait: float) -> AsyncIterator[bytes]:
    """A body as it comes, with a deadline for the next piece and one for the whole."""
    deadline = time.monotonic() + wait
    while True:
        left = deadline - time.monotonic()
        try:
            async with asyncio.timeout(min(PIECE_WAIT, left)):
                message = await request.receive()
        except TimeoutError:
            slow = ApiError(
                "bad_request",
                f"the body did not arrive in time: {PIECE_WAIT:g} s for the next piece, {wait:g} s for all",
            )
            slow.headers["Connection"] = "close"
            raise slow from None
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        if message["body"]:
            yield message["body"]
        if not message.get("more_body", False):
            return


@contextlib.asynccontextmanager
async def _cancelled_with(request: Request) -> AsyncIterator[None]:
    """Cancel the block when the client goes away. Only a block that takes its time pays for a watching task."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    watcher: asyncio.Task[None] | None = None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    def begin() -> None:
        nonlocal watcher
        watcher = loop.create_task(watch())

    handle = loop.call_later(0.1, begin)
    try:
        yield
    except asyncio.CancelledError:
        if gone:
            task.uncancel()
            raise DisconnectedError from None
        raise
    finally:
        handle.cancel()
        if watcher is not None:
            watcher.cancel()


class Health(Endpoint):
    """Whether computers can be forked and used."""

    public = True

    async def get(self, request: Request) -> Response:
        """GET /api/v1/health."""
        problem = await _platform(request).health()
        if problem is not None:
            raise ApiError("unavailable", problem, retry_after=10)
        return _json({"status": "ok", "timestamp": timestamp(time.time_ns() // 1_000_000)})


class Regions(Endpoint):
    """Where computers can live: here."""

    public = True

    async def get(self, request: Request) -> Response:
        """GET /api/v1/regions."""
        region = {
            "provider": PROVIDER,
            "region": REGION,
            "endpoint": _base_url(request),
            "platforms": [PLATFORM],
        }
        return _json({"regions": [region]})


class Whoami(Endpoint):
    """Whose key it is."""

    async def get(self, request: Request) -> Response:
        """GET /api/v1/whoami."""
        return _json({"org_id": _who(request).org_id, "org_name": _who(request).org_name})


class VmList(Endpoint):
    """The organization's computers."""

    async def get(self, request: Request) -> Response:
        """GET /api/v1/vms/list."""
        query = parse_query(ListQuery, request.query_params.multi_items())
        return _json(_platform(request).list(_who(request), query))


class ForkByName(Endpoint):
    """Fork what has a name."""

    async def post(self, request: Request) -> Response:
        """POST /api/v1/vms/fork."""
        key = _idempotency_key(request)
        body = await _body(request, ForkByNameRequest)
        return _json(await _platform(request).fork_by_name(_who(request), body, key))


class Fork(Endpoint):
    """Fork a computer."""

    async def post(self, request: Request) -> Response:
        """POST /api/v1/vms/{vm_id}/fork."""
        key = _idempotency_key(request)
        body = await _body(request, ForkRequest)
        return _json(await _platform(request).fork(_who(request), request.path_params["vm_id"], body, key))


class Run(Endpoint):
    """Run a command."""

    async def post(self, request: Request) -> Response:
        """POST /api/v1/vms/{vm_id}/run."""
        key = _idempotency_key(request)
        body = await _body(request, RunRequest, MAX_RUN_BODY)
        async with _cancelled_with(request):
            return _json(await _platform(request).run(_who(request), request.path_params["vm_id"], body, key))


class Sync(Endpoint):
    """Read or write files."""

    async def post(self, request: Request) -> Response:
        """POST /api/v1/vms/{vm_id}/sync."""
        # Of a write the contents are held to its end.
        async with _room(request, MAX_BODY):
            body = await _received(request, SyncRequest)
            vm_id = request.path_params["vm_id"]
            return _json(await _platform(request).sync(_who(request), vm_id, body, _base_url(request)))


class Vm(Endpoint):
    """A computer."""

    async def get(self, request: Request) -> Response:
        """GET /api/v1/vms/{vm_id}."""
        return _json(await _platform(request).look(_who(request), request.path_params["vm_id"]))

    async def delete(self, request: Request) -> Response:
        """DELETE /api/v1/vms/{vm_id}."""
        await _platform(request).delete(_who(request), request.path_params["vm_id"])
        return _json({"ok": True})


class UnknownOperation(Endpoint):
    """Anything else below a computer."""

    async def dispatch(self) -> None:
        """Refuse it, whatever the method, to whoever may ask."""
        _authenticate(Request(self.scope, self.receive))
        raise ApiError(
            "command_not_found", "there is no such operation on a computer; there are run, sync and fork"
        )


class Signed(Endpoint):
    """Files by signed URL: the token is all the authority there is, and no key is looked at."""

    public = True

    async def put(self, request: Request) -> Response:
        """PUT /signed/{token}."""
        # As long as the URL itself lives: a slow line may need that long for 100 MB.
        pieces = _pieces(request, 900)
        await _platform(request).receive_signed(
            request.path_params["token"], _content_length(request), pieces
        )
        return Response(status_code=200)

    async def get(self, request: Request) -> Response:
        """GET /signed/{token}, or a range of it."""
        if request.method == "HEAD":
            raise ApiError("forbidden", "this URL is signed for GET, not HEAD")
        file = await _platform(request).open_signed(request.path_params["token"])
        etag = f'"{file.version}"'
        headers = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-store"}
        if_range = request.headers.get("if-range")
        wanted = request.headers.get("range") if if_range in (None, etag) else None
        part = byte_range(wanted, file.size)
        start, end = part or (0, file.size)
        headers["Content-Length"] = str(end - start)
        if part is not None:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
        digests: Digests = request.app.state.digests
        if file.fd is not None and (digest := await digests.of(file.fd)) is not None:
            headers["Repr-Digest"] = digest
        return StreamingResponse(
            _send_file(file, start, end), 206 if part else 200, headers, "application/octet-stream"
        )


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The bytes `[start, end)` that a Range header asks for; None for all, or for what may be ignored.

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
        raise ApiError(
            "unsupported_range",
            f"the file has {size} bytes, so none of {header}",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end


async def _send_file(file: Readable, start: int, end: int) -> AsyncIterator[bytes]:
    async with file:
        while start < end:
            piece = await file.read(start, min(_PIECE, end - start))
            start += len(piece)
            # Before the last piece goes: a client must never take a mixture of two versions for the file.
            if not piece or (start >= end and await file.current_version() != file.version):
                log.warning("a file changed while it was sent; the answer was cut off")
                raise DisconnectedError
            yield piece


class MetricsText(Endpoint):
    """Counters for Prometheus: without a key for this machine only."""

    public = True

    async def get(self, request: Request) -> Response:
        """GET /metrics."""
        # Behind a public URL there is a proxy, and what comes through it may come from this machine, too.
        if (
            request.app.state.public_url is not None
            or request.client is None
            or not ipaddress.ip_address(request.client.host).is_loopback
        ):
            _authenticate(request)
        platform = _platform(request)
        gauges = await platform.gauges()
        return Response(request.app.state.metrics.text(gauges), media_type="text/plain; version=0.0.4")
