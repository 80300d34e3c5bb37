"""The input of a command: a named pipe that its shell opens for reading, and the host's writing end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os

#: Seconds between checks for the shell that will open the pipe.
_LOOK = 0.001


class Input:
    """The writing end of a command's input. Use it from one event loop."""

    def __init__(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.mkfifo(path, 0o600)
        self._path = path
        self._fd = -1
        self._over = False
        self._turn = asyncio.Lock()
        # Connect at once: the shell blocks until the other end is open.
        self._connecting = asyncio.get_running_loop().create_task(self._connect())
        self._ready: asyncio.Future[None] | None = None

    async def write(self, data: bytes) -> None:
        """Write all of `data`; waits while the command does not read. Raises BrokenPipeError when it will not read any
        more."""
        async with self._turn:
            await asyncio.shield(self._connecting)
            view = memoryview(data)
            while view:
                if self._over:
                    raise BrokenPipeError("it is closed")
                try:
                    view = view[os.write(self._fd, view) :]
                except BlockingIOError:
                    await self._writable()

    async def _connect(self) -> None:
        # A pipe can be opened for writing once its reader waits for that. A process that held both ends would not
        # notice that the reader is gone.
        while self._fd < 0 and not self._over:
            try:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    self._over = True
                    return
                await asyncio.sleep(_LOOK)

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        self._ready = ready = loop.create_future()
        loop.add_writer(self._fd, self._wake)
        try:
            await ready
        finally:
            if self._fd >= 0:
                loop.remove_writer(self._fd)

    async def end(self) -> None:
        """Close the pipe after all written data, so that the reader sees the end of the input."""
        async with self._turn:
            await asyncio.shield(self._connecting)
            self.close()

    def close(self) -> None:
        """Close the pipe; waiting writers get an error."""
        self._over = True
        if self._fd >= 0:
            asyncio.get_running_loop().remove_writer(self._fd)
            os.close(self._fd)
            self._fd = -1
        self._wake()

    def _wake(self) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)
