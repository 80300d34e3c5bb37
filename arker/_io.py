"""Code that both colours share; see `_io_async` and `_io_sync` for the differences."""

from __future__ import annotations

import os
import weakref
from typing import Protocol

Buffer = bytes | bytearray | memoryview


class _Resettable(Protocol):
    def reset_after_fork(self) -> None: ...


_fork_aware: weakref.WeakSet[_Resettable] = weakref.WeakSet()


def reset_after_fork(resettable: _Resettable) -> None:
    """Call `reset_after_fork` of the object in every forked child, before other code runs there."""
    _fork_aware.add(resettable)


def _in_forked_child() -> None:
    for resettable in list(_fork_aware):
        resettable.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)
