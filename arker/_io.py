"""What cannot be derived: sockets, waiting, threads and tasks, by hand in both colours, side by side.

Everything else of the client is written once, in `_async`, on top of the `Async*` and `async_*` names of this
module; `scripts/unasync.py` turns those into the ones without. The two halves promise the same: streams raise
nothing but OSError (TimeoutError among them), closing never blocks, and whatever is interrupted half-way has
to be closed by its owner.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import select
import socket
import ssl
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

from .results import Outcome

T = TypeVar("T")
S = TypeVar("S")

Buffer = bytes | bytearray | memoryview
#: One address of a host, as getaddrinfo gives it, without the canonical name.
Address = tuple[int, int, int, Any]

_READ = 256 * 1024


@functools.cache
def ssl_context() -> ssl.SSLContext:
    """The process's one TLS context; making one costs 20 ms."""
    import httpx

    # The roots that the rest of the ecosystem trusts: certifi's, or those of SSL_CERT_FILE and SSL_CERT_DIR.
    context = httpx.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _addresses(found: Sequence[tuple[Any, ...]]) -> list[Address]:
    return [(family, kind, proto, address) for family, kind, proto, _, address in found]


def _tcp_socket(family: int, kind: int, proto: int) -> socket.socket:
    sock = socket.socket(family, kind, proto)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A peer that vanished without a word is noticed in two minutes even while a long command runs.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return sock


def _is_readable(sock: socket.socket) -> bool:
    # Whatever there is to read on an idle connection (the end of it, as a rule) makes it useless.
    try:
        if sys.platform == "win32":
            return bool(select.select([sock], [], [], 0)[0])
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return True


class _Resettable(Protocol):
    def reset_after_fork(self) -> None: ...


_fork_aware: weakref.WeakSet[_Resettable] = weakref.WeakSet()


def reset_after_fork(resettable: _Resettable) -> None:
    """Have `reset_after_fork` called in every forked child, before anything else runs there."""
    _fork_aware.add(resettable)


def _in_forked_child() -> None:
    for resettable in list(_fork_aware):
        resettable.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)


# --- Streams
# ------------------------------------------------------------------------------------------------------------


class Stream:
    """A TCP or TLS connection, blocking."""

    __slots__ = ("__weakref__", "_sock")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    @classmethod
    def connect(cls, host: str, port: int, *, tls: bool, timeout: float) -> Stream:
        """Open one to the first address that answers."""
        deadline = time.monotonic() + timeout
        addresses = _addresses(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        failure: OSError = OSError("the host has no address")
        for left, (family, kind, proto, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
            sock = _tcp_socket(family, kind, proto)
            try:
                # An address that swallows packets must leave time for the others.
                sock.settimeout(max(0.001, (deadline - time.monotonic()) / left))
                sock.connect(address)
                if tls:
                    sock.settimeout(max(0.001, deadline - time.monotonic()))
                    sock = ssl_context().wrap_socket(sock, server_hostname=host)
                return cls(sock)
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
        raise failure

    def read(self, timeout: float) -> bytes:
        """Some bytes; none at the end of the stream."""
        self._sock.settimeout(timeout)
        return self._sock.recv(_READ)

    def write(self, data: Buffer, timeout: float) -> None:
        """All of `data`."""
        self._sock.settimeout(timeout)
        self._sock.sendall(data)

    def is_readable(self) -> bool:
        """Whether there is something to read, such as the end."""
        return _is_readable(self._sock)

    def close(self) -> None:
        """Close it; harmless when it is closed."""
        self._sock.close()

    def __del__(self) -> None:
        self.close()


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
        addresses = _addresses(found)
        failure: OSError = OSError("the host has no address")
        for left, (family, kind, proto, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
            stream = cls(_tcp_socket(family, kind, proto))
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
            data = await self._drive(functools.partial(self._tls.read, _READ), timeout)
            if self._incoming.pending:
                # A record has 16 KiB at most; take all that have come.
                records = [data]
                with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
                    while data := self._tls.read(_READ):
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
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self._send(self._outgoing.read(), timeout)
                if received := await self._receive(timeout):
                    self._incoming.write(received)
                else:
                    self._incoming.write_eof()
            else:
                await self._send(self._outgoing.read(), timeout)
                return result

    async def _receive(self, timeout: float) -> bytes:
        return await self._timed(asyncio.get_running_loop().sock_recv(self._sock, _READ), timeout)

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
        if self._expired:
            raise TimeoutError("timed out")
        return result

    def _expire(self) -> None:
        self._expired = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def is_readable(self) -> bool:
        """Whether there is something to read, such as the end."""
        return _is_readable(self._sock)

    def close(self) -> None:
        """Close it; harmless when it is closed."""
        self._sock.close()

    def __del__(self) -> None:
        self.close()


# --- Waiting
# ------------------------------------------------------------------------------------------------------------


class Waiter(Generic[T]):
    """One value, from one thread to another. `value` is there as soon as it is given, whether or not anybody
    waits."""

    __slots__ = ("_event", "value")

    value: T

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self, value: T) -> None:
        """Give the value; once."""
        self.value = value
        self._event.set()

    def wait(self, timeout: float) -> T:
        """The value. Raises TimeoutError."""
        if not self._event.wait(timeout):
            raise TimeoutError("timed out")
        return self.value


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


def sleep(seconds: float) -> None:
    """Pause the thread."""
    time.sleep(seconds)


async def async_sleep(seconds: float) -> None:
    """Pause the task."""
    await asyncio.sleep(seconds)


def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Call a function that blocks: here."""
    return function(*args)


async def async_in_thread(function: Callable[..., T], *args: Any) -> T:
    """Call a function that blocks: in a thread, so that the event loop goes on."""
    return await asyncio.to_thread(function, *args)


def iterate(source: Iterable[T]) -> Iterator[T]:
    """Go over any iterable."""
    return iter(source)


async def async_iterate(source: AsyncIterable[T] | Iterable[T]) -> AsyncIterator[T]:
    """Go over any iterable, of either kind."""
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield item
    else:
        for item in source:
            yield item


closing = contextlib.closing
async_closing = contextlib.aclosing


# --- One for each event loop
# -------------------------------------------------------------------------------------------


class Scoped(Generic[T]):
    """One object for all threads."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._object = make()

    def get(self) -> T:
        """The object."""
        return self._object

    def all(self) -> list[T]:
        """Every object there is."""
        return [self._object]


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


# --- Several at once
# ---------------------------------------------------------------------------------------------------


class _Work(Generic[T]):
    """Jobs handed out one by one, and how they ended."""

    def __init__(self, jobs: Sequence[Callable[[], T]]) -> None:
        self._next = enumerate(jobs)
        self.outcomes: list[Outcome[Any]] = [Outcome(error=RuntimeError("not started"))] * len(jobs)
        self._lock = threading.Lock()
        self._stopped = False

    def take(self) -> tuple[int, Callable[[], T]] | None:
        with self._lock:
            return None if self._stopped else next(self._next, None)

    def stop(self) -> None:
        self._stopped = True


def gather(jobs: Sequence[Callable[[], T]], concurrency: int, *, drain: float = 0.0) -> list[Outcome[T]]:
    """Call all jobs, at most `concurrency` at a time; an outcome for each, in order.

    When interrupted (Ctrl-C), no further job starts; those under way get `drain` seconds to end, then are
    left to themselves, in threads that do not keep the process alive.
    """
    work = _Work(jobs)
    finished: Waiter[None] = Waiter()
    busy = [None] * min(concurrency, len(jobs))

    def worker() -> None:
        while (taken := work.take()) is not None:
            index, job = taken
            try:
                work.outcomes[index] = Outcome(job())
            except Exception as error:
                work.outcomes[index] = Outcome(error=error)
        busy.pop()
        if not busy:
            finished.set(None)

    if not jobs:
        return []
    threads = [threading.Thread(target=worker, name=f"arker-{n}", daemon=True) for n in range(len(busy))]
    try:
        for thread in threads:
            thread.start()
        while True:
            with contextlib.suppress(TimeoutError):
                finished.wait(3600)
                return work.outcomes
    except BaseException:
        work.stop()
        end = time.monotonic() + drain
        # Not all of them may have started, so there is nothing else to wait for.
        while time.monotonic() < end and any(thread.is_alive() for thread in threads):
            time.sleep(0.002)
        raise


async def async_gather(
    jobs: Sequence[Callable[[], Awaitable[T]]], concurrency: int, *, drain: float = 0.0
) -> list[Outcome[T]]:
    """Await all jobs, at most `concurrency` at a time; an outcome for each, in order.

    When cancelled, no further job starts; those under way get `drain` seconds to end, then are cancelled as
    well.
    """
    work = _Work(jobs)

    async def worker() -> None:
        while (taken := work.take()) is not None:
            index, job = taken
            try:
                work.outcomes[index] = Outcome(await job())
            except Exception as error:
                work.outcomes[index] = Outcome(error=error)

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
