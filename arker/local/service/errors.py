"""Errors of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """An error that is reported to the caller of the API.

    Args:
        code: an error code of the contract.
        message: what is wrong and how to fix it, for people.
        retry_after: seconds after which to retry, if known.
        resource: the kind of resource concerned, as contract 0.3 names it.
        details: the details that contract 0.3 defines for the code, other than `resource`.
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
        # It may name a file whose name is not UTF-8.
        message = message.encode(errors="replace").decode()
        super().__init__(code, message)
        self.resource = resource
        self.details = details
        self.code = code
        self.message = message
        self.retry_after = retry_after
