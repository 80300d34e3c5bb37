"""HTTP/1.1 connections that are kept alive, and the pool that lends them.

Last in, first out: the connection used last is the one most surely alive, and those that a burst left over
grow old together. Lending one costs the same whether ten or a thousand are open.
"""

from __future__ import annotations

import threading
import time
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
    """One connection; one request at a time."""

    __slots__ = ("_ahead", "_h11", "_last", "_missing", "_stream", "idle_since", "origin", "sent")

    def __init__(self, origin: Origin, stream: Stream) -> None:
        self.origin = origin
        self._stream = stream
        self._h11 = h11.Connection(h11.CLIENT)
        #: How much of the answer's body is still to come, if it has a length: then it passes h11 by, which would
        #: copy every byte three times.
        self._missing: int | None = None
        #: What has been read beyond the head, or beyond the body.
        self._ahead = b""
        #: Whether the server closes the connection behind the answer.
        self._last = False
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
            return self._missing == 0 and not self._ahead and not self._last
        return self._h11.their_state is h11.DONE and not self._h11.trailing_data[0]

    def is_stale(self) -> bool:
        """Whether its server has closed it (or says something that nobody asked for) while it was idle."""
        return self._stream.is_readable()

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
        request = h11.Request(method=method, target=target, headers=headers)
        head = self._h11.send(request) or b""
        if isinstance(body, bytes):
            data = head + (self._h11.send(h11.Data(data=body)) or b"")
            self._h11.send(h11.EndOfMessage())
            # The common small request is one packet.
            for start in range(0, len(data), PIECE):
                self._stream.write(data[start : start + PIECE], _left(timeout, deadline))
        else:
            self._stream.write(head, _left(timeout, deadline))
            with closing(body):
                for piece in body:
                    event = h11.Data(data=cast("bytes", piece))
                    for part in self._h11.send_with_data_passthrough(event) or ():
                        self._stream.write(part, _left(timeout, deadline))
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
        data, self._ahead = self._ahead or self._stream.read(_left(timeout, deadline)), b""
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
            self._last = head.http_version != b"1.1" or any(
                name == b"connection" and b"close" in value.lower() for name, value in head.headers
            )

    def _event(self, timeout: float, deadline: float) -> h11.Event | type[h11.PAUSED]:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            data = self._stream.read(_left(timeout, deadline))
            if not data and self._h11.their_state is h11.SEND_RESPONSE:
                raise h11.RemoteProtocolError("the connection was closed without an answer")
            self._h11.receive_data(data)
        return event  # type: ignore[return-value]  # NEED_DATA is gone

    def close(self) -> None:
        """Close it, at once."""
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
        #: How many are idle, lent, or being opened.
        self._open = 0
        #: Those who wait: for a connection to their origin, or (None) for leave to open one.
        self._waiters: deque[tuple[Origin, Waiter[Connection | None]]] = deque()

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
        connection, waiter = self._take(origin)
        if waiter is not None:
            try:
                connection = waiter.wait(patience)
            except BaseException as error:
                self._give_up(origin, waiter)
                if isinstance(error, TimeoutError):
                    raise TimeoutError(f"all of {self._limit} connections are in use") from None
                raise
        if connection is not None:
            return connection
        try:
            scheme, host, port = origin
            return Connection(origin, Stream.connect(host, port, tls=scheme == "https", timeout=connect))
        except BaseException:
            self._freed()
            raise

    def _take(self, origin: Origin) -> tuple[Connection | None, Waiter[Connection | None] | None]:
        """An idle connection; or leave to open one (nothing); or something to wait for."""
        now = time.monotonic()
        useless: list[Connection] = []
        try:
            with self._lock:
                if self._closed:
                    raise OSError("the client is closed")
                queue = self._idle.setdefault(origin, deque())
                while queue and now - queue[0].idle_since > IDLE:
                    useless.append(queue.popleft())
                    self._open -= 1
                while queue:
                    connection = queue.pop()
                    if not connection.is_stale():
                        return connection, None
                    useless.append(connection)
                    self._open -= 1
                if self._open < self._limit:
                    self._open += 1
                    return None, None
                for other in self._idle.values():
                    if other:
                        useless.append(other.popleft())
                        return None, None
                waiter: Waiter[Connection | None] = Waiter()
                self._waiters.append((origin, waiter))
                return None, waiter
        finally:
            for connection in useless:
                connection.close()

    def _give_up(self, origin: Origin, waiter: Waiter[Connection | None]) -> None:
        with self._lock:
            if (origin, waiter) in self._waiters:
                self._waiters.remove((origin, waiter))
                return
        # It was served in the meantime.
        if waiter.value is None:
            self._freed()
        else:
            self.release(waiter.value)

    def _freed(self) -> None:
        with self._lock:
            if self._waiters:
                self._waiters.popleft()[1].set(None)
            else:
                self._open -= 1

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
        self._freed()

    def close(self) -> None:
        """Close what is idle now, and the rest when it is given back."""
        with self._lock:
            self._closed = True
            idle = [connection for queue in self._idle.values() for connection in queue]
            self._idle.clear()
        for connection in idle:
            connection.close()
