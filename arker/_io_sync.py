"""Waiting in the blocking client. `_io_async` has the same names for the asyncio client."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from ._http.sockets import Address, known_addresses, look_up, wait_for
from .errors import ArkerError
from .hooks import logger

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

closing = contextlib.closing

#: The exceptions that cancel a call: Ctrl-C, or what a signal handler raises to end the process.
CANCELLED = (KeyboardInterrupt, SystemExit)


def resolve(host: str, port: int, timeout: float) -> list[Address]:
    """Return the addresses of a host. Raises OSError, TimeoutError."""
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
    """Wait until a socket is readable. Raises TimeoutError. A timeout loses no data."""
    if not wait_for([sock], timeout):
        raise TimeoutError("timed out")


def writable(sock: socket.socket, timeout: float) -> None:
    """Wait until a socket is writable. Raises TimeoutError."""
    if not wait_for([sock], timeout, write=True):
        raise TimeoutError("timed out")


def any_writable(sockets: Iterable[socket.socket], timeout: float) -> bool:
    """Wait until one of several sockets is writable or has failed; False after `timeout` seconds."""
    return wait_for(sockets, timeout, write=True)


def waits_for_sockets() -> bool:
    """Whether this colour can wait for sockets: always."""
    return True


def opening(function: F) -> F:
    """Decorate a function that opens something: its result can be used in a `with`-statement as it is."""
    return function


class Waiter(Generic[T]):
    """Passes one value from one thread to another. `value` is set as soon as it is given, even if no thread
    waits."""

    __slots__ = ("_event", "value")

    value: T

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self, value: T) -> None:
        """Give the value. Call this once."""
        self.value = value
        self._event.set()

    def wait(self, timeout: float) -> T:
        """Wait for the value. Raises TimeoutError; waiting again is possible."""
        if not self._event.wait(timeout):
            raise TimeoutError("timed out")
        return self.value


def called(function: Callable[[T], Any], value: T) -> None:
    """Call a function."""
    function(value)


def sleep(seconds: float) -> None:
    """Pause the thread."""
    time.sleep(seconds)


@contextlib.contextmanager
def after(seconds: float | None, job: Callable[[], object]) -> Iterator[None]:
    """Do a job in a thread beside the block when it takes longer than `seconds`. The end of the block waits for a job
    that has begun; an ArkerError of the job is logged."""
    if seconds is None:
        yield
        return

    def later() -> None:
        try:
            job()
        except ArkerError as error:
            logger.warning("%s", error)

    timer = threading.Timer(seconds, later)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Call a blocking function, in this thread."""
    return function(*args)


def shielded(job: Callable[[], None], timeout: float) -> None:
    """Do a job even if the call was cancelled. The job itself keeps to `timeout` seconds."""
    job()


def iterate(source: Iterable[T]) -> Iterator[T]:
    """Iterate over an iterable."""
    return iter(source)


class Scoped(Generic[T]):
    """One object for all threads."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._object = make()

    def get(self) -> T:
        """Return the object."""
        return self._object

    def all(self) -> list[T]:
        """Return all objects."""
        return [self._object]

    def each(self, function: Callable[[T], object], timeout: float) -> None:
        """Call a function for every object."""
        function(self._object)


def attempt(job: Callable[[], T]) -> T:
    """Call one job of several."""
    return job()


def side_by_side(worker: Callable[[], None], count: int, *, stop: Callable[[], object], drain: float) -> None:
    """Run a function in `count` threads.

    When interrupted (Ctrl-C), it calls `stop`, waits `drain` seconds for threads that end by themselves and leaves
    the rest running, in daemon threads that do not keep the process alive. Exceptions outside of Exception
    (SystemExit) end the call in the same way.
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
        # Poll: a thread may not have started, so there is nothing else to wait for.
        while time.monotonic() < end and any(thread.is_alive() for thread in threads):
            time.sleep(0.002)
        raise


class Background:
    """A background job of its owner, in a thread; its exceptions are ignored."""

    def __init__(self, job: Callable[[], None]) -> None:
        threading.Thread(target=job, name="arker-beside", daemon=True).start()

    def end(self) -> None:
        """Leave the job alone: a thread cannot be cancelled, and may wait for a file that never ends."""
