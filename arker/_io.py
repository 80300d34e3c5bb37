"""What both colours need of the system: sockets, TLS, forks, jobs. See `_io_sync` and `_io_async` for what
differs."""

from __future__ import annotations

import functools
import os
import select
import socket
import ssl
import struct
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from .results import Outcome

T = TypeVar("T")

Buffer = bytes | bytearray | memoryview
#: One address of a host, as getaddrinfo gives it, without the canonical name.
Address = tuple[int, int, int, Any]

#: Bytes asked of a socket at a time.
READ = 256 * 1024
#: The value of SO_LINGER by which closing discards what was not sent.
RESET = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
#: Most bytes that a record of TLS holds.
RECORD = 16 * 1024


@functools.cache
def ssl_context() -> ssl.SSLContext:
    """The process's one TLS context; making one costs 20 ms."""
    import certifi

    # The roots that the rest of the ecosystem trusts: certifi's, unless the user has others.
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file:
        folder = None
    elif not folder:
        file = certifi.where()
    try:
        context = ssl.create_default_context(cafile=file, capath=folder)
    except OSError as error:
        raise OSError(
            f"no certificates to trust in {file or folder} (SSL_CERT_FILE, SSL_CERT_DIR): {error}"
        ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def addresses(found: Sequence[tuple[Any, ...]]) -> list[Address]:
    """What getaddrinfo found, as sockets take it."""
    return [(family, kind, proto, address) for family, kind, proto, _, address in found]


def tcp_socket(family: int, kind: int, proto: int) -> socket.socket:
    """A socket for requests and answers."""
    sock = socket.socket(family, kind, proto)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A peer that vanished without a word is noticed in two minutes even while a long command runs.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return sock


def is_readable(sock: socket.socket) -> bool:
    """Whether there is something to read: of an idle connection the end, as a rule."""
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


class Work(Generic[T]):
    """Jobs handed out one by one, and how they ended."""

    def __init__(self, jobs: Sequence[Callable[[], T]]) -> None:
        self._next = enumerate(jobs)
        self.outcomes: list[Outcome[Any]] = [Outcome(error=RuntimeError("not started"))] * len(jobs)
        self._lock = threading.Lock()
        self._stopped = False

    def take(self) -> tuple[int, Callable[[], T]] | None:
        """The next job and its place, if there is one."""
        with self._lock:
            return None if self._stopped else next(self._next, None)

    def stop(self) -> None:
        """Hand out no more."""
        self._stopped = True
