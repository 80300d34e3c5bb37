"""Ports of computers: a TCP tunnel, HTTP by path and by host name, and links for browsers."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import ClassVar, Final
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from arker.local.http.endpoint import Endpoint, authenticate, base_url, json, platform, who
from arker.local.http.proxy import COOKIE, KEY_HEADER, Target, forward, relay
from arker.local.http.rendering import timestamp
from arker.local.http.upgrades import Taken, upgrade_of
from arker.local.service.errors import ApiError
from arker.local.service.ports import ByteStream

#: Query parameter of a signed link.
TICKET: Final = "arker-ticket"
#: `<vm>-<port>.localhost`: browsers resolve such names to this machine, and give each an origin of its own.
_HOST: Final = re.compile(
    r"([0-9a-z]{26}(?:_[0-9a-z]+)?)-([0-9]{1,5})\.localhost(?::[0-9]{1,5})?", re.ASCII | re.IGNORECASE
)


class Tunnel(Endpoint):
    """A TCP connection to a port, with `Upgrade: tcp`."""

    operations: ClassVar[Mapping[str, str]] = {"post": "connectPort"}

    async def post(self, request: Request) -> Response:
        """POST /api/v1/local/vms/{vm_id}/ports/{port}."""
        services = platform(request).ports
        port: int = request.path_params["port"]
        vm_id = services.owned(who(request), request.path_params["vm_id"], port)
        take = upgrade_of(request, "tcp")
        stream = await services.open(vm_id, port)
        try:
            upgraded = await take([(b"upgrade", b"tcp")])
        except BaseException:
            await stream.close()
            raise
        await relay(upgraded, stream)
        return Taken()


class Link(Endpoint):
    """A URL that opens one port in a browser, without the key."""

    operations: ClassVar[Mapping[str, str]] = {"post": "linkPort"}

    async def post(self, request: Request) -> Response:
        """POST /api/v1/local/vms/{vm_id}/ports/{port}/link."""
        services = platform(request).ports
        port: int = request.path_params["port"]
        vm_id = services.owned(who(request), request.path_params["vm_id"], port)
        token, expires = services.link(who(request), vm_id, port)
        origin = _origin(base_url(request), vm_id, port)
        url = f"{origin}/?{urlencode({TICKET: token})}"
        return json({"url": url, "origin": origin, "expires_at": timestamp(expires * 1000)})


class ByPath(Endpoint):
    """HTTP to a port by path, with the key."""

    async def dispatch(self) -> None:
        """Forward the request, whatever the method."""
        request = Request(self.scope, self.receive)
        port: int = request.path_params["port"]
        own, authorization = _key_header(request)
        authenticate(request, own.encode())
        vm_id = platform(request).ports.owned(who(request), request.path_params["vm_id"], port)
        # The raw path, so that escapes are kept.
        path = b"/" + request.scope["raw_path"].split(b"/http/", 1)[-1]
        target = Target(
            _with_query(path, request), b"localhost:%d" % port, own_origin=False, authorization=authorization
        )
        await forward(request, self.send, await _open(request, vm_id, port), target)


class ByHost:
    """Middleware: forwards requests to `<vm>-<port>.localhost` to that port, and passes all others on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        host: bytes = next((value for name, value in scope.get("headers", ()) if name == b"host"), b"")
        found = _HOST.fullmatch(host.decode("latin-1")) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        label, port = found[1], int(found[2])
        vm_id = label[:26].upper() + label[26:]
        if TICKET in request.query_params:
            await _enter(request, vm_id, port)(scope, receive, send)
            return
        authorization = _let_in(request, vm_id, port)
        path = _with_query(scope["raw_path"], request)
        target = Target(path, host, own_origin=True, authorization=authorization)
        await forward(request, send, await _open(request, vm_id, port), target)


def _enter(request: Request, vm_id: str, port: int) -> Response:
    """Answer a signed link: store the ticket in a cookie of this origin, and redirect to a URL without it."""
    ticket = request.query_params[TICKET]
    left = platform(request).ports.opened_by(ticket, vm_id, port) - int(time.time())
    rest = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != TICKET])
    # A path that begins with two slashes would redirect to another host.
    path = "/" + request.url.path.lstrip("/")
    response = RedirectResponse(path + ("?" + rest if rest else ""), 303)
    response.set_cookie(COOKIE, ticket, max_age=left, httponly=True, samesite="lax")
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _let_in(request: Request, vm_id: str, port: int) -> bool:
    """Check that a request may use a port; return whether its `Authorization` is meant for the server."""
    services = platform(request).ports
    own, authorization = _key_header(request)
    cookie = request.cookies.get(COOKIE)
    if cookie is not None and own == "authorization" and not _is_key(request):
        services.opened_by(cookie, vm_id, port)
        return True
    authenticate(request, own.encode())
    services.owned(who(request), vm_id, port)
    return authorization


def _key_header(request: Request) -> tuple[str, bool]:
    """Return the header that has the key, and whether `Authorization` is meant for the server."""
    if KEY_HEADER in request.headers:
        return KEY_HEADER, not _is_key(request)
    return "authorization", False


def _is_key(request: Request) -> bool:
    """Return whether `Authorization` has a key of this deployment."""
    try:
        platform(request).access.authenticate(
            request.headers.get("authorization", "").partition(" ")[2].strip(" ")
        )
    except ApiError:
        return False
    return True


async def _open(request: Request, vm_id: str, port: int) -> ByteStream:
    try:
        return await platform(request).ports.open(vm_id, port)
    except ApiError as error:
        if error.code == "port_closed":
            raise ApiError("bad_gateway", error.message) from error
        raise


def _with_query(path: bytes, request: Request) -> bytes:
    query: bytes = request.scope["query_string"]
    return path + b"?" + query if query else path


def _origin(base: str, vm_id: str, port: int) -> str:
    parts = urlsplit(base)
    where = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{vm_id.lower()}-{port}.localhost{where}"


_PORT: Final = "/api/v1/local/vms/{vm_id}/ports/{port:int}"
ROUTES: Final = [
    Route(_PORT, Tunnel),
    Route(f"{_PORT}/link", Link),
    Route(f"{_PORT}/http/{{path:path}}", ByPath),
]
