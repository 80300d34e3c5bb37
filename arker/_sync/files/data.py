# Derived from arker/_async/files/data.py by `make generate`; do not edit.
"""What is given to be written, as a Source: a size, and any range of bytes, any number of times."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import IO, Any, TypeAlias, cast

from arker._io import Buffer
from arker._io_sync import in_thread, iterate
from arker.sources import Source, Spool, known, local
from arker.transfers import PIECE

Data: TypeAlias = bytes | bytearray | memoryview | str | IO[bytes] | Iterable[bytes] | Iterable[bytes]


def source_of(data: Any, most: int) -> Source:
    """Turn data of any kind into a source, spooling it if necessary.

    Raises TypeError for anything else, ArkerError `payload_too_large` for more than `most` bytes.
    """
    source = local(known, data, most)
    if source is not None:
        return cast("Source", source)
    spool = Spool(most)
    try:
        if callable(getattr(data, "read", None)) and not inspect.iscoroutinefunction(data.read):
            while piece := in_thread(local, data.read, PIECE):
                spool.add(piece)
        elif isinstance(data, (Iterable, Iterable)):
            for piece in iterate(data):
                spool.add(piece)
        else:
            raise TypeError(
                f"data is bytes, str, a binary file or an iterable of bytes, not {type(data).__name__}"
            )
        return spool.source()
    except BaseException:
        spool.close()
        raise


def read_source(source: Source, start: int, end: int) -> Buffer:
    """Return bytes `[start, end)`, from a thread if that may wait for a disk. Raises ArkerError."""
    if source.blocking:
        return in_thread(source.read, start, end)
    return source.read(start, end)
