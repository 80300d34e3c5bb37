"""The process of a deployment: locks the state folder, drops root's privileges, serves, and stops cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import dataclasses
import encodings.idna  # noqa: F401 - once privileges are dropped, it may no longer be importable
import errno
import fcntl
import gc
import ipaddress
import json
import logging
import math
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import uvicorn
from starlette.types import ASGIApp

from arker.local.engine import BubblewrapEngine, EngineError, Limits, SandboxUnavailable, drop_privileges
from arker.local.http.app import create_app
from arker.local.http.bounds import Bounds
from arker.local.http.connections import bounded
from arker.local.http.metrics import Metrics
from arker.local.service.keys import generate, open_keys
from arker.local.service.platform import Platform
from arker.local.service.reserve import Reserve
from arker.local.storage.database import DATABASE, Database
from arker.local.storage.errors import StateError

from .folder import Holder, holder, lock_file
from .settings import Settings

log: logging.Logger = logging.getLogger("arker.server")

#: Seconds that a client may pause reading; its answer is in our memory meanwhile.
READ_WAIT: Final = 300.0
#: Maximum number of connections that wait to be accepted, and that are accepted at a time.
_BACKLOG: Final = 2048
_ACCEPTED: Final = 64
#: Size of a large block of memory in bytes: more than a piece of a file. And how much free memory is kept: more than a
#: flood of output or of a file needs at a time, as returning and getting it again takes longer than copying it.
_LARGE_BLOCK: Final = 2 << 20
_KEPT_FREE: Final = 4 << 20
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
#: Seconds between two log lines saying that no connection can be accepted.
_SAID_AGAIN: Final = 60.0
#: Seconds for which an idle connection is kept open.
KEEP_ALIVE: Final = 120


class StateInUseError(StateError):
    """Another deployment holds the state folder. `url` is where it serves, or None."""

    def __init__(self, state: Path, found: Holder | None) -> None:
        self.url: str | None = found.url if found and not found.stopping else None
        who = f" (pid {found.pid}, {self.url})" if found and self.url else ""
        super().__init__(f"another deployment is using {state}{who}; stop it, or name another state folder")


class Ready(NamedTuple):
    """A serving deployment: its URL, its state folder, and the key that was created, if any."""

    url: str
    state: Path
    new_key: str | None


def serve(
    settings: Settings,
    *,
    on_ready: Callable[[Ready], None],
    guest_key: str | None = None,
    stop_on: tuple[int, ...] = (),
) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; a second signal ends the process at once.

    Args:
        on_ready: called once requests are answered.
        guest_key: a key that is valid as long as this process lives and is not stored.
        stop_on: descriptors that end the deployment when they become readable.

    Raises:
        StateError, SandboxUnavailable, OSError: it could not start; nothing is left behind.
    """
    _more_files()
    _return_large_blocks()
    limits = limits_of(settings.limits)
    state = settings.state.expanduser().absolute()
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(_hold(state))
        listener = stack.enter_context(_listen(settings.host, settings.port))
        if os.geteuid() == 0:
            # Before anything else in the folder is opened: its content belongs to the user that we become, and root
            # would follow any link in it.
            drop_privileges(state)
        # Opening the database takes some disk space, too; the platform restores the reserve.
        Reserve(state).release()
        database = Database(state / DATABASE)
        stack.callback(database.close)
        new_key = _register_key(state, settings, guest_key)
        url = _url(listener)
        if not ipaddress.ip_address(listener.getsockname()[0]).is_loopback:
            log.warning("keys and files cross the network unencrypted; put a proxy with TLS before %s", url)
        for folder in ("staging", "engine"):
            (state / folder).mkdir(mode=0o700, exist_ok=True)
        engine = BubblewrapEngine(state / "engine", limits, network=settings.network)
        resources = {
            "vcpu": os.cpu_count(),
            "memory_mib": limits.memory // 2**20,
            "disk_mib": limits.disk // 2**20,
        }
        platform = Platform(
            database, engine, state, resources=resources, max_vms=settings.max_vms, guest_key=guest_key
        )
        app = create_app(
            platform,
            Metrics(),
            rate_limit=settings.rate_limit,
            public_url=settings.public_url,
            own_url=url,
            contract=settings.contract,
        )

        about = {
            "pid": os.getpid(),
            "url": url,
            "launched": guest_key is not None,
            "options": {
                "limits": dataclasses.asdict(limits),
                **settings.model_dump(include={"network", "max_vms", "rate_limit", "public_url"}),
            },
        }

        def ready() -> None:
            # Objects that exist now live as long as the process; the garbage collector need not visit them.
            gc.freeze()
            gc.enable()
            _say(lock, about)
            on_ready(Ready(url, state, new_key))

        def stopping() -> None:
            _say(lock, {**about, "stopping": True})
            app.state.context.stopping.set()

        server = _Server(app, settings.grace, ready, stopping)
        try:
            asyncio.run(_run(engine, platform, server, listener, stop_on))
        except SandboxUnavailable:
            raise
        except EngineError as error:
            raise StateError(str(error)) from None


async def _run(
    engine: BubblewrapEngine,
    platform: Platform,
    server: _Server,
    listener: socket.socket,
    stop_on: tuple[int, ...],
) -> None:
    server.listen_to(stop_on)
    await engine.start()
    try:
        await platform.start()
        try:
            await server.serve(sockets=[listener])
        finally:
            await platform.close()
    finally:
        await engine.close()


class _Server(uvicorn.Server):
    """uvicorn's server, stopped by us: it neither handles signals nor polls."""

    def __init__(
        self,
        app: ASGIApp,
        grace: float,
        on_ready: Callable[[], None],
        on_stopping: Callable[[], None],
        *,
        bounds: Bounds | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=bounded(bounds or Bounds()),
                backlog=_ACCEPTED,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE,
                # uvicorn takes whole seconds here only by its annotation.
                timeout_graceful_shutdown=grace,  # type: ignore[arg-type]
            )
        )
        self._on_ready = on_ready
        self._on_stopping = on_stopping
        self._stopping = asyncio.Event()

    def listen_to(self, stop_on: tuple[int, ...]) -> None:
        """Stop on signals, and when one of the descriptors becomes readable."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Under `nohup`, the end of the terminal does not stop it.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._stop, number)
        for fd in stop_on:
            loop.add_reader(fd, self._stop_for, fd)

    def _stop(self, number: int) -> None:
        """Handle a signal: the first one starts a graceful stop, the second one ends the process at once."""
        if self._stopping.is_set():
            # Sandboxes die with this process.
            os._exit(128 + number)
        log.info("stopping: signal=%s", signal.Signals(number).name)
        self._stopping.set()

    def _stop_for(self, fd: int) -> None:
        """Stop because the launcher of this deployment is gone or has released it."""
        asyncio.get_running_loop().remove_reader(fd)
        self._stopping.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing; the event loop handles signals."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, and report it."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(_BACKLOG)
        asyncio.get_running_loop().set_exception_handler(_quiet())
        self._on_ready()

    async def main_loop(self) -> None:
        """Keep the Date header current until it is time to stop."""
        while not self._stopping.is_set():
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._stopping.wait()
        self._on_stopping()


def _quiet() -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """Return a handler of unhandled exceptions. That no connection can be accepted is logged from time to time, without
    a traceback."""
    said = -math.inf

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal said
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            if loop.time() - said > _SAID_AGAIN:
                said = loop.time()
                log.error("no connection can be accepted for now: %s", error.strerror)
        else:
            loop.default_exception_handler(context)

    return handle


def _more_files() -> None:
    """Raise the limit of open descriptors; each live sandbox takes some."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else 1 << 20
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _return_large_blocks() -> None:
    """Return large blocks of memory to the kernel when they are freed. By default the C library keeps them, which after
    a burst of large requests is a lot."""
    with contextlib.suppress(AttributeError):  # not every C library has it
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE)


def limits_of(given: dict[str, float]) -> Limits:
    """Return the limits of a computer, as `given` or else by default.

    Raises:
        StateError: there is no such limit, or it cannot have such a value.
    """
    fields = {field.name: field for field in dataclasses.fields(Limits)}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in fields:
            raise StateError(f"there is no limit {name!r}; there are {', '.join(sorted(fields))}")
        values[name] = int(value) if isinstance(getattr(Limits(), name), int) else float(value)
    try:
        return Limits(**values)
    except ValueError as error:
        raise StateError(str(error)) from None


@contextlib.contextmanager
def _hold(state: Path) -> Iterator[int]:
    """Lock the state folder for this process; the lock file says who holds it."""
    fd = os.open(lock_file(state), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateInUseError(state, holder(state)) from None
        if (last := holder(state)) is not None:
            log.warning("the last deployment did not stop cleanly: pid=%d", last.pid)
        os.truncate(fd, 0)
        yield fd
        os.truncate(fd, 0)
    finally:
        os.close(fd)


def _say(lock: int, what: dict[str, object]) -> None:
    # One write, and the content never gets shorter, so that readers see either the old or the new content.
    os.pwrite(lock, json.dumps(what).encode(), 0)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        # Python appends the address to the system's message.
        why = str(error.strerror or error).partition(" (while attempting")[0]
        raise OSError(f"cannot listen on {host} port {port}: {why}; choose another with --port") from None
    # Inherited by accepted sockets; asyncio sets the first only on sockets with an explicit protocol.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(READ_WAIT * 1000))
    return listener


def _url(listener: socket.socket) -> str:
    host: str = listener.getsockname()[0]
    port: int = listener.getsockname()[1]
    if ipaddress.ip_address(host).is_unspecified:
        host = "::1" if ":" in host else "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _register_key(state: Path, settings: Settings, guest_key: str | None) -> str | None:
    """Make the given key valid; if there is no key at all, create one and return it."""
    with open_keys(state) as keys:
        if settings.api_key is not None:
            try:
                keys.register(settings.api_key.get_secret_value(), name="given to serve")
            except ValueError as error:
                raise StateError(str(error)) from None
            return None
        if guest_key is not None or any(key.valid for key in keys.listed()):
            return None
        key = generate()
        keys.register(key, name="made at the first start")
        return key


def configure_logging(level: str) -> None:
    """Log one line per event to standard error: time, level, name, and `name=value` pairs."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Our own log lines cover what uvicorn's say.
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, root.level))
