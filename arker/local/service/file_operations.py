"""Files and trees of computers, beyond the contract's `sync`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from arker.local.engine.file_protocol import (
    LARGEST_PIECE,
    Changes,
    Conditions,
    FileInfo,
    Files,
    Marks,
    NewEntry,
    Page,
    Refused,
)
from arker.local.engine.protocol import Engine

from .access import Access, Principal
from .computers import Computers
from .translation import Sandboxes

__all__ = [
    "LARGEST_PIECE",
    "Changes",
    "Conditions",
    "FileInfo",
    "FileOperations",
    "Files",
    "Marks",
    "NewEntry",
    "Page",
    "Refused",
]


class FileOperations:
    """Files and trees of the computers of a deployment."""

    def __init__(self, engine: Engine, access: Access, computers: Computers, sandboxes: Sandboxes) -> None:
        self._engine = engine
        self._access = access
        self._computers = computers
        self._sandboxes = sandboxes

    @contextlib.contextmanager
    def of(self, who: Principal, vm_id: str) -> Iterator[Files]:
        """Yield the files of a computer; errors of the engine in the block become `ApiError`.

        Raises:
            ApiError: the caller may not use the computer.
        """
        vm_id = self._access.owned(who, vm_id, "read or written").vm_id
        self._computers.touch(vm_id)
        with self._sandboxes.used():
            yield self._engine.files(vm_id)
