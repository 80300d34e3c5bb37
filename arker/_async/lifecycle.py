"""Renaming and stopping computers, which is in neither contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arker._http._async.pipeline import Budget, dump
from arker.errors import needing
from arker.operations import same

if TYPE_CHECKING:
    from .computer import AsyncComputer


async def rename(computer: AsyncComputer, budget: Budget, name: str) -> None:
    """Change the name of a computer. Raises ArkerError."""
    await _ask(computer, budget, "patch", "", dump({"name": name}), "cannot rename computers")


async def stop(computer: AsyncComputer, budget: Budget) -> None:
    """End the processes of a computer. Raises ArkerError."""
    await _ask(computer, budget, "post", "/stop", None, "cannot stop computers")


async def _ask(
    computer: AsyncComputer, budget: Budget, method: str, path: str, body: bytes | None, lacking: str
) -> None:
    client = computer._client
    request = client._pipeline.local_request(
        method, f"vms/{computer._segment}{path}", client._timeouts, body=body
    )
    with needing(f"{lacking}: that needs a deployment of your own"):
        await client._pipeline.ask(budget, request, same)
