"""How the blocking client waits. The twin of `_io_async`, name for name."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from ._http.sockets import Address, known_addresses, look_up, wait_for

T = TypeVar("T")

closing = contextlib.closing

#: What cancels a call: a Ctrl-C, or what a signal handler raises to end the process.
CANCELLED = (KeyboardInterrupt, SystemExit)


def resolve(host: str, port: int, timeout: float) -> list[Address]:
    """The addresses of a host. Raises OSError, TimeoutError."""
    if known := known_addresses(host, port):
        return known
    waiter: Waiter[list[Address] | OSError] = Waiter()
    look_up(host, port, waiter.set)
    try:
        result = waiter.wait(timeout)
    except TimeoutError:
        raise TimeoutError("looking up its address timed out") from None
    if isinstance(result, OSError):
        raise result
    return result


def readable(sock: socket.socket, timeout: float) -> None:
    """Wait until there is something to read. Raises TimeoutError; nothing is lost by it."""
    if not wait_for([sock], timeout):
        raise TimeoutError("timed out")


def writable(sock: socket.socket, timeout: float) -> None:
    """Wait until there is room to write. Raises TimeoutError."""
    if not wait_for([sock], timeout, write=True):
        raise TimeoutError("timed out")


def any_writable(sockets: Iterable[socket.socket], timeout: float) -> bool:
    """Wait until one of several can be written to, or has failed; False if `timeout` seconds pass."""
    return wait_for(sockets, timeout, write=True)


def waits_for_sockets() -> bool:
    """Whether this colour can: always."""
    return True


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
        """The value. Raises TimeoutError; one can wait again then."""
        if not self._event.wait(timeout):
            raise TimeoutError("timed out")
        return self.value


def called(function: Callable[[T], Any], value: T) -> None:
    """Call a function."""
    function(value)


def sleep(seconds: float) -> None:
    """Pause the thread."""
    time.sleep(seconds)


def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Call a function that blocks: here."""
    return function(*args)


def all_the_same(job: Callable[[], None], timeout: float) -> None:
    """Do a job of at most `timeout` seconds, which it keeps to by itself, although the call was cancelled."""
    job()


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

    def each(self, function: Callable[[T], object], timeout: float) -> None:
        """Call a function of every object."""
        function(self._object)


def attempt(job: Callable[[], T]) -> T:
    """Call a job of several."""
    return job()


def side_by_side(worker: Callable[[], None], count: int, *, stop: Callable[[], object], drain: float) -> None:
    """Call a function in `count` threads.

    When interrupted (Ctrl-C), it calls `stop`, waits `drain` seconds for those that end by themselves and leaves the
    rest to themselves, in threads that do not keep the process alive. What is no Exception (SystemExit) ends the call
    in the same way.
    """
    finished: Waiter[None] = Waiter()
    busy = [None] * count
    fatal: list[BaseException] = []

    def work() -> None:
        try:
            worker()
        except BaseException as error:
            stop()
            fatal.append(error)
        busy.pop()
        if not busy:
            finished.set(None)

    threads = [threading.Thread(target=work, name=f"arker-{n}", daemon=True) for n in range(count)]
    try:
        for thread in threads:
            thread.start()
        while True:
            with contextlib.suppress(TimeoutError):
                finished.wait(3600)
                if fatal:
                    raise fatal[0]
                return
    except BaseException:
        stop()
        end = time.monotonic() + drain
        # Not all of them may have started, so there is nothing else to wait for.
        while time.monotonic() < end and any(thread.is_alive() for thread in threads):
            time.sleep(0.002)
        raise
