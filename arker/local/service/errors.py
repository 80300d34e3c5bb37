"""What the API answers when a request fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """A refusal, as the caller of the API will see it.

    Args:
        code: a code of the contract.
        message: what was wrong and what would be right, for people.
        retry_after: seconds after which another try makes sense, if known.
        resource: the kind of thing that it is about, as contract 0.3 names it.
        details: the details that contract 0.3 has for the code, where they are not `resource`.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retry_after: float | None = None,
        resource: str = "resource",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code, message)
        self.resource = resource
        self.details = details
        self.code = code
        self.message = message
        self.retry_after = retry_after
