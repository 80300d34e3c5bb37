# Derived from arker/_async/pool.py by `make generate`; do not edit.
"""HTTP/1.1 connections that are kept alive, and the pool that lends them.

Last in, first out: the connection used last is the one most surely alive, and those that a burst left over
grow old together. Lending one costs the same whether ten or a thousand are open.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Generator
from typing import cast

import h11

from arker._io import Buffer, reset_after_fork
from arker._io_sync import Stream, Waiter, closing
from arker.uploads import PIECE

Origin = tuple[str, str, int]

#: Seconds that an idle connection is kept.
IDLE = 30.0


class Connection:
    """One connection, open or to be opened; one request at a time."""

    __slots__ = ("__weakref__", "_ahead", "_h11", "_missing", "_stream", "idle_since", "origin", "sent")

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._stream: Stream | None = None
        self._h11 = h11.Connection(h11.CLIENT)
        #: How much of the answer's body is still to come, if it has a length: then it passes h11 by, which would
        #: copy every byte three times.
        self._missing: int | None = None
        #: What has been read beyond the head, or beyond the body.
        self._ahead = b""
        self.idle_since = 0.0
        #: Whether the request in progress has been handed over to the last byte, so that the server may act
        #: on it.
        self.sent = False

    @property
    def reusable(self) -> bool:
        """Whether the last exchange ended so that another can follow."""
        if self._h11.our_state is not h11.DONE:
            return False
        # What follows an answer unasked would be taken for the next one.
        if self._missing is not None:
            return self._missing == 0 and not self._ahead
        return self._h11.their_state is h11.DONE and not self._h11.trailing_data[0]

    def open(self, timeout: float) -> None:
        """Connect, if it is not connected yet. Raises OSError, TimeoutError."""
        if self._stream is None:
            scheme, host, port = self.origin
            self._stream = Stream.connect(host, port, tls=scheme == "https", timeout=timeout)

    def is_readable(self) -> bool:
        """Whether its server has said something, or has closed it; of an idle one either makes it useless."""
        return self._open.is_readable()

    @property
    def _open(self) -> Stream:
        assert self._stream is not None
        return self._stream

    def send(
        self,
        method: str,
        target: str,
        headers: list[tuple[bytes, bytes]],
        body: bytes | Generator[Buffer],
        timeout: float,
        deadline: float,
    ) -> None:
        """Send a request; `headers` has its Content-Length. Raises OSError, TimeoutError,
        h11.LocalProtocolError."""
        self._h11 = h11.Connection(h11.CLIENT)
        self._missing = None
        self.sent = False
        # Views, as tracebacks with their variables show only what is no view.
        head = memoryview(self._h11.send(h11.Request(method=method, target=target, headers=headers)) or b"")
        if isinstance(body, bytes):
            self._h11.send(h11.Data(data=body))
            self._h11.send(h11.EndOfMessage())
            data = memoryview(b"".join([head, body]))
            # The common small request is one packet.
            for start in range(0, len(data), PIECE):
                self._open.write(data[start : start + PIECE], _left(timeout, deadline))
        else:
            self._open.write(head, _left(timeout, deadline))
            with closing(body):
                for piece in body:
                    event = h11.Data(data=cast("bytes", piece))
                    for part in self._h11.send_with_data_passthrough(event) or ():
                        self._open.write(part, _left(timeout, deadline))
            self._h11.send(h11.EndOfMessage())
        self.sent = True

    def receive(self, timeout: float, deadline: float) -> h11.Response:
        """The status line and the headers of the answer. Raises OSError, TimeoutError,
        h11.RemoteProtocolError."""
        while True:
            event = self._event(timeout, deadline)
            if isinstance(event, h11.Response):
                self._pass_by(event)
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError("the connection was closed without an answer")

    def piece(self, timeout: float, deadline: float) -> Buffer | None:
        """The next piece of the body of the answer, None at its end. Raises as `receive`."""
        if self._missing is None:
            event = self._event(timeout, deadline)
            return event.data if isinstance(event, h11.Data) else None
        if self._missing == 0:
            return None
        data, self._ahead = self._ahead or self._open.read(_left(timeout, deadline)), b""
        if not data:
            raise h11.RemoteProtocolError(f"the connection was closed {self._missing} bytes before the end")
        if len(data) > self._missing:
            data, self._ahead = data[: self._missing], data[self._missing :]
        self._missing -= len(data)
        return data

    def _pass_by(self, head: h11.Response) -> None:
        fields = dict(head.headers)
        if (
            b"content-length" in fields
            and b"transfer-encoding" not in fields
            and head.status_code not in (204, 304)
        ):
            self._missing = int(fields[b"content-length"])
            self._ahead = self._h11.trailing_data[0]

    def _event(self, timeout: float, deadline: float) -> h11.Event | type[h11.PAUSED]:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            data = self._open.read(_left(timeout, deadline))
            if not data and self._h11.their_state is h11.SEND_RESPONSE:
                raise h11.RemoteProtocolError("the connection was closed without an answer")
            self._h11.receive_data(data)
        return event  # type: ignore[return-value]  # NEED_DATA is gone

    def close(self) -> None:
        """Close it, at once."""
        if self._stream is not None:
            self._stream.close()


def _left(timeout: float, deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline of the call has passed")
    return min(timeout, left)


class Pool:
    """Connections to any number of hosts, at most `limit` of them open at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._start()
        reset_after_fork(self)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        #: Idle connections, the one used last at the right.
        self._idle: dict[Origin, deque[Connection]] = {}
        #: Those that are idle, lent, or being opened. One that got lost because a Ctrl-C came between two steps
        #: leaves with its last reference.
        self._open: weakref.WeakSet[Connection] = weakref.WeakSet()
        #: Those who wait for a connection, to their origin.
        self._waiters: deque[tuple[Origin, Waiter[Connection]]] = deque()

    def reset_after_fork(self) -> None:
        """In a forked child: the connections are the parent's; closing our copies of them does not disturb
        it."""
        idle = [connection for queue in self._idle.values() for connection in queue]
        self._start()
        for connection in idle:
            connection.close()

    def acquire(self, origin: Origin, *, connect: float, patience: float) -> Connection:
        """A connection, to be given back by `release`.

        `connect` and `patience` are the longest times to open one and to wait for one to come free, in
        seconds. Raises OSError, TimeoutError.
        """
        found = self._take(origin)
        if isinstance(found, Waiter):
            try:
                connection = found.wait(patience)
            except BaseException as error:
                self._give_up(origin, found)
                if isinstance(error, TimeoutError):
                    raise TimeoutError(f"all of {self._limit} connections are in use") from None
                raise
        else:
            connection = found
        try:
            connection.open(connect)
        except BaseException:
            self.release(connection)
            raise
        return connection

    def _take(self, origin: Origin) -> Connection | Waiter[Connection]:
        """An idle connection, or one that may be opened; or something to wait for."""
        now = time.monotonic()
        useless: list[Connection] = []
        try:
            with self._lock:
                if self._closed:
                    raise OSError("the client is closed")
                queue = self._idle.setdefault(origin, deque())
                while queue and now - queue[0].idle_since > IDLE:
                    useless.append(queue.popleft())
                found: Connection | None = None
                while queue and found is None:
                    found = queue.pop()
                    if found.is_readable():
                        useless.append(found)
                        found = None
                self._open.difference_update(useless)
                if found is not None:
                    return found
                if len(self._open) < self._limit:
                    return self._new(origin)
                for other in self._idle.values():
                    if other:
                        useless.append(other.popleft())
                        self._open.discard(useless[-1])
                        return self._new(origin)
                waiter: Waiter[Connection] = Waiter()
                self._waiters.append((origin, waiter))
                return waiter
        finally:
            for connection in useless:
                connection.close()

    def _new(self, origin: Origin) -> Connection:
        connection = Connection(origin)
        self._open.add(connection)
        return connection

    def _give_up(self, origin: Origin, waiter: Waiter[Connection]) -> None:
        with self._lock:
            if (origin, waiter) in self._waiters:
                self._waiters.remove((origin, waiter))
                return
        # It was served in the meantime.
        self.release(waiter.value)

    def release(self, connection: Connection) -> None:
        """Give one back: to be used again if its last exchange is over in good order, else to be closed."""
        with self._lock:
            if connection.reusable and not self._closed:
                if not self._waiters:
                    connection.idle_since = time.monotonic()
                    self._idle.setdefault(connection.origin, deque()).append(connection)
                    return
                if self._waiters[0][0] == connection.origin:
                    self._waiters.popleft()[1].set(connection)
                    return
        connection.close()
        with self._lock:
            self._open.discard(connection)
            if self._waiters:
                origin, waiter = self._waiters.popleft()
                waiter.set(self._new(origin))

    def close(self) -> None:
        """Close what is idle now, and the rest when it is given back."""
        with self._lock:
            self._closed = True
            idle = [connection for queue in self._idle.values() for connection in queue]
            self._idle.clear()
        for connection in idle:
            connection.close()
