"""Reserved disk space: files that are deleted so that a full disk can still be started from and cleaned up."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

from .errors import ApiError

T = TypeVar("T")

#: Free bytes on the disk below which the deployment reports that it is unhealthy.
MIN_FREE: Final = 64 * 1024 * 1024
_NAME: Final = "spare"
_SIZE: Final = 4 * 1024 * 1024
#: Number of files in the reserve, because a disk can run out of inodes, too: twice what a start takes. Each start makes
#: them again.
_FILES: Final = 64
_MIN_FREE_FILES: Final = 8 * _FILES


class Reserve:
    """The reserved disk space of a state folder."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._folder = state / _NAME

    def free(self) -> int:
        """Return the free bytes on the disk of the state folder."""
        return shutil.disk_usage(self._state).free

    def release(self) -> None:
        """Delete the reserve."""
        if self._folder.is_dir():
            shutil.rmtree(self._folder, ignore_errors=True)
        else:  # a file, created by a release before 0.3
            self._folder.unlink(missing_ok=True)

    def refill(self) -> None:
        """Create the reserve again, if there is room for it."""
        if not self._folder.exists() and self.free() > MIN_FREE and not self._few_files():
            self.keep()

    def keep(self) -> None:
        """Create the reserve again, as large as there is room for, so that the next start on a full disk can use it."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            with (self._folder / "space").open("wb") as file:
                for part in (1, 2, 4, 8, 16):
                    with contextlib.suppress(OSError):
                        os.posix_fallocate(file.fileno(), 0, _SIZE // part)
                        break
            for number in range(_FILES):
                with contextlib.suppress(FileExistsError):
                    # At each start: `touch` would take several times as long.
                    os.mknod(f"{self._folder}/{number}")

    def _few_files(self) -> bool:
        disk = os.statvfs(self._state)
        return disk.f_files > 0 and disk.f_favail < _MIN_FREE_FILES  # some file systems have no limit

    async def spend(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run `work`, which frees space; if the disk is full, delete the reserve and run it again."""
        try:
            return await work()
        except ApiError as error:
            if error.code != "unavailable" or not self._folder.exists():
                raise
        self.release()
        return await work()
