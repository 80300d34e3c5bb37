"""What the API answers when a request fails: one exception, and the status that goes with each code."""

from __future__ import annotations

from typing import Final

STATUS: Final = {
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "command_not_found": 404,
    "unsupported_method": 405,
    "conflict": 409,
    "vm_busy": 409,
    "idempotency_conflict": 409,
    "payload_too_large": 413,
    "unsupported_range": 416,
    "rate_limited": 429,
    "quota_exceeded": 429,
    "internal": 500,
    "unavailable": 503,
}


class ApiError(Exception):
    """A refusal, as the caller of the API will see it.

    Args:
        code: a code of the contract; `unsupported_*` codes that are not in `STATUS` answer 400.
        message: what was wrong and what would be right, for people.
        retry_after: seconds after which another try makes sense, if known.
        headers: further response headers.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retry_after: float | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.headers: dict[str, str] = headers or {}

    @property
    def status(self) -> int:
        """The HTTP status of the code."""
        return STATUS.get(self.code, 400)
