"""Errors as HTTP answers."""

from __future__ import annotations

import math
from typing import Final

from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Scope

from arker.local.service.errors import ApiError

STATUS: Final = {
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "command_not_found": 404,
    "unsupported_method": 405,
    "already_exists": 409,
    "conflict": 409,
    "vm_busy": 409,
    "idempotency_conflict": 409,
    "port_closed": 409,
    "payload_too_large": 413,
    "unsupported_range": 416,
    "rate_limited": 429,
    "quota_exceeded": 429,
    "internal": 500,
    "bad_gateway": 502,
    "unavailable": 503,
}


class HttpError(ApiError):
    """A refusal by the HTTP layer, with response headers of its own."""

    def __init__(self, code: str, message: str, headers: dict[str, str]) -> None:
        super().__init__(code, message)
        self.headers = headers


class DisconnectedError(Exception):
    """The client closed the connection; nobody waits for an answer."""


def status_of(error: ApiError) -> int:
    """The HTTP status of an error; `unsupported_*` codes that are not in `STATUS` answer 400."""
    return STATUS.get(error.code, 400)


def error_body(error: ApiError, request_id: str) -> bytes:
    """The envelope of an error."""
    return to_json(
        {"ok": False, "error": {"code": error.code, "message": error.message, "request_id": request_id}}
    )


def error_response(error: ApiError, scope: Scope) -> Response:
    """The answer that carries an error. Every error of a request is rendered here, so that what a dialect of the
    contract has of its own is decided in one place, from the request's scope."""
    headers = dict(error.headers) if isinstance(error, HttpError) else {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.code == "unauthorized":
        headers["WWW-Authenticate"] = "Bearer"
    body = error_body(error, scope["arker.id"])
    return Response(body, status_of(error), headers, "application/json")
