"""Sockets, as both colours use them: resolving hosts, connecting to the address that answers first. Nothing here
waits; `_io_async` and `_io_sync` do."""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from itertools import chain, zip_longest
from typing import Any, Final

#: An address of a host, as getaddrinfo returns it, without the canonical name.
Address = tuple[int, int, int, Any]

#: Seconds until the next address is tried in parallel (RFC 8305, section 5).
STAGGER: Final = 0.25
_CONNECTING: Final = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY})


def tcp_socket(family: int, kind: int, proto: int) -> socket.socket:
    """Make a non-blocking socket."""
    sock = socket.socket(family, kind, proto)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Detects within two minutes that a peer has vanished, even during a long command.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return sock


def wait_for(sockets: Iterable[socket.socket], seconds: float, *, write: bool = False) -> bool:
    """Wait until one of the sockets is readable (with `write`, writable) or has failed; False after `seconds`.

    Raises OSError, ValueError for a closed one.
    """
    if sys.platform == "win32":
        found = select.select(
            [] if write else sockets, sockets if write else [], sockets if write else [], seconds
        )
        return any(found)
    poll = select.poll()
    for sock in sockets:
        poll.register(sock, select.POLLOUT if write else select.POLLIN)
    return bool(poll.poll(max(0, seconds) * 1000))


def is_readable(sock: socket.socket) -> bool:
    """Whether there is something to read; on an idle connection, this is usually the end."""
    try:
        return wait_for([sock], 0)
    except (OSError, ValueError):
        return True


def known_addresses(host: str, port: int) -> list[Address]:
    """Parse a host that is an address (including IPv6 with a zone); empty for a name."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return []
    return _addresses(found)


def look_up(host: str, port: int, done: Callable[[list[Address] | OSError], object]) -> None:
    """Call `done` with the addresses of a host, or with the error, from a thread: the system's resolver has no
    timeout."""

    def work() -> None:
        result: list[Address] | OSError
        try:
            result = _addresses(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            result = error
        except UnicodeError as error:
            result = OSError(f"{host!r} is not the name of a host: {error}")
        done(result)

    try:
        threading.Thread(target=work, name="arker-lookup", daemon=True).start()
    except RuntimeError:
        # Threads cannot start while the interpreter shuts down.
        work()


def _addresses(found: Iterable[tuple[Any, ...]]) -> list[Address]:
    return [(family, kind, proto, address) for family, kind, proto, _, address in found]


def interleaved(addresses: list[Address]) -> list[Address]:
    """Order addresses as they are tried: as the system prefers them, but alternating between families (RFC 8305,
    section 4)."""
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    return [address for address in chain(*zip_longest(*families.values())) if address is not None]


class Race:
    """Connects to a host by RFC 8305: it tries the addresses one after another, the next when the last has failed or
    has not answered for STAGGER seconds, and the first that connects wins.

    The owner calls `step` until it returns a socket. Between two steps, it waits until one of `sockets` is writable,
    for at most `pause` seconds. At the end, it always calls `close`.
    """

    def __init__(self, addresses: list[Address]) -> None:
        self._left = interleaved(addresses)
        #: Sockets that are connecting.
        self.sockets: list[socket.socket] = []
        self._failure = OSError("the host has no address")
        self._next_at = 0.0

    @property
    def pause(self) -> float:
        """Seconds until the next step is due, whatever the sockets do."""
        return max(0.0, self._next_at - time.monotonic()) if self._left else 3600.0

    def step(self) -> socket.socket | None:
        """Return the socket that has connected, which then belongs to the caller; None if there is none yet. Raises
        OSError when every address has failed."""
        for sock in [sock for sock in self.sockets if wait_for([sock], 0, write=True)]:
            self.sockets.remove(sock)
            if self._connected(sock, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
                return sock
        while self._left and (not self.sockets or time.monotonic() >= self._next_at):
            family, kind, proto, address = self._left.pop(0)
            self._next_at = time.monotonic() + STAGGER
            try:
                sock = tcp_socket(family, kind, proto)
            except OSError as error:
                self._failure = error
                continue
            # Before an interruption is possible, so that `close` finds it.
            self.sockets.append(sock)
            code = sock.connect_ex(address)
            if code not in _CONNECTING:
                self.sockets.remove(sock)
                if self._connected(sock, code):
                    return sock
        if not self.sockets:
            raise self._failure
        return None

    def _connected(self, sock: socket.socket, code: int) -> bool:
        if code:
            sock.close()
            self._failure = OSError(code, os.strerror(code))
        return not code

    def close(self) -> None:
        """Close the sockets that are still connecting."""
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()
