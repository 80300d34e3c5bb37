"""The input of a run, from memory, files and iterators."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias

from arker._io_async import AsyncBackground, async_in_thread, async_iterate
from arker.errors import ArkerError

if TYPE_CHECKING:
    from .runs import AsyncRun

AsyncStdin: TypeAlias = (
    bytes
    | bytearray
    | memoryview
    | str
    | IO[bytes]
    | IO[str]
    | AsyncIterable[bytes | str]
    | Iterable[bytes | str]
)

#: Most bytes or characters read from a file at once.
_PIECE: Final = 64 << 10
#: Longest time to end a run whose input failed, in seconds.
_CANCELLING: Final = 5.0


class AsyncFeeder:
    """Gives input to a run as fast as it reads, while others follow the run. Input that fails ends the run.

    Attributes:
        error: What reading the input raised, or None.
    """

    def __init__(self, run: AsyncRun, data: AsyncStdin) -> None:
        self._run = run
        self._data = data
        self._stopped = False
        self.error: Exception | None = None
        self._background = AsyncBackground(self._feed)

    async def end(self) -> None:
        """Give no more input."""
        self._stopped = True
        await self._background.end()

    async def _feed(self) -> None:
        try:
            async for piece in _pieces(self._data):
                if self._stopped:
                    return
                await self._run.write(piece)
            await self._run.close_stdin()
        except Exception as error:
            # A conflict: the command ended, or closed its input, before it read everything.
            if not self._stopped and getattr(error, "code", "") != "conflict":
                self.error = error
                with contextlib.suppress(ArkerError):
                    await self._run._cancel(_CANCELLING)


def check_input(data: object) -> None:
    """Raise TypeError for what cannot be the input of a run."""
    if not isinstance(data, (AsyncIterable, Iterable)) and not callable(getattr(data, "read", None)):
        raise TypeError(f"stdin is bytes, str, a file or an iterable of them, not {type(data).__name__}")


async def _pieces(data: Any) -> AsyncIterator[bytes | str]:
    read = getattr(data, "read", None)
    if isinstance(data, (bytes, bytearray, memoryview, str)):
        yield data if isinstance(data, str) else bytes(data)
    elif callable(read) and not inspect.iscoroutinefunction(read):
        # Of a pipe, `read1` returns what is there.
        read = getattr(data, "read1", read)
        while piece := await async_in_thread(read, _PIECE):
            yield _checked(piece)
    else:
        async for piece in async_iterate(data):
            yield _checked(piece)


def _checked(piece: Any) -> bytes | str:
    if not isinstance(piece, (bytes, bytearray, memoryview, str)):
        raise TypeError(f"stdin consists of bytes or str, not {type(piece).__name__}")
    return piece if isinstance(piece, str) else bytes(piece)
