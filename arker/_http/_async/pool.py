"""The pool that lends connections.

Last in, first out: the connection used last is the most likely to be alive, and connections left over from a burst
expire together. The cost of lending one does not depend on how many are open.

In a burst of calls, only some open a connection at once; the others wait for a free connection or for their turn to
open one, whichever comes first. So a few connections serve a thousand short calls, while a thousand long calls get one
each, as fast as they can be opened.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from typing import Final

from arker._io import reset_after_fork
from arker._io_async import AsyncWaiter

from .connection import AsyncConnection, Origin

#: Seconds that an idle connection is kept.
IDLE: Final = 30.0
#: How many connections are opened at a time.
OPENING: Final = 32
#: Seconds after which a connection that is still being opened no longer counts as one of those: it waits for its
#: network or for a host that does not answer, and must not delay others.
SLOW: Final = 0.5


class AsyncPool:
    """Connections to any number of hosts, at most `limit` of them open at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._start()
        reset_after_fork(self)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        #: Idle connections, the last used one at the right.
        self._idle: dict[Origin, deque[AsyncConnection]] = {}
        #: Connections that are idle, lent, or being opened. A connection that a Ctrl-C between two steps loses
        #: disappears with its last reference.
        self._open: weakref.WeakSet[AsyncConnection] = weakref.WeakSet()
        #: Connections that are being opened, and until when they count.
        self._opening: weakref.WeakKeyDictionary[AsyncConnection, float] = weakref.WeakKeyDictionary()
        #: Callers that wait for a connection, with its origin.
        self._waiters: deque[tuple[Origin, AsyncWaiter[AsyncConnection]]] = deque()

    def reset_after_fork(self) -> None:
        """Forget the connections in a forked child: they belong to the parent. Closing the child's copies does not
        affect the parent."""
        idle = [connection for queue in self._idle.values() for connection in queue]
        self._start()
        for connection in idle:
            connection.close()

    async def acquire(self, origin: Origin, *, connect: float, patience: float) -> AsyncConnection:
        """Lend a connection; return it with `release`.

        `connect` and `patience` are the longest times to open one and to wait for one to come free, in
        seconds. Raises OSError, TimeoutError.
        """
        found = self._take(origin)
        connection = await self._wait(origin, found, patience) if isinstance(found, AsyncWaiter) else found
        if not connection.connected:
            try:
                await connection.open(connect)
            except BaseException:
                self.release(connection)
                raise
            self._opened(connection)
        return connection

    def _take(self, origin: Origin) -> AsyncConnection | AsyncWaiter[AsyncConnection]:
        """Return an idle connection, or one that may be opened; otherwise something to wait for."""
        now = time.monotonic()
        useless: list[AsyncConnection] = []
        try:
            with self._lock:
                if self._closed:
                    raise OSError("the client is closed")
                queue = self._idle.setdefault(origin, deque())
                while queue and now - queue[0].idle_since > IDLE:
                    useless.append(queue.popleft())
                found: AsyncConnection | None = None
                while queue and found is None:
                    found = queue.pop()
                    if found.is_readable():
                        useless.append(found)
                        found = None
                self._open.difference_update(useless)
                if found is not None:
                    return found
                if len(self._open) >= self._limit:
                    # Close an idle connection to another host to make room.
                    for other in self._idle.values():
                        if other:
                            useless.append(other.popleft())
                            self._open.discard(useless[-1])
                            break
                if self._may_open(now):
                    return self._new(origin, now)
                waiter: AsyncWaiter[AsyncConnection] = AsyncWaiter()
                self._waiters.append((origin, waiter))
                return waiter
        finally:
            for connection in useless:
                connection.close()

    def _may_open(self, now: float) -> bool:
        return len(self._open) < self._limit and (
            len(self._opening) < OPENING or sum(now < until for until in self._opening.values()) < OPENING
        )

    def _new(self, origin: Origin, now: float) -> AsyncConnection:
        connection = AsyncConnection(origin)
        self._open.add(connection)
        self._opening[connection] = now + SLOW
        return connection

    async def _wait(
        self, origin: Origin, waiter: AsyncWaiter[AsyncConnection], patience: float
    ) -> AsyncConnection:
        end = time.monotonic() + patience
        try:
            while True:
                left = end - time.monotonic()
                try:
                    return await waiter.wait(min(left, SLOW))
                except TimeoutError:
                    if left <= SLOW:
                        full = len(self._open) >= self._limit
                        raise TimeoutError(
                            f"all of {self._limit} connections are in use"
                            if full
                            else "too many are connecting"
                        ) from None
                    # Connections that are being opened may have become slow.
                    self._serve()
        except BaseException:
            with self._lock:
                if (origin, waiter) in self._waiters:
                    self._waiters.remove((origin, waiter))
                    raise
            # A connection arrived in the meantime.
            self.release(waiter.value)
            raise

    def _serve(self) -> None:
        """Let waiting callers open as many connections as allowed."""
        with self._lock:
            now = time.monotonic()
            while self._waiters and self._may_open(now):
                origin, waiter = self._waiters.popleft()
                waiter.set(self._new(origin, now))

    def _opened(self, connection: AsyncConnection) -> None:
        with self._lock:
            self._opening.pop(connection, None)
            closed = self._closed
        if closed:
            self.release(connection)
            raise OSError("the client is closed")
        if self._waiters:
            self._serve()

    def release(self, connection: AsyncConnection) -> None:
        """Return a connection: it is used again if its last exchange ended properly, else closed."""
        with self._lock:
            if connection.reusable and not self._closed and self._reuse(connection):
                return
        connection.close()
        with self._lock:
            self._open.discard(connection)
            self._opening.pop(connection, None)
        if self._waiters:
            self._serve()

    def _reuse(self, connection: AsyncConnection) -> bool:
        """Pass it to a caller that waits for its host, or keep it; False if waiting callers need its place."""
        full = len(self._open) >= self._limit
        for place, (origin, waiter) in enumerate(self._waiters):
            if origin == connection.origin:
                del self._waiters[place]
                waiter.set(connection)
                return True
            if full:
                return False
        connection.idle_since = time.monotonic()
        self._idle.setdefault(connection.origin, deque()).append(connection)
        return True

    def close(self) -> None:
        """Close idle connections and abort the exchanges on the others, which are closed on release."""
        with self._lock:
            self._closed = True
            idle = [connection for queue in self._idle.values() for connection in queue]
            self._idle.clear()
            lent = set(self._open).difference(idle)
        for connection in idle:
            connection.close()
        for connection in lent:
            connection.abort()
