"""Ports of computers: connections from the host to servers inside, and sockets of the host inside.

A sandbox has its own network namespace. A socket belongs to the namespace in which it was created, even when another
process uses it. So a helper process (`_entering`) creates unconnected sockets inside and passes them here, and the loop
connects or binds them. No process runs in the sandbox for it, and no guest sees the helper.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from arker.local.engine import _entering
from arker.local.engine.protocol import EngineError, LimitReached, PortClosed, SandboxUnavailable
from arker.local.engine.sandbox import Sandbox

#: Seconds that the helper may take for a request, and a server inside to accept a connection.
_HELPER_SECONDS = 5.0
_CONNECT_SECONDS = 10.0
#: Sockets created at once; spare ones serve the next connections.
_BATCH = 16
#: Maximum number of connections to one computer at a time.
_CONNECTIONS = 256
_READ = 1 << 16
#: Read before privileges are dropped: an unprivileged user may not reach the file.
_PROGRAM = Path(_entering.__file__).read_text()
_LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


class Helper:
    """The helper process of an engine; started again if it died. `bounds` are the sysctls for the namespaces of
    sandboxes."""

    def __init__(self, bounds: Mapping[str, str]) -> None:
        lines = "".join(f"{name} {value}\n" for name, value in bounds.items())
        self._bounds = _entering.REQUEST.pack(_entering.BOUNDS, 0) + lines.encode()
        #: The kinds of the namespaces that have these.
        self._bounded = ["ipc", "net"] if any(name.startswith("net/") for name in bounds) else ["ipc"]
        self._turn = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The pid of the helper, if it was started."""
        return self._process.pid if self._process is not None else None

    async def sockets(self, sandbox: Sandbox, family: int, count: int) -> list[socket.socket]:
        """Create unconnected, non-blocking stream sockets inside a sandbox; the caller closes them.

        Raises OSError when the sandbox does not have the address family, EngineError.
        """
        # To its end even if the caller is cancelled: the answer to come belongs to this request.
        work = asyncio.ensure_future(self._sockets(sandbox, family, count))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            work.add_done_callback(_discard)
            raise

    async def _sockets(self, sandbox: Sandbox, family: int, count: int) -> list[socket.socket]:
        async with self._turn:
            for _ in range(2):
                if self._closed or sandbox.ended.done():
                    break
                try:
                    async with asyncio.timeout(_HELPER_SECONDS):
                        return await self._ask(sandbox, family, count)
                except (ConnectionError, TimeoutError):
                    self._stop()
        raise EngineError("no connection into the computer could be made")

    async def _ask(self, sandbox: Sandbox, family: int, count: int) -> list[socket.socket]:
        request = _entering.REQUEST.pack(family, count)
        failure, fds = await self._answer(request, sandbox, ["net"], count)
        made = [socket.socket(fileno=fd) for fd in fds]
        for sock in made:
            sock.setblocking(False)
        if failure:
            raise OSError(failure, os.strerror(failure))
        return made

    async def _answer(
        self, request: bytes, sandbox: Sandbox, kinds: Sequence[str], count: int
    ) -> tuple[int, list[int]]:
        with contextlib.ExitStack() as stack:
            namespaces = []
            for kind in kinds:
                namespaces.append(sandbox.namespace(kind))
                stack.callback(os.close, namespaces[-1])
            channel = self.start()
            socket.send_fds(channel, [request], namespaces)
        await _readable(channel)
        data, fds, _, _ = socket.recv_fds(
            channel, _entering.ANSWER.size, count, flags=socket.MSG_CMSG_CLOEXEC
        )
        if not data:
            raise ConnectionResetError("the helper died")
        return _entering.ANSWER.unpack(data)[0], fds

    async def bound(self, sandbox: Sandbox) -> int:
        """Set the sysctls of the namespaces of a sandbox; return how many of them the kernel refused.

        Must not be cancelled before the helper is closed: the answer to come belongs to this request. Raises
        SandboxUnavailable.
        """
        failure = errno.EIO
        async with self._turn:
            for _ in range(2):
                if self._closed or sandbox.stopping:
                    break
                try:
                    async with asyncio.timeout(_HELPER_SECONDS):
                        failure, _ = await self._answer(self._bounds, sandbox, self._bounded, 0)
                    break
                except (OSError, TimeoutError):
                    self._stop()
        if failure > 0:
            raise SandboxUnavailable(f"the limits of the sandbox could not be set: {os.strerror(failure)}")
        return -failure

    def start(self) -> socket.socket:
        """Return the channel to the process, which is started unless it runs. Raises OSError."""
        if self._channel is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                # -I -S: no environment, no site-packages.
                command = [sys.executable, "-I", "-S", "-c", _PROGRAM]
                try:
                    self._process = subprocess.Popen(
                        command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env={}, close_fds=True
                    )
                except OSError:
                    ours.close()
                    raise
            ours.setblocking(False)
            self._channel = ours
        return self._channel

    def _stop(self) -> None:
        channel, self._channel = self._channel, None
        process, self._process = self._process, None
        if channel is not None:
            channel.close()
        if process is not None:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End the helper permanently."""
        self._closed = True
        self._stop()


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    # By its number: the loop would look for the addresses of a socket, to describe it.
    fd = sock.fileno()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)


def _discard(work: asyncio.Future[list[socket.socket]]) -> None:
    if not work.cancelled() and work.exception() is None:
        for sock in work.result():
            sock.close()


class Connection:
    """A connection to a server in a computer; a `ByteStream`."""

    def __init__(self, sock: socket.socket, on_close: Callable[[], None]) -> None:
        self._socket = sock
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()

    async def receive(self, size: int = _READ) -> bytes:
        """Return up to `size` bytes as soon as there are any; empty at the end. Raises OSError when the connection
        broke."""
        return await self._loop.sock_recv(self._socket, size)

    async def send(self, data: bytes) -> None:
        """Send all of `data`; waits while the server does not read. Raises OSError when the connection broke."""
        await self._loop.sock_sendall(self._socket, data)

    async def send_eof(self) -> None:
        """Close the sending direction; the other one stays open."""
        with contextlib.suppress(OSError):  # the connection broke; receive() raises
            self._socket.shutdown(socket.SHUT_WR)

    async def close(self) -> None:
        """Close both directions. May be called twice."""
        if self._socket.fileno() >= 0:
            self._socket.close()
            self._on_close()


class Ports:
    """The ports of one live sandbox."""

    def __init__(self, sandbox: Sandbox, helper: Helper) -> None:
        self._sandbox = sandbox
        self._helper = helper
        self._spare: dict[int, list[socket.socket]] = {socket.AF_INET: [], socket.AF_INET6: []}
        self._open = 0
        # Spare sockets would keep the namespace of the sandbox alive.
        sandbox.ended.add_done_callback(lambda _: self._clear())

    async def connect(self, port: int) -> Connection:
        """Connect to the server on `port` of 127.0.0.1 or ::1 inside.

        Raises PortClosed, LimitReached, EngineError.
        """
        if self._open >= _CONNECTIONS:
            raise LimitReached(f"a computer has at most {_CONNECTIONS} connections from outside at a time")
        self._open += 1
        try:
            return Connection(await self._connect(port), self._closed)
        except BaseException:
            self._closed()
            raise

    def _closed(self) -> None:
        self._open -= 1

    async def _connect(self, port: int) -> socket.socket:
        for family, address in _LOOPBACKS:
            try:
                sock = await self._take(family)
            except OSError as error:
                if error.errno != errno.EAFNOSUPPORT:
                    raise EngineError(f"no connection into the computer: {error.strerror}") from error
                continue
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await asyncio.get_running_loop().sock_connect(sock, (address, port))
            except TimeoutError:
                sock.close()
                raise PortClosed(
                    f"the server on port {port} accepted no connection for {_CONNECT_SECONDS:.0f} s"
                ) from None
            except OSError:
                sock.close()
            except BaseException:
                sock.close()
                raise
            else:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock
        raise PortClosed(f"nothing listens on port {port}")

    async def _take(self, family: int) -> socket.socket:
        spare = self._spare[family]
        if not spare:
            made = await self._helper.sockets(self._sandbox, family, _BATCH)
            if self._sandbox.ended.done():
                for sock in made:
                    sock.close()
                raise PortClosed("the computer stopped")
            spare += made
        return spare.pop()

    def _clear(self) -> None:
        for spare in self._spare.values():
            while spare:
                spare.pop().close()
