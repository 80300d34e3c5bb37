"""What the API answers when a request fails."""

from __future__ import annotations


class ApiError(Exception):
    """A refusal, as the caller of the API will see it.

    Args:
        code: a code of the contract.
        message: what was wrong and what would be right, for people.
        retry_after: seconds after which another try makes sense, if known.
    """

    def __init__(self, code: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.retry_after = retry_after
