# Derived from arker/_async/lifecycle.py by `make generate`; do not edit.
"""Renaming and stopping computers, which is in neither contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arker._http._sync.pipeline import Budget, dump
from arker.errors import needing
from arker.operations import same

if TYPE_CHECKING:
    from .computer import Computer


def rename(computer: Computer, budget: Budget, name: str) -> None:
    """Change the name of a computer. Raises ArkerError."""
    _ask(computer, budget, "patch", "", dump({"name": name}), "cannot rename computers")


def stop(computer: Computer, budget: Budget) -> None:
    """End the processes of a computer. Raises ArkerError."""
    _ask(computer, budget, "post", "/stop", None, "cannot stop computers")


def _ask(
    computer: Computer, budget: Budget, method: str, path: str, body: bytes | None, lacking: str
) -> None:
    client = computer._client
    request = client._pipeline.local_request(
        method, f"vms/{computer._segment}{path}", client._timeouts, body=body
    )
    with needing(f"{lacking}: that needs a deployment of your own"):
        client._pipeline.ask(budget, request, same)
