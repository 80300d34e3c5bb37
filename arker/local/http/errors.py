"""Errors as HTTP responses, in the envelope of either contract.

Clients of contract 0.1 require `"ok": false` in it; those of 0.3 require `error` to be its only key. Paths that only
0.1 has answer in its format; all others in that of 0.3, except to the published clients of 0.1.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Scope

from arker.local.service.errors import ApiError

from .answers import Answer
from .rendering import timestamp

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
    "resource_busy": 409,
    "invalid_state": 409,
    "expired": 410,
    "method_not_allowed": 405,
    "unsupported_operation": 422,
    "unsupported_range": 416,
    "rate_limited": 429,
    "quota_exceeded": 429,
    "internal": 500,
    "bad_gateway": 502,
    "unavailable": 503,
}


class HttpError(ApiError):
    """An error of the HTTP layer, with response headers of its own."""

    def __init__(self, code: str, message: str, headers: dict[str, str]) -> None:
        super().__init__(code, message)
        self.headers = headers


class DisconnectedError(Exception):
    """The client closed the connection; there is no one to answer."""


def status_of(error: ApiError) -> int:
    """Return the HTTP status of an error; `unsupported_*` codes that are not in `STATUS` answer 400."""
    return STATUS.get(error.code, 400)


#: The beginning of the User-Agent of published clients of contract 0.1.
_OLD_CLIENT: Final = b"Python-urllib/"
#: Codes that have other names in contract 0.3.
_TODAY: Final = {
    "command_not_found": "not_found",
    "unsupported_method": "method_not_allowed",
    "vm_busy": "resource_busy",
}
#: Codes of the errors of single files; contract 0.3 has fewer.
_OF_A_FILE: Final = {
    "resource_busy": "unavailable",
    "quota_exceeded": "unavailable",
    "forbidden": "bad_request",
}
#: Codes whose details name the resource.
_ABOUT: Final = frozenset({"not_found", "conflict", "resource_busy", "already_exists", "expired"})
#: Contract 0.3 has no quota of computers or sessions; it is reported as one of the processors that they would use.
_QUOTA: Final = {
    "limit": {"metric": "vcpus", "unit": "vcpus"},
    "scope": {"kind": "organization"},
    "enforcement": "regional",
    "measurements": {"kind": "unmeasured"},
}


def speaks_0_1(scope: Scope) -> bool:
    """Return whether a request uses contract 0.1: it is from a published client of it, or to a path that only 0.1
    has."""
    if getattr(scope.get("endpoint"), "only_0_1", False):
        return True
    return any(name == b"user-agent" and value.startswith(_OLD_CLIENT) for name, value in scope["headers"])


def error_body(error: ApiError, scope: Scope) -> dict[str, Any]:
    """Return the envelope of an error."""
    request_id: str = scope["arker.id"]
    if speaks_0_1(scope):
        inner = {"code": error.code, "message": error.message, "request_id": request_id}
        return {"ok": False, "error": inner}
    code = _code(error)
    body: dict[str, Any] = {
        "code": code,
        "message": error.message,
        "timestamp": timestamp(time.time_ns() // 1_000_000),
        "request_id": request_id,
        "request": _request(scope),
    }
    if (details := _details(error, code)) is not None:
        body["details"] = details
    if error.retry_after is not None:
        body["retry_after_seconds"] = _whole(error.retry_after)
    if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
        # All other errors are refusals: the operation did not start, or left nothing behind.
        body["recovery"] = {"work": "unknown" if code == "internal" else "not_started"}
    return {"error": body}


def entry_error(error: ApiError, old: bool) -> dict[str, Any]:
    """Return the error of one file among several; `old` for contract 0.1."""
    if old:
        return {"code": error.code, "message": error.message}
    code = _code(error)
    code = _OF_A_FILE.get(code, code)
    body: dict[str, Any] = {"code": code, "message": error.message}
    if code in _ABOUT:
        body["details"] = {"resource": error.resource if error.resource in ("file", "upload") else "resource"}
    return body


def _code(error: ApiError) -> str:
    if error.code in _TODAY:
        return _TODAY[error.code]
    return error.code if error.code in STATUS else "bad_request"


def _request(scope: Scope) -> dict[str, str]:
    operations: Mapping[str, str] = getattr(scope.get("endpoint"), "operations", {})
    method: str = scope.get("method", "GET")
    operation = operations.get(method.lower())
    if operation is None:
        return {"kind": "unmatched", "method": method}
    return {"kind": "matched", "operation_id": operation}


def _details(error: ApiError, code: str) -> Mapping[str, Any] | None:
    if error.details is not None:
        return error.details
    if code in _ABOUT:
        return {"resource": error.resource}
    if code == "unsupported_operation":
        return {"reason": "feature_not_supported"}
    if code == "method_not_allowed" and isinstance(error, HttpError):
        return {"allowed_methods": error.headers["Allow"].split(", ")}
    if code == "rate_limited":
        return {"limiter": "arker"}
    return _QUOTA if code == "quota_exceeded" else None


def _whole(seconds: float) -> int:
    return max(1, math.ceil(seconds))


def error_response(error: ApiError, scope: Scope) -> Response:
    """Return the response for an error. All errors of requests are rendered here."""
    headers = dict(error.headers) if isinstance(error, HttpError) else {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(_whole(error.retry_after))
    if error.code == "unauthorized":
        headers["WWW-Authenticate"] = "Bearer"
    return Answer(to_json(error_body(error, scope)), status_of(error), headers, "application/json")
