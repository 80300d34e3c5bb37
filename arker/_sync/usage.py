# Derived from arker/_async/usage.py by `make generate`; do not edit.
"""What computers take at the moment, as a deployment of your own tells it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from arker._http._sync.pipeline import Budget
from arker._http._sync.transport import Reply
from arker.errors import ArkerError, needing
from arker.info import ComputerUsage, computer_usage

if TYPE_CHECKING:
    from .client import Arker

_PAGE: Final = 1000


def usage_of(client: Arker, budget: Budget) -> tuple[ComputerUsage, ...]:
    """Return what all computers of the organization take. Raises ArkerError."""

    def consume(reply: Reply) -> list[ComputerUsage]:
        answer = client._pipeline.answer(reply)
        try:
            rows: list[Any] = answer.body["computers"]
            return [computer_usage(row) for row in rows]
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ArkerError("internal", "the answer is no usage", processed="yes") from error

    found: list[ComputerUsage] = []
    with needing("does not tell what computers take"):
        while True:
            make = functools.partial(
                client._pipeline.request,
                "get",
                f"/api/v1/local/usage?limit={_PAGE}&offset={len(found)}",
                client._timeouts,
                control=False,
                repeatable=True,
            )
            page = client._pipeline.perform(budget, make, consume)
            found += page
            if len(page) < _PAGE:
                return tuple(found)
