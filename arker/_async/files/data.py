"""What is given to be written, as a Source: a size, and any range of bytes, any number of times."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Iterable
from typing import IO, Any, TypeAlias, cast

from arker._io import Buffer
from arker._io_async import async_in_thread, async_iterate
from arker.sources import Source, Spool, known, local
from arker.transfers import PIECE

AsyncData: TypeAlias = (
    bytes | bytearray | memoryview | str | IO[bytes] | AsyncIterable[bytes] | Iterable[bytes]
)


async def source_of(data: Any, most: int) -> Source:
    """Turn data of any kind into a source, spooling it if necessary.

    Raises TypeError for anything else, ArkerError `payload_too_large` for more than `most` bytes.
    """
    source = local(known, data, most)
    if source is not None:
        return cast("Source", source)
    spool = Spool(most)
    try:
        if callable(getattr(data, "read", None)) and not inspect.iscoroutinefunction(data.read):
            while piece := await async_in_thread(local, data.read, PIECE):
                spool.add(piece)
        elif isinstance(data, (AsyncIterable, Iterable)):
            async for piece in async_iterate(data):
                spool.add(piece)
        else:
            raise TypeError(
                f"data is bytes, str, a binary file or an iterable of bytes, not {type(data).__name__}"
            )
        return spool.source()
    except BaseException:
        spool.close()
        raise


async def read_source(source: Source, start: int, end: int) -> Buffer:
    """Return bytes `[start, end)`, from a thread if that may wait for a disk. Raises ArkerError."""
    if source.blocking:
        return await async_in_thread(source.read, start, end)
    return source.read(start, end)
