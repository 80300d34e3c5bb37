"""What cannot be derived, for the asyncio client: sockets, waiting, tasks. The twin of `_io_sync`, name for
name.

Streams raise nothing but OSError (TimeoutError among them), closing never blocks, and whatever is interrupted
half-way has to be closed by its owner.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
import time
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from ._io import READ, RESET, Buffer, Work, addresses, is_readable, ssl_context, tcp_socket
from .results import Outcome

S = TypeVar("S")
T = TypeVar("T")

async_closing = contextlib.aclosing


class AsyncStream:
    """A TCP or TLS connection for asyncio.

    On a plain socket instead of an asyncio transport, so that it is tied to no event loop between two
    operations, can be closed without one, and a forgotten one closes with its last reference.
    """

    __slots__ = ("__weakref__", "_expired", "_incoming", "_outgoing", "_sock", "_tls")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._expired = False
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()

    @classmethod
    async def connect(cls, host: str, port: int, *, tls: bool, timeout: float) -> AsyncStream:
        """Open one to the first address that answers."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        async with asyncio.timeout_at(deadline):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        hosts = addresses(found)
        failure: OSError = OSError("the host has no address")
        for left, (family, kind, proto, address) in zip(range(len(hosts), 0, -1), hosts, strict=True):
            stream = cls(tcp_socket(family, kind, proto))
            try:
                # An address that swallows packets must leave time for the others.
                async with asyncio.timeout_at(deadline - (deadline - loop.time()) * (1 - 1 / left)):
                    await loop.sock_connect(stream._sock, address)
                if tls:
                    stream._tls = ssl_context().wrap_bio(
                        stream._incoming, stream._outgoing, server_hostname=host
                    )
                    await stream._drive(stream._tls.do_handshake, deadline - loop.time())
                return stream
            except OSError as error:
                stream.close()
                failure = error
            except BaseException:
                stream.close()
                raise
        raise failure

    async def read(self, timeout: float) -> bytes:
        """Some bytes; none at the end of the stream."""
        if self._tls is None:
            return await self._receive(timeout)
        try:
            data = await self._drive(functools.partial(self._tls.read, READ), timeout)
            if self._incoming.pending:
                # A record has 16 KiB at most; take all that have come.
                records = [data]
                with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
                    while data := self._tls.read(READ):
                        records.append(data)
                return b"".join(records)
            return data
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            # As SSLSocket does; that what was announced did arrive is checked above HTTP.
            return b""

    async def write(self, data: Buffer, timeout: float) -> None:
        """All of `data`."""
        if self._tls is not None:
            self._tls.write(data)
            data = self._outgoing.read()
        await self._send(data, timeout)

    async def _drive(self, step: Callable[[], S], timeout: float) -> S:
        end = time.monotonic() + timeout
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self._send(self._outgoing.read(), end - time.monotonic())
                if received := await self._receive(end - time.monotonic()):
                    self._incoming.write(received)
                else:
                    self._incoming.write_eof()
            else:
                await self._send(self._outgoing.read(), end - time.monotonic())
                return result

    async def _receive(self, timeout: float) -> bytes:
        data = await self._timed(asyncio.get_running_loop().sock_recv(self._sock, READ), timeout)
        if not data and self._expired:
            raise TimeoutError("timed out")
        return data

    async def _send(self, data: Buffer, timeout: float) -> None:
        if not data:
            return
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            rest = memoryview(data)[sent:]
            await self._timed(asyncio.get_running_loop().sock_sendall(self._sock, rest), timeout)

    async def _timed(self, operation: Awaitable[S], timeout: float) -> S:
        # A timer that shuts the socket down wakes whoever waits for it, with no task and no cancellation in
        # the way.
        timer = asyncio.get_running_loop().call_later(timeout, self._expire)
        try:
            result = await operation
        except OSError:
            if self._expired:
                raise TimeoutError("timed out") from None
            raise
        finally:
            timer.cancel()
        # If the time ran out when it was done, it was done: of a request, all has left.
        return result

    def _expire(self) -> None:
        self._expired = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def is_readable(self) -> bool:
        """Whether there is something to read, such as the end."""
        if self._tls is not None:
            try:
                self._tls.read(1)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                return True
            else:
                # The end may have come with the last answer, and nothing of it is left in the socket.
                return True
        return is_readable(self._sock)

    def close(self) -> None:
        """Close it; harmless when it is closed."""
        if self._expired:
            # With a reset: a socket that was shut down announces no room any more, and a peer that has more to send
            # than there was would wait for it until the system forgets the connection.
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._sock.close()

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # a Ctrl-C in __init__
            self.close()


class AsyncWaiter(Generic[T]):
    """One value, from one task to another of the same event loop. `value` is there as soon as it is given."""

    __slots__ = ("_future", "value")

    value: T

    def __init__(self) -> None:
        self._future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def set(self, value: T) -> None:
        """Give the value; once."""
        self.value = value
        if not self._future.done():
            self._future.set_result(value)

    async def wait(self, timeout: float) -> T:
        """The value. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            return await self._future


async def async_sleep(seconds: float) -> None:
    """Pause the task."""
    await asyncio.sleep(seconds)


async def async_in_thread(function: Callable[..., T], *args: Any) -> T:
    """Call a function that blocks: in a thread, so that the event loop goes on."""
    return await asyncio.to_thread(function, *args)


async def async_iterate(source: AsyncIterable[T] | Iterable[T]) -> AsyncIterator[T]:
    """Go over any iterable, of either kind."""
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield item
    else:
        for item in source:
            yield item


class AsyncScoped(Generic[T]):
    """One object for each event loop; it must not hold the loop, or neither is ever freed."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._objects: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, T] = weakref.WeakKeyDictionary()

    def get(self) -> T:
        """The object of the running loop."""
        loop = asyncio.get_running_loop()
        found = self._objects.get(loop)
        if found is None:
            # Loops run in threads of their own, but each asks for its own object only.
            found = self._objects[loop] = self._make()
        return found

    def all(self) -> list[T]:
        """Every object there is."""
        return list(self._objects.values())


async def async_gather(
    jobs: Sequence[Callable[[], Awaitable[T]]], concurrency: int, *, drain: float = 0.0
) -> list[Outcome[T]]:
    """Await all jobs, at most `concurrency` at a time; an outcome for each, in order.

    When cancelled, no further job starts; those under way get `drain` seconds to end, then are cancelled as
    well.
    """
    work = Work(jobs)

    async def worker() -> None:
        while (taken := work.take()) is not None:
            index, job = taken
            try:
                work.outcomes[index] = Outcome(await job())
            except Exception as error:
                work.outcomes[index] = Outcome(error=error)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # Not this call was cancelled, but something that the job waited for.
                work.outcomes[index] = Outcome(error=RuntimeError("the job was cancelled"))

    if not jobs:
        return []
    tasks = [asyncio.create_task(worker()) for _ in range(min(concurrency, len(jobs)))]
    try:
        await asyncio.wait(tasks)
    except BaseException:
        work.stop()
        try:
            if drain:
                await asyncio.wait(tasks, timeout=drain)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        raise
    for task in tasks:
        if not task.cancelled():
            task.result()
    return work.outcomes
