"""Data to upload in one form: a size, and any range of bytes, any number of times."""

from __future__ import annotations

import contextlib
import inspect
import os
import tempfile
import threading
from collections.abc import Callable
from typing import IO, Any, Protocol, cast

from .contract import LARGEST_CHUNK, LARGEST_FILE
from .errors import ArkerError
from .transfers import too_large

Buffer = bytes | bytearray | memoryview


class Source(Protocol):
    """Bytes to upload."""

    size: int
    #: Whether `read` may wait for a disk.
    blocking: bool

    def read(self, start: int, end: int) -> Buffer:
        """Return bytes `[start, end)`. Raises ArkerError if they are no longer available."""
        ...

    def close(self) -> None:
        """Close what was opened for the upload."""


class Memory:
    """Bytes in memory; never copied as a whole."""

    blocking = False

    def __init__(self, data: Buffer, most: int = LARGEST_FILE) -> None:
        view = memoryview(data)
        # A view of other items than bytes, or with gaps, cannot be sliced by bytes.
        self._view = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
        self.size: int = self._view.nbytes
        if self.size > most:
            raise too_large(self.size)

    def read(self, start: int, end: int) -> Buffer:
        """See Source."""
        return self._view[start:end]

    def close(self) -> None:
        """See Source."""
        self._view.release()


class File:
    """A seekable binary file, from its current position to its end."""

    blocking = True

    def __init__(self, file: IO[bytes], *, owned: bool, most: int = LARGEST_FILE) -> None:
        self._file = file
        self._owned = owned
        # Chunks may be read in parallel, and a file has only one position.
        self._lock = threading.Lock()
        self.start: int = file.tell()
        self.size: int = max(0, file.seek(0, os.SEEK_END) - self.start)
        if self.size > most:
            self.close()
            raise too_large(self.size)

    def read(self, start: int, end: int) -> Buffer:
        """See Source."""
        with self._lock:
            local(self._file.seek, self.start + start)
            data = cast("bytes", local(self._file.read, end - start))
            # An unbuffered file may return less than it has.
            while (missing := end - start - len(data)) and (more := local(self._file.read, missing)):
                data += more
        if missing:
            raise ArkerError(
                "local_file", f"the file became shorter while it was read: no byte {start + len(data)}"
            )
        return data

    def close(self) -> None:
        """See Source."""
        if self._owned:
            self._file.close()


class Spool:
    """Storage for bytes that can be read only once: a little memory, then a temporary file."""

    def __init__(self, most: int = LARGEST_FILE) -> None:
        self._most = most
        self._file = tempfile.SpooledTemporaryFile(max_size=LARGEST_CHUNK)  # noqa: SIM115  # see close
        self._size = 0

    def add(self, piece: Any) -> None:
        """Append bytes. Raises TypeError for anything else, ArkerError when the limit of a file is
        exceeded."""
        if not isinstance(piece, (bytes, bytearray, memoryview)):
            raise TypeError(
                f"expected bytes to write, got {type(piece).__name__}; is the file open in binary mode?"
            )
        self._size += memoryview(piece).nbytes
        if self._size > self._most:
            raise too_large(self._most + 1, "the data")
        local(self._file.write, piece)

    def source(self) -> Source:
        """Return the added bytes as a source."""
        self._file.seek(0)
        return File(self._file, owned=True, most=self._most)

    def close(self) -> None:
        """Discard the bytes."""
        self._file.close()


def local(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function on a local file; convert OSError to ArkerError `local_file`."""
    try:
        return function(*args, **kwargs)
    except OSError as error:
        raise ArkerError("local_file", str(error)) from error


def known(data: Any, most: int = LARGEST_FILE) -> Source | None:
    """Return the source of data whose size is known; None for data that has to be spooled first.

    Raises TypeError for a file in text mode, ArkerError `payload_too_large`.
    """
    if isinstance(data, str):
        return Memory(data.encode(), most)
    if isinstance(data, (bytes, bytearray, memoryview)):
        return Memory(data, most)
    read = getattr(data, "read", None)
    if not callable(read) or inspect.iscoroutinefunction(read):
        return None
    if hasattr(data, "seekable") and data.seekable():
        if not isinstance(read(0), bytes):
            raise TypeError("the file is open in text mode; open it in binary mode ('rb')")
        # Files in /proc have no size, or no end to seek to.
        with contextlib.suppress(OSError):
            file = File(data, owned=False, most=most)
            if file.size:
                return file
            data.seek(file.start)
    return None
