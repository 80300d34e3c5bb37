"""Terminals of sessions."""

from __future__ import annotations

from typing import Final

from arker.local.engine.protocol import Terminal, TerminalSize
from arker.local.engine.protocol import Terminals as Engine
from arker.local.storage.sessions import SessionRows

from .computers import Computers
from .translation import Sandboxes, api_errors

__all__ = ["Terminal", "TerminalSize", "Terminals"]


#: Longer than any deployment runs, in seconds.
_LONGEST: Final = 2**31


class Terminals:
    """The terminals of a deployment's computers. Does not check permissions."""

    def __init__(self, rows: SessionRows, engine: Engine, computers: Computers, sandboxes: Sandboxes) -> None:
        self._rows = rows
        self._engine = engine
        self._computers = computers
        self._sandboxes = sandboxes

    async def open(
        self, vm_id: str, session_id: str, size: TerminalSize, *, command: str | None, idle: float | None
    ) -> Terminal:
        """Attach to the terminal of a session; it is created if there is none. See `Engine.open_terminal`; without
        `idle`, what `expire` has set counts.

        Raises:
            ApiError: it could not be opened.
        """
        self._computers.touch(vm_id)
        with self._sandboxes.used():
            idle = self._rows.idle(vm_id, session_id) if idle is None else idle
            return await self._engine.open_terminal(vm_id, session_id, size, command=command, idle=idle)

    async def expire(self, vm_id: str, session_id: str, seconds: int) -> None:
        """Set after how many seconds without an attachment the terminal of a session ends, from the next attachment on;
        0 for never."""
        with api_errors():
            await self._rows.set_idle(vm_id, session_id, min(seconds, _LONGEST))

    async def resize(self, vm_id: str, session_id: str, size: TerminalSize) -> None:
        """Set the size of the terminal of a session, attached or not. Ignored when it has none."""
        with api_errors():
            await self._engine.resize_terminal(vm_id, session_id, size)
