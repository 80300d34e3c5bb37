# Derived from arker/_http/_async/stream.py by `make generate`; do not edit.
"""TCP and TLS connections as streams of bytes."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from arker._http.sockets import Race, is_readable
from arker._http.tls import ssl_context
from arker._io import Buffer
from arker._io_sync import any_writable, readable, resolve, writable

T = TypeVar("T")
Wait = Callable[[socket.socket, float], None]

#: Bytes to read from a socket at a time.
READ = 256 * 1024
#: Most bytes in a TLS record.
_RECORD = 16 * 1024


class Stream:
    """A TCP or TLS connection.

    The socket does not block, and between two operations nothing (no event loop) refers to it: it can be closed from
    anywhere, and closes with its last reference. One task or thread may read while another one writes. A read that was
    cancelled or timed out has lost no data; after such a write the stream must be closed.

    Operations raise only OSError (including TimeoutError).
    """

    __slots__ = ("__weakref__", "_closed", "_lock", "_sock", "_waiting")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        #: OpenSSL must not read and write at the same time.
        self._lock = threading.Lock()
        #: How many operations wait for the socket. Meanwhile its descriptor must not be closed: the waiters would not
        #: wake, and the number may be that of another file soon.
        self._waiting = 0
        self._closed = False

    @classmethod
    def connect(cls, host: str, port: int, *, tls: bool, timeout: float) -> Stream:
        """Connect to the address of the host that answers first."""
        end = time.monotonic() + timeout
        race = Race(resolve(host, port, timeout))
        try:
            while (sock := race.step()) is None:
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError("connecting timed out")
                any_writable(race.sockets, min(race.pause, left))
        finally:
            race.close()
        stream = cls(sock)
        try:
            if tls:
                # A zone has a meaning only on this machine.
                stream.start_tls(host.partition("%")[0], end - time.monotonic())
        except BaseException:
            stream.close()
            raise
        return stream

    def start_tls(self, host: str, timeout: float) -> None:
        """Switch to TLS and verify the certificate of `host`."""
        secured = ssl_context().wrap_socket(self._sock, server_hostname=host, do_handshake_on_connect=False)
        self._sock = secured
        self._when_ready(secured.do_handshake, readable, timeout)

    def read(self, timeout: float) -> bytes:
        """Read some bytes; none at the end of the stream."""
        return self._when_ready(self._receive, readable, timeout)

    def write(self, data: Buffer, timeout: float) -> None:
        """Write all of `data`."""
        rest = memoryview(data)

        def send() -> int:
            return self._sock.send(rest)

        while rest:
            rest = rest[self._when_ready(send, writable, timeout) :]

    def _when_ready(self, operation: Callable[[], T], wait: Wait, timeout: float) -> T:
        """Do an operation of the socket as soon as possible; `wait` is what it waits for without TLS."""
        if self._closed:
            raise OSError("the connection is closed")
        end = 0.0
        while True:
            try:
                if not isinstance(self._sock, ssl.SSLSocket):
                    return operation()
                with self._lock:
                    return operation()
            except BlockingIOError:
                pass
            except ssl.SSLWantReadError:
                wait = readable
            except ssl.SSLWantWriteError:
                wait = writable
            end = end or time.monotonic() + timeout
            with self._lock:
                self._waiting += 1
            try:
                wait(self._sock, max(0, end - time.monotonic()))
            finally:
                with self._lock:
                    self._waiting -= 1
                    if self._closed and not self._waiting:
                        self._sock.close()

    def _receive(self) -> bytes:
        data = self._sock.recv(READ)
        if len(data) < _RECORD or not isinstance(self._sock, ssl.SSLSocket):
            return data
        # A full record: read all records that have arrived, as each piece has a cost in the HTTP layers.
        records = [data]
        # An error here, other than that no more data is there, occurs again in the next read.
        with contextlib.suppress(OSError):
            while len(data) == _RECORD and len(records) * _RECORD < READ:
                data = self._sock.recv(READ)
                records.append(data)
        return b"".join(records)

    def send_eof(self) -> bool:
        """Tell the other side that nothing more will be written; reading goes on. False over TLS, which cannot."""
        if isinstance(self._sock, ssl.SSLSocket):
            return False
        self._sock.shutdown(socket.SHUT_WR)
        return True

    def is_readable(self) -> bool:
        """Whether there is something to read, including the end."""
        if not is_readable(self._sock):
            return False
        if not isinstance(self._sock, ssl.SSLSocket):
            return True
        # It may be a TLS message without data, such as a session ticket.
        try:
            with self._lock:
                self._sock.recv(1)
        except ssl.SSLWantReadError:
            return False
        except OSError:
            pass
        return True

    def abort(self) -> None:
        """Wake readers and writers with the end of the stream; callable from any thread. The stream must still be
        closed."""
        with contextlib.suppress(OSError):
            # Bypass SSLSocket, which would continue without TLS.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the stream and end its readers and writers; callable from any thread, and more than once."""
        with self._lock:
            self._closed = True
            if not self._waiting:
                self._sock.close()
                return
        self.abort()

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # a Ctrl-C in __init__
            self.close()
