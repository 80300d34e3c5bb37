"""What computers use now, in a deployment of your own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from arker._http._async.pipeline import Budget
from arker.errors import needing
from arker.info import ComputerUsage, computer_usage

if TYPE_CHECKING:
    from .client import AsyncArker

_PAGE: Final = 1000


async def usage_of(client: AsyncArker, budget: Budget) -> tuple[ComputerUsage, ...]:
    """Return what all computers of the organization use. Raises ArkerError."""

    def usages(body: Any) -> list[ComputerUsage]:
        return [computer_usage(row) for row in body["computers"]]

    found: list[ComputerUsage] = []
    with needing("does not report what computers use: that needs a deployment of your own"):
        while True:
            path = f"usage?limit={_PAGE}&offset={len(found)}"
            request = client._pipeline.local_request("get", path, client._timeouts)
            page = await client._pipeline.ask(budget, request, usages)
            found += page
            if len(page) < _PAGE:
                return tuple(found)
