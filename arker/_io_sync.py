"""What cannot be derived, for the blocking client: sockets, waiting, threads. The twin of `_io_async`, name
for name.

Streams raise nothing but OSError (TimeoutError among them), closing never blocks, and whatever is interrupted
half-way has to be closed by its owner.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from ._io import READ, RECORD, Buffer, Work, addresses, is_readable, ssl_context, tcp_socket
from .results import Outcome

T = TypeVar("T")

closing = contextlib.closing


class Stream:
    """A TCP or TLS connection, blocking."""

    __slots__ = ("__weakref__", "_sock")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    @classmethod
    def connect(cls, host: str, port: int, *, tls: bool, timeout: float) -> Stream:
        """Open one to the first address that answers."""
        deadline = time.monotonic() + timeout
        hosts = addresses(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        failure: OSError = OSError("the host has no address")
        for left, (family, kind, proto, address) in zip(range(len(hosts), 0, -1), hosts, strict=True):
            sock = tcp_socket(family, kind, proto)
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
        data = self._sock.recv(READ)
        if len(data) < RECORD or not isinstance(self._sock, ssl.SSLSocket):
            return data
        # A full record: take all that have come, as each piece costs its way through HTTP.
        records = [data]
        self._sock.settimeout(0)
        # What ends this, but for there being no more, is met again by the next read.
        with contextlib.suppress(OSError):
            while data and len(records) * RECORD < READ:
                data = self._sock.recv(READ)
                records.append(data)
        return b"".join(records)

    def write(self, data: Buffer, timeout: float) -> None:
        """All of `data`."""
        self._sock.settimeout(timeout)
        self._sock.sendall(data)

    def is_readable(self) -> bool:
        """Whether there is something to read, such as the end."""
        return is_readable(self._sock)

    def close(self) -> None:
        """Close it; harmless when it is closed."""
        self._sock.close()

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # a Ctrl-C in __init__
            self.close()


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


def sleep(seconds: float) -> None:
    """Pause the thread."""
    time.sleep(seconds)


def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Call a function that blocks: here."""
    return function(*args)


def iterate(source: Iterable[T]) -> Iterator[T]:
    """Go over any iterable."""
    return iter(source)


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


def gather(jobs: Sequence[Callable[[], T]], concurrency: int, *, drain: float = 0.0) -> list[Outcome[T]]:
    """Call all jobs, at most `concurrency` at a time; an outcome for each, in order.

    When interrupted (Ctrl-C), no further job starts; those under way get `drain` seconds to end, then are
    left to themselves, in threads that do not keep the process alive.
    """
    work = Work(jobs)
    finished: Waiter[None] = Waiter()
    busy = [None] * min(concurrency, len(jobs))
    fatal: list[BaseException] = []

    def worker() -> None:
        while (taken := work.take()) is not None:
            index, job = taken
            try:
                work.outcomes[index] = Outcome(job())
            except Exception as error:
                work.outcomes[index] = Outcome(error=error)
            except BaseException as error:
                # SystemExit, as a rule: it ends the call, as it would in its own thread.
                work.stop()
                fatal.append(error)
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
                if fatal:
                    raise fatal[0]
                return work.outcomes
    except BaseException:
        work.stop()
        end = time.monotonic() + drain
        # Not all of them may have started, so there is nothing else to wait for.
        while time.monotonic() < end and any(thread.is_alive() for thread in threads):
            time.sleep(0.002)
        raise
