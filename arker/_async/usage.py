"""What computers take at the moment, as a deployment of your own tells it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from arker._http._async.pipeline import Budget
from arker._http._async.transport import AsyncReply
from arker.errors import ArkerError, needing
from arker.info import ComputerUsage, computer_usage

if TYPE_CHECKING:
    from .client import AsyncArker

_PAGE: Final = 1000


async def usage_of(client: AsyncArker, budget: Budget) -> tuple[ComputerUsage, ...]:
    """Return what all computers of the organization take. Raises ArkerError."""

    async def consume(reply: AsyncReply) -> list[ComputerUsage]:
        answer = await client._pipeline.answer(reply)
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
            page = await client._pipeline.perform(budget, make, consume)
            found += page
            if len(page) < _PAGE:
                return tuple(found)
