"""The order of commands in a session."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from arker.local.engine.gate import Gate


class Turns:
    """A session runs one command at a time; waiting commands are served first come, first served."""

    def __init__(self) -> None:
        #: By computer and session, while a command has its turn.
        self._gates: dict[tuple[str, str], Gate] = {}

    def taken(self, vm_id: str, session_id: str) -> bool:
        """Return whether a command would have to wait."""
        return (vm_id, session_id) in self._gates

    def turn(self, vm_id: str, session_id: str) -> AbstractAsyncContextManager[None]:
        """Return an async context manager for a command's turn; enter it at once."""
        key = vm_id, session_id
        gate = self._gates.get(key)
        if gate is None:
            gate = self._gates[key] = Gate(when_idle=lambda: self._gates.pop(key))
        return gate.exclusive()
