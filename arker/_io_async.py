"""Waiting in the asyncio client. `_io_sync` has the same names for the blocking client."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import socket
import sys
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable
from types import TracebackType
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast

from ._http.sockets import Address, known_addresses, look_up
from .errors import ArkerError
from .hooks import logger

T = TypeVar("T")
E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)
T_co = TypeVar("T_co", covariant=True)
P = ParamSpec("P")


class _Iterated(Protocol[E_co]):
    """What can be iterated over."""

    def __aiter__(self) -> AsyncIterator[E_co]: ...


async_closing = contextlib.aclosing

#: The exception that cancels a call.
CANCELLED = asyncio.CancelledError
_shielded_jobs: set[asyncio.Future[None]] = set()


async def async_resolve(host: str, port: int, timeout: float) -> list[Address]:
    """Return the addresses of a host. Raises OSError, TimeoutError."""
    if known := known_addresses(host, port):
        return known
    loop = asyncio.get_running_loop()
    waiter: AsyncWaiter[list[Address] | OSError] = AsyncWaiter()

    def done(result: list[Address] | OSError) -> None:
        # The loop may be closed already.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(waiter.set, result)

    look_up(host, port, done)
    try:
        result = await waiter.wait(timeout)
    except TimeoutError:
        raise TimeoutError("looking up its address timed out") from None
    if isinstance(result, OSError):
        raise result
    return result


async def async_readable(sock: socket.socket, timeout: float) -> None:
    """Wait until a socket is readable. Raises TimeoutError. A timeout or cancellation loses no data."""
    loop = asyncio.get_running_loop()
    descriptor = sock.fileno()
    future: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _wake, future)
    timer = loop.call_later(timeout, _expire, future)
    try:
        await future
    finally:
        timer.cancel()
        loop.remove_reader(descriptor)


async def async_writable(sock: socket.socket, timeout: float) -> None:
    """Wait until a socket is writable. Raises TimeoutError."""
    if not await async_any_writable([sock], timeout):
        raise TimeoutError("timed out")


async def async_any_writable(sockets: Iterable[socket.socket], timeout: float) -> bool:
    """Wait until one of several sockets is writable or has failed; False after `timeout` seconds."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    descriptors = [sock.fileno() for sock in sockets]
    for descriptor in descriptors:
        loop.add_writer(descriptor, _wake, future)
    timer = loop.call_later(timeout, _expire, future)
    try:
        await future
    except TimeoutError:
        return False
    finally:
        timer.cancel()
        for descriptor in descriptors:
            loop.remove_writer(descriptor)
    return True


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _expire(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(TimeoutError("timed out"))


def async_waits_for_sockets() -> bool:
    """Whether this event loop can wait for sockets; the default loop of Windows cannot."""
    return sys.platform != "win32" or not isinstance(asyncio.get_running_loop(), asyncio.ProactorEventLoop)


class Opening(Coroutine[Any, Any, T_co]):
    """A call that opens something. Await it, or let `async with` open it and close it at the end of its block; `async
    for` does that for one that can be iterated over."""

    __slots__ = ("_call", "_opened")

    def __init__(self, call: Coroutine[Any, Any, T_co]) -> None:
        self._call = call
        self._opened: Any = None

    def __await__(self) -> Generator[Any, Any, T_co]:
        return self._call.__await__()

    # With these, functions such as asyncio.create_task() take it for the coroutine that it stands for.

    def send(self, value: Any) -> Any:
        """See Coroutine."""
        return self._call.send(value)

    def throw(self, *error: Any) -> Any:
        """See Coroutine."""
        return self._call.throw(*error)

    def close(self) -> None:
        """See Coroutine."""
        self._call.close()

    async def __aenter__(self) -> T_co:
        self._opened = await self._call
        await self._opened.__aenter__()
        return cast("T_co", self._opened)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.__aexit__(kind, error, trace)

    async def __aiter__(self: Opening[_Iterated[E]]) -> AsyncIterator[E]:
        async with self as opened:
            async for element in opened:
                yield element


def async_opening(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Opening[T]]:
    """Decorate a coroutine function that opens something: see `Opening`."""

    @functools.wraps(function)
    def opening(*args: P.args, **options: P.kwargs) -> Opening[T]:
        return Opening(function(*args, **options))

    return opening


class AsyncWaiter(Generic[T]):
    """Passes one value from one task to another of the same event loop. `value` is set as soon as it is given."""

    __slots__ = ("_future", "_given", "value")

    value: T

    def __init__(self) -> None:
        self._given = False
        self._future: asyncio.Future[None] | None = None

    def set(self, value: T) -> None:
        """Give the value. Call this once."""
        self.value = value
        self._given = True
        if self._future is not None:
            _wake(self._future)

    async def wait(self, timeout: float) -> T:
        """Wait for the value. Raises TimeoutError; waiting again is possible."""
        if not self._given:
            loop = asyncio.get_running_loop()
            self._future = loop.create_future()
            timer = loop.call_later(timeout, _wake, self._future)
            try:
                await self._future
            finally:
                timer.cancel()
            if not self._given:
                raise TimeoutError("timed out")
        return self.value


async def async_called(function: Callable[[T], Any], value: T) -> None:
    """Call a function or a coroutine function."""
    result = function(value)
    if inspect.isawaitable(result):
        await result


async def async_sleep(seconds: float) -> None:
    """Pause the task."""
    await asyncio.sleep(seconds)


@contextlib.asynccontextmanager
async def async_after(seconds: float | None, job: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Do a job beside the block when it takes longer than `seconds`. The end of the block waits for a job that has
    begun; an ArkerError of the job is logged."""
    if seconds is None:
        yield
        return
    begun = False

    async def later() -> None:
        nonlocal begun
        await asyncio.sleep(seconds)
        begun = True
        try:
            await job()
        except ArkerError as error:
            logger.warning("%s", error)

    task = asyncio.ensure_future(later())
    try:
        yield
    finally:
        if not begun:
            task.cancel()
        await asyncio.wait([task])


async def async_in_thread(function: Callable[..., T], *args: Any) -> T:
    """Call a blocking function in a thread, so that the event loop continues."""
    return await asyncio.to_thread(function, *args)


async def async_shielded(job: Callable[[], Awaitable[None]], timeout: float) -> None:
    """Do a job of at most `timeout` seconds even if the call was cancelled. If it is cancelled again (some libraries
    repeat this until the task ends), the job continues, but nothing waits for it."""
    task = asyncio.ensure_future(job())
    _shielded_jobs.add(task)
    task.add_done_callback(_shielded_jobs.discard)
    await asyncio.wait([task], timeout=timeout)


async def async_iterate(source: AsyncIterable[T] | Iterable[T]) -> AsyncIterator[T]:
    """Iterate over a synchronous or asynchronous iterable."""
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield item
    else:
        for item in source:
            yield item


class AsyncScoped(Generic[T]):
    """One object per event loop. The object must not refer to the loop, or neither is ever freed."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._objects: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, T] = weakref.WeakKeyDictionary()

    def get(self) -> T:
        """Return the object of the running loop, making it if necessary."""
        loop = asyncio.get_running_loop()
        found = self._objects.get(loop)
        if found is None:
            # Loops may run in different threads, but each only asks for its own object.
            found = self._objects[loop] = self._make()
        return found

    def all(self) -> list[T]:
        """Return all objects."""
        return list(self._objects.values())

    async def each(self, function: Callable[[T], Awaitable[object]], timeout: float) -> None:
        """Await a function for every object in the object's own loop, in other loops than this one for at most
        `timeout` seconds. Objects of loops that do not run are left to the garbage collector."""
        here = asyncio.get_running_loop()
        for loop, item in list(self._objects.items()):
            if loop is here:
                await function(item)
            elif loop.is_running():

                async def call(item: T = item) -> None:
                    await function(item)

                elsewhere = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), loop))
                await asyncio.wait([elsewhere], timeout=timeout)


async def async_attempt(job: Callable[[], Awaitable[T]]) -> T:
    """Await one job of several. If something that the job waits for is cancelled, that is an error of the job."""
    try:
        return await job()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("the job was cancelled") from None


async def async_side_by_side(
    worker: Callable[[], Awaitable[None]], count: int, *, stop: Callable[[], object], drain: float
) -> None:
    """Run a coroutine function `count` times in parallel.

    When cancelled, it calls `stop`, waits `drain` seconds for workers that end by themselves and cancels the rest.
    """
    tasks = [asyncio.ensure_future(worker()) for _ in range(count)]
    try:
        await asyncio.wait(tasks)
    except BaseException:
        stop()
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


class AsyncBackground:
    """A background job of its owner; its exceptions are ignored."""

    def __init__(self, job: Callable[[], Awaitable[None]]) -> None:
        self._task = asyncio.ensure_future(job())

    async def end(self) -> None:
        """Cancel the job, and wait until it has ended."""
        self._task.cancel()
        await asyncio.wait([self._task])
