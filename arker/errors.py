"""The exceptions of the package, and how an HTTP answer becomes one. No I/O here."""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias, cast

if TYPE_CHECKING:
    from .results import RunResult

__all__ = [
    "ArkerError",
    "ArkerTimeoutError",
    "BadRequestError",
    "CommandFailedError",
    "ConflictError",
    "ErrorCode",
    "ForbiddenError",
    "NetworkError",
    "NotFoundError",
    "Processed",
    "QuotaExceededError",
    "RateLimitedError",
    "UnauthorizedError",
    "VmBusyError",
]

ErrorCode: TypeAlias = (
    Literal[
        # Codes of the contract.
        "bad_request",
        "unauthorized",
        "payment_required",
        "forbidden",
        "not_found",
        "command_not_found",
        "conflict",
        "vm_busy",
        "invalid_state",
        "already_exists",
        "idempotency_conflict",
        "expired",
        "payload_too_large",
        "unsupported_op",
        "unsupported_operation",
        "rate_limited",
        "quota_exceeded",
        "internal",
        "not_implemented",
        "unavailable",
        "capacity_unavailable",
        "gateway_timeout",
        # Codes of the client; `status` is 0.
        "network",
        "timeout",
        "local_file",
        "command_failed",
    ]
    | str
)
"""A code that names a failure. The known codes are listed; an unknown code of a server is passed through."""

Processed: TypeAlias = Literal["no", "maybe", "yes"]
"""Whether the server acted on a request that failed. `no`: certainly not (no attempt was sent completely, or each was
rejected); `maybe`: unknown to the client; `yes`: the server answered."""

#: Codes of failures that the same request will have again, whatever the status.
_FINAL: Final = frozenset(
    [
        "bad_request",
        "unauthorized",
        "payment_required",
        "forbidden",
        "not_found",
        "command_not_found",
        "conflict",
        "vm_busy",
        "invalid_state",
        "already_exists",
        "idempotency_conflict",
        "expired",
        "payload_too_large",
        "not_implemented",
        "quota_exceeded",
    ]
)
#: Codes by which a server rejects a request before acting on it.
_TURNED_AWAY: Final = frozenset({"rate_limited", "unavailable", "capacity_unavailable"})
_TRANSIENT_CODES: Final = _TURNED_AWAY | {"network", "timeout", "gateway_timeout"}
_TRANSIENT_STATUS: Final = frozenset({429, 502, 503, 504})
#: How overload of a storage backend appears in the message of an `internal` error.
_OVERLOAD: Final = re.compile(r"(?<!\d)503(?!\d)|Service Unavailable|throttle|SlowDown|ThrottlingException")
_LONGEST_MESSAGE: Final = 2000
#: Codes of contract 0.3 for failures that have another code in 0.1.
_SAME: Final[Mapping[str, ErrorCode]] = {"resource_busy": "vm_busy"}


class ArkerError(Exception):
    """The base of all errors that Arker raises; `str()` is `code: message`.

    Some codes have a subclass: `ArkerError("not_found", ...)` is a `NotFoundError`.

    Attributes:
        code: What went wrong, such as `not_found`; see `ErrorCode`.
        message: The same, in words. Never contains the API key or a signed URL.
        status: HTTP status of the answer; 0 without an answer (`network`, `timeout`); 400 or 413 if the client
            rejected the request before sending anything (then `attempts` is 0); 200 for an error inside a
            successful answer.
        request_id: The server's id of the request, for its logs; None if it sent none.
        attempts: How many times the request was tried; 0 if it was rejected before sending.
        method: HTTP method, such as `POST`; None if rejected before sending.
        route: Route template, such as `/api/v1/vms/{vm_id}/run`, never a raw URL; None if rejected before
            sending.
        processed: Whether the server acted on the request, in any of the attempts: `no`, `maybe` or `yes`. After a
            `maybe` of a `run`, check its effects before running it again.
        retry_after: How long the server asks to wait, in seconds; None if it does not.
        result: The `RunResult` of a `command_failed`, else None.
    """

    code: ErrorCode
    message: str
    status: int
    request_id: str | None
    attempts: int
    method: str | None
    route: str | None
    processed: Processed
    retry_after: float | None
    result: RunResult | None
    #: The operation that the server recognized; empty for none, None if the answer does not say.
    _operation: str | None = None
    #: The kind of resource that does not exist, such as `vm` or `file`; None if the answer does not say.
    _resource: str | None = None

    @property
    def _unknown_path(self) -> bool:
        """Whether the server does not serve the path of the request at all."""
        return self.status in (404, 405, 501) and not self._operation

    def __new__(cls, code: ErrorCode = "", *_: Any, **__: Any) -> Self:
        """Make an error of the subclass for its code."""
        return super().__new__(cast("type[Self]", _CLASSES.get(code, cls)) if cls is ArkerError else cls)

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        status: int = 0,
        *,
        request_id: str | None = None,
        attempts: int = 0,
        method: str | None = None,
        route: str | None = None,
        processed: Processed = "no",
        retry_after: float | None = None,
        result: RunResult | None = None,
    ) -> None:
        super().__init__(code, message, status)
        self.code = code
        self.message = message
        self.status = status
        self.request_id = request_id
        self.attempts = attempts
        self.method = method
        self.route = route
        self.processed = processed
        self.retry_after = retry_after
        self.result = result

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(code={self.code!r}, message={self.message!r}, status={self.status})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception.__reduce__ with our attributes as state; args alone would restore only the three positional
        # arguments.
        return type(self), (self.code, self.message, self.status), self.__dict__

    @property
    def retryable(self) -> bool:
        """Whether the failure is temporary, so that the same request may succeed later. See `processed` for
        whether sending it again is harmless."""
        if self.code in _FINAL or self.code.startswith("unsupported"):
            return False
        return (
            self.status in _TRANSIENT_STATUS
            or self.code in _TRANSIENT_CODES
            or (self.code == "internal" and _OVERLOAD.search(self.message) is not None)
        )


class BadRequestError(ArkerError):
    """`bad_request`: the request is invalid and can never succeed."""


class UnauthorizedError(ArkerError):
    """`unauthorized`: there is no API key, or it is not valid, or no longer."""


class ForbiddenError(ArkerError):
    """`forbidden`: the key is valid, but does not allow this."""


class NotFoundError(ArkerError):
    """`not_found`: there is no such computer or file."""


class ConflictError(ArkerError):
    """`conflict`, `already_exists`, `idempotency_conflict`, `invalid_state`: the current state does not allow it."""


class VmBusyError(ArkerError):
    """`vm_busy`: the session already runs a command; `get_run(id).cancel()` ends it, by the id in the message."""


class RateLimitedError(ArkerError):
    """`rate_limited`: too many requests; `retry_after` says how long to wait."""


class QuotaExceededError(ArkerError):
    """`quota_exceeded`: the organization has reached a limit, such as its number of computers."""


class NetworkError(ArkerError):
    """`network`: no connection could be made, or it broke."""


class ArkerTimeoutError(ArkerError):
    """`timeout`: an answer, or the whole call, took too long. A command that its own timeout ended is a result."""


class CommandFailedError(ArkerError):
    """`command_failed`: `RunResult.check` found an exit code other than 0, or a timeout; see `result`."""


_CLASSES: Final[dict[str, type[ArkerError]]] = {
    "bad_request": BadRequestError,
    "unauthorized": UnauthorizedError,
    "forbidden": ForbiddenError,
    "not_found": NotFoundError,
    "conflict": ConflictError,
    "already_exists": ConflictError,
    "idempotency_conflict": ConflictError,
    "invalid_state": ConflictError,
    "vm_busy": VmBusyError,
    "rate_limited": RateLimitedError,
    "quota_exceeded": QuotaExceededError,
    "network": NetworkError,
    "timeout": ArkerTimeoutError,
    "command_failed": CommandFailedError,
}


@contextlib.contextmanager
def needing(what: str) -> Generator[None]:
    """Turn the error of a path that the deployment does not serve into an `unsupported_operation`; `what` completes
    "this deployment ..." and says what would be needed."""
    try:
        yield
    except ArkerError as error:
        if error._unknown_path:
            code = "unsupported_operation"
            raise ArkerError(code, f"this deployment {what}", error.status, processed="no") from error
        raise


def in_doubt(error: ArkerError, why: str | None) -> None:
    """Make the last failure of a call the error of the whole call. With `why`, an earlier request may have been acted
    on: then `no` becomes `maybe`. An answer (`yes`) is about the whole call already."""
    if why is not None and error.processed == "no":
        error.processed = "maybe"
        error.message = f"{error.message}; {why}"


@contextlib.contextmanager
def doubting(why: str | None) -> Generator[None]:
    """Apply `in_doubt` to the error of a block."""
    try:
        yield
    except ArkerError as error:
        in_doubt(error, why)
        raise


#: For the operations that only contract 0.3 has.
NEEDS_0_3: Final = "does not speak contract 0.3, which this needs"


def bad_request(message: str) -> ArkerError:
    """Make the error of a request that the client rejects before sending anything."""
    return ArkerError("bad_request", message, 400)


_URL_QUERY = re.compile(r"(https?://[^\s?#\"'<>]+)\?[^\s\"'<>]*")


def redact(text: str, *secrets: str) -> str:
    """Return `text` without the secrets, and without the query of any URL, which contains the signature of a signed
    URL."""
    text = _URL_QUERY.sub(r"\1?[redacted]", text)
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[redacted]")
    return text


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer with a success status and a JSON body, in the form that generated parsers read."""

    status_code: int
    content: bytes
    body: Any

    def json(self) -> Any:
        """The parsed body."""
        return self.body


def read_answer(
    status: int, headers: Mapping[str, str], content: bytes, *secrets: str, parse: bool = True
) -> Answer:
    """Return the answer if it is a success; `headers` has lowercase names.

    Raises ArkerError for an error in either envelope, whatever the status, and `internal` for an answer that is
    not Arker's: a redirect, an HTML page of a proxy, a body that is not JSON. With `parse=False`, the body of a
    success is not checked. A 204 has no body.
    """
    if status == 204 or (200 <= status < 300 and not parse):
        return Answer(status, content, None)
    body: Any = None
    malformed: ValueError | RecursionError | None = None
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        malformed = error
    request_id = headers.get("x-request-id") or headers.get("x-amz-request-id")
    envelope = body.get("error") if isinstance(body, dict) else None
    failed = status >= 400 or (
        isinstance(body, dict)
        and (body.get("ok") is False or ("ok" not in body and isinstance(envelope, dict)))
    )
    if failed and isinstance(envelope, dict) and isinstance(envelope.get("code"), str):
        said: str = envelope["code"]
        code = _SAME.get(said, said)
        named = envelope.get("request_id")
        refused = ArkerError(
            code,
            redact(str(envelope.get("message") or f"HTTP {status}"), *secrets)[:_LONGEST_MESSAGE],
            status,
            request_id=named if isinstance(named, str) else request_id,
            processed=_processed(status, code),
            retry_after=retry_after(headers),
        )
        matched = envelope.get("request")
        if isinstance(matched, dict):
            refused._operation = str(matched.get("operation_id", ""))
        details = envelope.get("details")
        if isinstance(details, dict) and isinstance(details.get("resource"), str):
            refused._resource = details["resource"]
        raise refused
    if failed or malformed is not None or not 200 <= status < 300:
        what = headers.get("content-type", "no content type").partition(";")[0]
        why = "a redirect, which is never followed" if 300 <= status < 400 else "not an answer of Arker's"
        raise ArkerError(
            "internal",
            f"HTTP {status}: {why} ({what}, {len(content)} bytes)",
            status,
            request_id=request_id,
            # 429 always rejects the request. The others may come from a proxy that does not know what happened behind
            # it.
            processed="no" if status == 429 else "maybe" if status >= 500 or status < 300 else "yes",
            retry_after=retry_after(headers),
        ) from malformed
    return Answer(status, content, body)


def entry_error(code: object, message: object, status: int, *secrets: str) -> ArkerError:
    """The error of one entry in a successful answer."""
    return ArkerError(
        str(code),
        redact(str(message), *secrets)[:_LONGEST_MESSAGE],
        status,
        processed=_processed(status, str(code)),
    )


def _processed(status: int, code: str) -> Processed:
    if status == 429 or code in _TURNED_AWAY:
        return "no"
    if code in ("internal", "gateway_timeout") or status in (502, 504):
        return "maybe"
    return "no" if status == 503 else "yes"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """How long an answer asks to wait, in seconds: from `Retry-After-Ms`, or `Retry-After`, a number or a date."""
    if "retry-after-ms" in headers:
        seconds = _number(headers["retry-after-ms"]) / 1000
    elif "retry-after" in headers:
        seconds = _number(headers["retry-after"])
        if math.isnan(seconds):
            # Rarely needed, and the import takes 4 ms.
            from email.utils import parsedate_to_datetime

            with contextlib.suppress(ValueError, OverflowError):
                seconds = parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time()
    else:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def no_answer(error: BaseException, host: str, *, sent: bool, answering: bool = False) -> ArkerError:
    """The error of a request without an answer, or with an incomplete one (`answering`)."""
    code = "timeout" if isinstance(error, TimeoutError) else "network"
    reason = redact(str(error)) or type(error).__name__
    what = "the answer was cut" if answering else "no answer" if sent else "could not send"
    return ArkerError(
        code, f"{what}: {host}: {reason}"[:_LONGEST_MESSAGE], processed="maybe" if sent else "no"
    )
