"""The order of commands in a session."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class Turns:
    """A session runs one command at a time; waiting commands are served first come, first served."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def taken(self, vm_id: str, session_id: str) -> bool:
        """Return whether a command would have to wait."""
        lock = self._locks.get((vm_id, session_id))
        return lock is not None and lock.locked()

    def turn(self, vm_id: str, session_id: str) -> asyncio.Lock:
        """Return what a command holds while it has its turn."""
        lock = self._locks.get((vm_id, session_id))
        if lock is None:
            lock = self._locks[vm_id, session_id] = asyncio.Lock()
        return lock
