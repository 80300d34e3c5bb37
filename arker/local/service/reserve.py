"""Disk space in reserve: a file that is given up so that a full disk can still be started from and cleaned up."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

from .errors import ApiError

T = TypeVar("T")

#: With less free space on the disk than this (bytes), the deployment reports that it is not well.
MIN_FREE: Final = 64 * 1024 * 1024
_NAME: Final = "spare"
_SIZE: Final = 4 * 1024 * 1024


class Reserve:
    """The reserve of a state folder."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._file = state / _NAME

    def free(self) -> int:
        """Free space on the disk of the state folder, in bytes."""
        return shutil.disk_usage(self._state).free

    def release(self) -> None:
        """Give up the reserve."""
        self._file.unlink(missing_ok=True)

    def refill(self) -> None:
        """Make the reserve again, if there is room for it."""
        if not self._file.exists() and self.free() > MIN_FREE:
            with self._file.open("wb") as file, contextlib.suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, _SIZE)

    async def spend(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do what makes room; on a full disk, once more with the reserve given up."""
        try:
            return await work()
        except ApiError as error:
            if error.code != "unavailable" or not self._file.exists():
                raise
        self.release()
        return await work()
