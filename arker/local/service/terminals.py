"""Terminals of sessions."""

from __future__ import annotations

from arker.local.engine.protocol import Terminal, TerminalSize
from arker.local.engine.protocol import Terminals as Engine

from .computers import Computers
from .translation import Sandboxes, api_errors

__all__ = ["Terminal", "TerminalSize", "Terminals"]


class Terminals:
    """The terminals of a deployment's computers. Does not check permissions."""

    def __init__(self, engine: Engine, computers: Computers, sandboxes: Sandboxes) -> None:
        self._engine = engine
        self._computers = computers
        self._sandboxes = sandboxes

    async def open(
        self, vm_id: str, session_id: str, size: TerminalSize, *, command: str | None, idle: float | None
    ) -> Terminal:
        """Attach to the terminal of a session; it is created if there is none. See `Engine.open_terminal`.

        Raises:
            ApiError: it could not be opened.
        """
        self._computers.touch(vm_id)
        with self._sandboxes.used():
            return await self._engine.open_terminal(vm_id, session_id, size, command=command, idle=idle)

    async def resize(self, vm_id: str, session_id: str, size: TerminalSize) -> None:
        """Set the size of the terminal of a session, attached or not. Ignored when it has none."""
        with api_errors():
            await self._engine.resize_terminal(vm_id, session_id, size)
