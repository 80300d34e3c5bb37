"""Middleware around every request and WebSocket: request id, log line, counters, and a response to unexpected
errors."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from typing import Final
from urllib.parse import quote, unquote

from starlette.exceptions import HTTPException
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from arker.local.service.errors import ApiError

from .bounds import UnderWay
from .endpoint import COUNTED, METHODS, SLASH
from .errors import DisconnectedError, HttpError, error_response
from .metrics import Metrics
from .upgrades import TAKEN

log: logging.Logger = logging.getLogger("arker.web")
access: logging.Logger = logging.getLogger("arker.request")

_REQUEST_ID: Final = re.compile(r"[0-9A-Za-z_.-]{1,64}", re.ASCII)
#: Close codes of WebSockets (RFC 6455): the caller is refused, the deployment failed.
_REFUSED: Final = 1008
_FAILED: Final = 1011
#: Headers that each response has; the response from a port of a computer may have its own.
_ID_HEADER: Final = b"x-request-id"
_CONTRACT_HEADER: Final = b"arker-contract"


class Edge:
    """The outermost middleware."""

    def __init__(self, app: ASGIApp, metrics: Metrics, under_way: UnderWay, contracts: str) -> None:
        self._app = app
        self._metrics = metrics
        self._contracts = contracts.encode()
        self._under_way = under_way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or serve one WebSocket to its end."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = scope["arker.id"] = _request_id(scope)
        reply = _Reply(scope, receive, send, request_id, self._contracts)
        try:
            await self._app(scope, receive, reply.send)
        except ApiError as error:
            await reply.fail(error)
        except HTTPException as error:
            await reply.fail(_unrouted(scope, error))
        except DisconnectedError:
            reply.status = reply.status or 499
        except asyncio.CancelledError:
            # The grace period of a stop is over. The cancellation is swallowed because the task ends here, and the
            # server would log it as an error.
            await reply.fail(
                ApiError(
                    "internal", "the deployment stopped before the request was done; its outcome is unknown"
                )
            )
        except Exception:
            log.exception("a request failed unexpectedly: id=%s", request_id)
            await reply.fail(
                ApiError("internal", "the deployment failed; its log says why, under the id of this request")
            )
        finally:
            if (counted := scope.get(COUNTED)) is not None:
                self._under_way.end(counted)
            seconds = time.perf_counter() - began
            if scope.get(TAKEN):
                reply.status = 101
            route = scope.get("route")
            template = route.path_format if isinstance(route, Route | WebSocketRoute) else "-"
            method = _method(scope)
            self._metrics.request(method, template, reply.status, seconds)
            if access.isEnabledFor(logging.INFO):
                access.info(
                    "method=%s route=%s status=%d ms=%.2f id=%s vm=%s key=%s%s",
                    method, template, reply.status, seconds * 1000, request_id,
                    _loggable(scope), scope.get("arker.key", "-"),
                    f" child={scope['arker.child']}" if "arker.child" in scope else "",
                )  # fmt: skip


class Prefix:
    """Adds the `/api` prefix to paths below `/v1`. Clients of contract 0.1 put `/api` into the path; those of 0.3 put
    it into the base URL or leave it out. An encoded slash stays part of its segment, because names may contain it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its full path."""
        if scope.get("path", "").startswith("/v1/"):
            scope["path"] = f"/api{scope['path']}"
            scope["raw_path"] = b"/api" + scope["raw_path"]
        if b"%2f" in scope.get("raw_path", b"").lower():
            path = scope["raw_path"].replace(b"%2f", b"%2F").replace(b"%2F", quote(SLASH).encode())
            scope["path"] = unquote(path.decode("ascii", "replace"))
        await self._app(scope, receive, send)


class _Reply:
    """What has been sent for a request: the status (101 for an accepted WebSocket, 0 for nothing yet)."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str, contracts: bytes) -> None:
        self._contracts = contracts
        self._scope = scope
        self._receive = receive
        self._send = send
        self._request_id = request_id
        self._closed = False
        self.status = 0

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind in ("http.response.start", "websocket.http.response.start"):
            self.status = message["status"]
        elif kind == "websocket.accept":
            self.status = 101
            message.setdefault("headers", [])
        elif kind == "websocket.close":
            self._closed = True
            # Closing a WebSocket before it is accepted refuses the handshake: the server answers 403.
            self.status = self.status or 403
        if "headers" in message:
            headers = [one for one in message["headers"] if one[0] not in (_ID_HEADER, _CONTRACT_HEADER)]
            headers.append((_ID_HEADER, self._request_id.encode()))
            # Lets clients see which contracts are served without another request.
            headers.append((_CONTRACT_HEADER, self._contracts))
            message["headers"] = headers
        await self._send(message)

    async def fail(self, error: ApiError) -> None:
        """Send an error, if that is still possible."""
        if self._scope["type"] == "websocket":
            await self._fail_websocket(error)
        elif not self.status and not self._scope.get(TAKEN):
            await error_response(error, self._scope)(self._scope, self._receive, self.send)

    async def _fail_websocket(self, error: ApiError) -> None:
        if self._closed or self.status not in (0, 101):
            return
        if not self.status and "websocket.http.response" in self._scope.get("extensions", {}):
            # Starlette's responses select the message types of this extension by the type of the scope.
            await error_response(error, self._scope)(self._scope, self._receive, self.send)
            return
        code = _FAILED if error.code == "internal" else _REFUSED
        # The reason in a close frame has at most 123 bytes.
        reason = f"{error.code}: {error.message}".encode()[:123].decode(errors="ignore")
        await self.send({"type": "websocket.close", "code": code, "reason": reason})


def _unrouted(scope: Scope, error: HTTPException) -> ApiError:
    """Return the error for a path or method that the router does not know."""
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return HttpError(
            "unsupported_method",
            f"{scope['method']} is not possible here; what is: {allowed}",
            {"Allow": allowed},
        )
    return ApiError("not_found", "there is no such path; the API is below /api/v1/")


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == _ID_HEADER:
            text: str = value.decode("latin-1")
            if _REQUEST_ID.fullmatch(text):
                return text
    return os.urandom(8).hex()


def _method(scope: Scope) -> str:
    if scope["type"] == "websocket":
        return "WEBSOCKET"
    return scope["method"] if scope["method"] in METHODS else "-"


def _loggable(scope: Scope) -> str:
    vm_id: str = scope.get("path_params", {}).get("vm_id", "-")
    return vm_id if _REQUEST_ID.fullmatch(vm_id) else "-"
