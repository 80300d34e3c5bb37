"""One live computer: its sandbox, started when needed; its sessions; its files."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import time
from collections.abc import Callable, Collection, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from arker.local.engine import resting, sandbox_files, small_files, trees
from arker.local.engine.checkpoint import Checkpoint
from arker.local.engine.digests import Digests
from arker.local.engine.file_protocol import Conditions
from arker.local.engine.filesystem import changes
from arker.local.engine.filesystem.root import Root, told
from arker.local.engine.filesystem.watching import Watching
from arker.local.engine.gate import Gate
from arker.local.engine.images import MOUNT_POINTS, Image
from arker.local.engine.limits import Limits
from arker.local.engine.meminfo import host_meminfo, meminfo
from arker.local.engine.meter import Meter
from arker.local.engine.ports import Connection, Helper, Ports
from arker.local.engine.processes import Process
from arker.local.engine.protocol import (
    ComputerFull,
    EngineError,
    LimitReached,
    Load,
    PortClosed,
    Reason,
    SandboxUnavailable,
    StorageFull,
    SystemBroken,
    TerminalSize,
    Unsupported,
)
from arker.local.engine.readable import LocalFile
from arker.local.engine.runs import LocalRun
from arker.local.engine.sandbox import FIRST, MEMINFO, Disk, Sandbox, disk_usage
from arker.local.engine.session import Session, Surroundings, send_until_gone
from arker.local.engine.shell import ShellState
from arker.local.engine.store import VmRow, new_layer
from arker.local.engine.terminal import Attachment, State, Terminal

log: logging.Logger = logging.getLogger("arker.engine")

T = TypeVar("T")

_SETTLE_SECONDS = 1.0
#: How long to wait for killed processes, and to kill those that they started meanwhile.
_KILL_SECONDS = 1.0
#: Least time between two log lines about the limits of one computer.
_WARN_SECONDS = 10.0
#: Maximum bytes of the checkpoints of one computer, which are held in memory; one that does not fit is dropped.
_CHECKPOINTS = 32 << 20
_TERMINALS = 16


def storage_error(error: OSError, what: str) -> EngineError:
    """Translate a failure of the host's disk into an error of the engine."""
    if isinstance(sandbox_files.translate(error, ""), StorageFull):
        return StorageFull(f"{what}: the disk of the deployment is full")
    if error.errno == errno.ELOOP:
        return LimitReached(f"{what}: {error.strerror}")
    return EngineError(f"{what}: {error.strerror or error}")


def _remove_control(folder: str) -> None:
    with contextlib.suppress(OSError):
        os.chmod(folder, 0o700)
        small_files.remove_folder(folder)


class Host(NamedTuple):
    """What computers need from their engine."""

    store: Path
    limits: Limits
    network: bool
    #: Threads for work on files, and the known digests of files.
    threads: Executor
    digests: Digests
    #: Starts a task that outlives the call.
    spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    #: Called with the layers that a sandbox starts to use, and when it no longer uses them.
    take: Callable[[tuple[str, ...]], None]
    release: Callable[[tuple[str, ...]], None]
    #: Scratch folders of mounts that ended, for the next ones.
    scratch: list[str]
    #: Held while a sandbox starts.
    starts: asyncio.Semaphore
    #: The live sandboxes of all computers.
    sandboxes: set[Sandbox]
    #: Makes sockets in sandboxes and sets their kernel limits.
    helper: Helper
    #: The deployment's part of the cgroup tree.
    part: Path | None
    #: Called when a session has changed and must be saved.
    unsaved: Callable[[], None]

    def layer(self, name: str) -> Path:
        """Return the folder of a layer."""
        return self.store / "layers" / name

    def filesystem(self, name: str) -> Path:
        """Return the folder of a file system that outlives computers."""
        return self.store / "filesystems" / name


@dataclass(slots=True, eq=False)
class Computer:
    """A computer. Its `gate` is shared for using the sandbox, and exclusive while layers change."""

    host: Host
    id: str
    image: Image
    #: Layers shared with others, the lowest first, and the layer that this computer alone writes.
    frozen: tuple[str, ...]
    top: str
    sessions: dict[str, Session]
    gate: Gate = field(default_factory=Gate)
    sandbox: Sandbox | None = None
    used: float = field(default_factory=time.monotonic)
    #: File systems by their mount points: those mounted at the next start, and those mounted now.
    mounts: dict[str, str] = field(default_factory=dict)
    mounted: dict[str, str] = field(default_factory=dict)
    #: Why the others could not be mounted at the last start, by their mount points.
    unmountable: dict[str, str] = field(default_factory=dict)
    #: Whether limits must be enforced, because processes may be running.
    watched: bool = False
    #: Bytes written, as last measured, and whether its processes had sent descriptors that none had received.
    size: int = 0
    in_flight: bool = False
    #: How full the disk was then, or the least since; None if that is unknown.
    measured_at: int | None = None
    #: When that was measured, how many seconds it took, and the bytes that descriptors in flight may hide.
    measured: float = 0.0
    measured_for: float = 0.0
    hidden: int = 0
    #: Bytes on disk, beyond its limit, for which processes were killed already.
    tolerated: int = 0
    #: Whether the writers were gone when the excess was measured. If this happens again, commands are shorter than the
    #: measurements of their writes.
    escaped: bool = False
    #: Processes that the kernel is known to have killed for memory.
    killed_by_kernel: int = 0
    #: When a line about limits may be logged again, on the monotonic clock.
    warn_at: float = 0.0
    #: Measures the commands of the sandbox.
    meter: Meter | None = None
    #: The watches of its folders.
    watching: Watching = field(init=False)
    _ports: Ports | None = None
    #: Sets the kernel limits of the sandbox.
    _bounded: asyncio.Task[None] | None = None
    #: Whether nothing was on its disk when the sandbox started: its shells find programs of the guest by their path.
    _was_new: bool = False
    #: Terminals by session; each session has at most one.
    _terminals: dict[str, Terminal] = field(default_factory=dict)
    _control: str = ""
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _refusal: EngineError | None = None

    def __post_init__(self) -> None:
        self.watching = Watching(self)

    @classmethod
    def from_row(cls, host: Host, image: Image, row: VmRow) -> Computer:
        """Create a stopped computer from its row."""
        self = cls(host, row.id, image, row.frozen, row.top, {})
        self.sessions = {session.id: Session.from_row(session, self._around()) for session in row.sessions}
        return self

    def row(self) -> VmRow:
        """Return the row to save."""
        sessions = tuple(session.row() for session in self.sessions.values())
        return VmRow(self.id, self.image.name, self.frozen, self.top, sessions)

    @property
    def written(self) -> bool:
        """Whether the top layer exists, so that there may be something in it."""
        return self.host.layer(self.top).exists()

    @property
    def running(self) -> bool:
        """Whether the sandbox is alive."""
        return self.sandbox is not None and not self.sandbox.ended.done()

    def refuse(self, why: EngineError | None) -> None:
        """Make running commands and all further use fail with `why`."""
        self._refusal = why
        self.watching.stir()

    @property
    def refusal(self) -> EngineError | None:
        """Return the error given to `refuse`."""
        return self._refusal

    def check(self) -> None:
        """Raise the error given to `refuse`."""
        if self._refusal is not None:
            raise self._refusal

    # The sandbox

    async def live(self) -> Sandbox:
        """The sandbox, started if there is none; needs a shared turn. Raises SandboxUnavailable, StorageFull."""
        sandbox = await self._up()
        await self._limits_set()
        return sandbox

    async def _up(self) -> Sandbox:
        """Like `live`, but no code of the guest may run before `_limits_set` returns."""
        self.check()
        self.used = time.monotonic()
        if not self.running:
            async with self._starting:
                if not self.running:
                    await self._start()
                    self.check()
        assert self.sandbox is not None
        return self.sandbox

    async def _limits_set(self) -> None:
        """Wait until the kernel limits of the sandbox are set. Raises SandboxUnavailable, and as `check`."""
        bounded = self._bounded
        assert bounded is not None
        if not bounded.done():
            # A call that is cancelled must not cancel what others wait for.
            await asyncio.wait({bounded})
            self.check()
        bounded.result()

    async def _bound(self, sandbox: Sandbox) -> None:
        try:
            await self.host.helper.bound(sandbox)
        except BaseException:
            await sandbox.stop()
            raise

    async def _start(self) -> None:
        self._over(self.sandbox)
        host = self.host
        was_new = not (self.frozen or self.mounts or self.written)
        # A new name each time: the folder of an earlier sandbox is removed when that sandbox ends.
        control = f"{host.store}/run/{new_layer()}"
        work = host.scratch.pop() if host.scratch else f"{host.store}/work/{new_layer()}"
        try:
            for index in range(len(self.image.writable)):
                small_files.make_folder(f"{work}/{index}")
            disk = Disk(self._frozen(), self._make_top(), work)
            mounts = self._mountable(disk)
            # Not listable: programs inside open only the names that they were given.
            os.mkdir(control, 0o311)
            os.link(self.image.first, f"{control}/{FIRST}")
            small_files.make(f"{control}/{MEMINFO}", meminfo(host_meminfo(), host.limits.memory, 0).encode())
        except OSError as error:
            host.scratch.append(work)
            raise storage_error(error, "the sandbox cannot be started") from error
        mounted = (*self.frozen, self.top)
        host.take(mounted)
        try:
            async with host.starts:
                sandbox = await Sandbox.start(
                    self.image,
                    disk,
                    control,
                    host.limits,
                    network=host.network,
                    mounts={path: host.filesystem(name) for path, name in mounts.items()},
                    part=host.part,
                )
        except BaseException as error:
            host.release(mounted)
            host.scratch.append(work)
            _remove_control(control)
            if isinstance(error, SandboxUnavailable) and self.image.whole:
                raise SystemBroken(
                    f"the computer does not start; did it remove parts of its own system? ({error})"
                ) from error
            raise
        self.sandbox, self._control, self._was_new = sandbox, control, was_new
        self.killed_by_kernel = 0
        self.mounted = mounts
        self.meter = Meter(sandbox.processes, sandbox.group, self._shells)
        self._ports = Ports(sandbox, host.helper)
        # While the first shell starts.
        self._bounded = host.spawn(self._bound(sandbox))
        # A failure is no news for the log where all who waited for it were cancelled.
        self._bounded.add_done_callback(lambda task: task.cancelled() or task.exception())
        host.sandboxes.add(sandbox)
        self.watching.stir()

        def ended(_: object) -> None:
            host.sandboxes.discard(sandbox)
            self._over(sandbox)
            host.release(mounted)
            host.scratch.append(work)

        sandbox.ended.add_done_callback(ended)

    def _frozen(self) -> tuple[str, ...]:
        return tuple(f"{self.host.store}/layers/{name}" for name in self.frozen)

    def _make_top(self) -> str:
        """Return the folder of the top layer; makes it if it is new, its root folders like those below."""
        top = f"{self.host.store}/layers/{self.top}"
        below = (str(self.image.lower), *self._frozen())[-1]
        for name in self.image.writable:
            folder = f"{top}/{name}" if name else top
            if small_files.make_folder(folder):
                trees.copy_folder_marks(f"{below}/{name}", folder)
        if self.image.whole:
            trees.make_folders(Path(top), MOUNT_POINTS)
        return top

    def _mountable(self, disk: Disk) -> dict[str, str]:
        """Return the file systems that can be mounted, by their mount points. A link in a folder that the guest may
        change could redirect a mount; nothing changes the folders until the sandbox starts."""
        mounts: dict[str, str] = {}
        self.unmountable = {}
        if not self.mounts:
            return mounts
        layers = [Path(disk.top), *map(Path, reversed(disk.frozen)), self.image.lower]
        for path, name in self.mounts.items():
            writable = any(f"{path}/".startswith(f"/{folder}/") for folder in self.image.writable if folder)
            at = resting.obstacle(layers, path) if writable or self.image.whole else None
            if at is None:
                mounts[path] = name
            else:
                self.unmountable[path] = f"{at} is not a folder, or cannot be read"
        return mounts

    def _over(self, sandbox: Sandbox | None) -> None:
        """Clean up, once, after a sandbox that ended."""
        if sandbox is None or sandbox is not self.sandbox:
            return
        self.sandbox = None
        self.watching.end()
        for session in self.sessions.values():
            session.leave()
        _remove_control(self._control)

    async def settle(self) -> None:
        """Wait briefly for the checkpoints of idle sessions, which come just after the answers of their last commands.
        A guest may keep them from coming."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS):
                # Sessions may be added meanwhile; they have no state to wait for.
                for session in list(self.sessions.values()):
                    if session.shell is not None:
                        shell = session.shell
                        await (shell.told_before if session.busy else shell.settled).wait()

    async def stop(self) -> None:
        """End the sandbox, if there is one, and wait until its mounts are gone."""
        if self.sandbox is not None:
            await self.settle()
        if self.sandbox is not None:
            await self.sandbox.stop()
            self._over(self.sandbox)

    async def leave(self) -> None:
        """End the sandbox, so that the computer can continue with another layer on top. Returns once no process is left
        to write, even if the file system has not written everything to the disk."""
        await self.settle()
        sandbox = self.sandbox
        if sandbox is not None:
            sandbox.kill()
            while sandbox.processes.count():  # noqa: ASYNC110 - nothing tells when they are gone
                await asyncio.sleep(0.0002)
            self._over(sandbox)

    # Commands

    def _around(self) -> Surroundings:
        return Surroundings(
            self._room, self.host.unsaved, self._use, self.look_for_kernel_kills, lambda: self._refusal
        )

    def _use(self) -> None:
        self.used = time.monotonic()

    def _room(self, session: Session) -> int:
        """Bytes that the state of a session may take, given those of the others."""
        held = sum(
            sum(map(len, s.checkpoint.sections.values()))
            for s in self.sessions.values()
            if s is not session and isinstance(s.checkpoint, Checkpoint)
        )
        return max(0, _CHECKPOINTS - held)

    def session(self, id_: str) -> Session:
        """Return a session; create it if it is new. Raises LimitReached when there are too many."""
        session = self.sessions.get(id_)
        if session is None:
            if len(self.sessions) >= self.host.limits.sessions:
                raise LimitReached(f"a computer has at most {self.host.limits.sessions} sessions")
            session = self.sessions[id_] = Session(id_, self._around())
        return session

    async def start_run(
        self, session: Session, run: LocalRun, command: bytes, seconds: float, *, stdin: bool, whole: bool
    ) -> None:
        """Start a command in a session, for so long at the most. Raises SessionBusy and what `live` does."""
        await session.claim(run)
        try:
            async with self.gate.shared():
                sandbox = await self._up()
                if session.shell is None:
                    self._retire()
                try:
                    if self._was_new:
                        session.prepare(sandbox, self._control, self.image)
                    await self._limits_set()
                    assert self.meter is not None
                    await session.start(
                        sandbox,
                        self.meter,
                        self._control,
                        self.image,
                        command,
                        seconds,
                        stdin=stdin,
                        whole=whole,
                    )
                except OSError as error:  # a full disk, or a guest that filled the pipe
                    session.leave()
                    raise storage_error(error, "the command could not be started") from error
                self.watched = True
        except BaseException:
            session.release()
            self._use()
            raise

    async def end_session(self, id_: str) -> None:
        """End a session with all its processes, and drop its state."""
        session = self.sessions.get(id_)
        if session is not None:
            try:
                await session.end()
            finally:
                self.sessions.pop(id_, None)
        if (terminal := self._terminals.get(id_)) is not None:
            terminal.kill()

    def _shells(self) -> int:
        shells = [session.shell for session in self.sessions.values() if session.shell is not None]
        return sum(shell.pid is not None and shell.state is not ShellState.CLOSED for shell in shells)

    def _retire(self) -> None:
        """Make room for another shell: end those that have been idle longest; they are restored from their
        checkpoints."""
        idle = [s for s in self.sessions.values() if s.shell is not None and s.settled]
        for session in sorted(idle, key=lambda s: s.used)[: max(0, len(idle) - self.host.limits.shells + 1)]:
            assert session.shell is not None
            session.shell.kill()
            session.leave()

    # Files

    async def open(self, path: str) -> LocalFile:
        """Open the regular file at `path` for reading. Raises FileMissing, FileRefused."""
        async with self.gate.shared():
            sandbox = await self.live()
            with told(path):
                return LocalFile(Root(sandbox.root).open_regular(path), self.host.digests, self.id)

    async def write(self, path: str, source: bytes | int, sha256: str | None) -> None:
        """Write `source` to `path`. Raises FileMissing, FileRefused, StorageFull."""
        if isinstance(source, int) and await self._link(path, source, sha256):
            return
        known = None if sha256 is None else partial(self.host.digests.written, self.id, sha256=sha256)

        def work(root: int) -> None:
            changes.write(Root(root), path, source, conditions=Conditions(read_only=False), written=known)

        await self.on_files(work, os.fstat(source).st_size if isinstance(source, int) else len(source))

    async def _link(self, path: str, source: int, sha256: str | None) -> bool:
        """Make `source` the file at `path` without a copy, if the computer is at rest and that is simple."""
        if self.sandbox is not None or any(path.startswith(f"{point}/") for point in self.mounts):
            return False
        async with self.gate.exclusive():
            self.check()
            if self.sandbox is not None:
                return False
            size = os.fstat(source).st_size
            await self._make_room(size)
            below = [*(self.host.layer(name) for name in reversed(self.frozen)), self.image.lower]
            try:
                top = Path(self._make_top())
                linked = await asyncio.get_running_loop().run_in_executor(
                    self.host.threads, resting.link, [top, *below], path, source
                )
            except OSError as error:
                raise sandbox_files.translate(error, path) from error
            if linked:
                self.size += size
                self.watching.stir()
                if sha256 is not None:
                    self.host.digests.written(self.id, os.fstat(source), sha256)
            return linked

    async def on_files(self, work: Callable[[int], T], size: int = 0) -> T:
        """Do `work` in a thread, on a descriptor of the sandbox's root, when there is room for `size` bytes more.

        Must not be cancelled, as the work would continue. Raises StorageFull, what `live` does and what `work` does.
        """
        async with self.gate.shared():
            sandbox = await self.live()
            # A descriptor of its own: if the sandbox ends before a thread is free, the next one may get the number.
            root = os.dup(sandbox.root)
            try:
                if size:
                    self.watched = True
                    await self._make_room(size)
                result = await asyncio.get_running_loop().run_in_executor(self.host.threads, work, root)
            finally:
                os.close(root)
                self.check()
            self.size += size
            return result

    async def _make_room(self, size: int) -> None:
        if self.size + size > self.host.limits.disk:
            try:
                await self.measure()  # what was replaced since it was measured counts no more
            except OSError as error:
                raise storage_error(error, "what the computer has written cannot be measured") from error
        if self.size + size > self.host.limits.disk:
            raise ComputerFull(
                f"{size} bytes more do not fit: the computer has written {self.size} of the {self.host.limits.disk} "
                "bytes that its disk may hold; remove files in it"
            )

    def tell_memory(self, used: int, host: str) -> None:
        """Update the sandbox's /proc/meminfo with the bytes of memory that it uses, and that of the host."""
        with contextlib.suppress(OSError), open(f"{self._control}/{MEMINFO}", "r+") as file:
            # In place, as the file is what the sandbox has mounted.
            file.write(meminfo(host, self.host.limits.memory, used))
            file.truncate()

    async def measure(self) -> None:
        """Find out how much is written, by this computer and by those that it was forked from: files, those without a
        name that something holds open, and the file systems that are mounted, whoever wrote there."""
        folders = [self.host.layer(name) for name in (*self.frozen, self.top)]
        folders += map(self.host.filesystem, {*self.mounts.values(), *self.mounted.values()})
        nameless, self.in_flight = 0, False
        if self.running:
            assert self.sandbox is not None
            # Only files of the writable folders are on disk; others are in memory.
            disks = {os.stat(name or ".", dir_fd=self.sandbox.root).st_dev for name in self.image.writable}
            disks |= {self.host.filesystem(name).stat().st_dev for name in self.mounted.values()}
            held = await self.sandbox.processes.aside(self.host.threads, self.sandbox.processes.nameless)
            nameless, self.in_flight = held.on(disks), held.in_flight > 0
        loop = asyncio.get_running_loop()
        self.size = nameless + await loop.run_in_executor(self.host.threads, disk_usage, folders)

    async def open_terminal(
        self, session: Session, size: TerminalSize, command: str | None, idle: float | None
    ) -> Attachment:
        """Attach to the terminal of a session; create it if there is none. Raises what `live` does, and
        LimitReached."""
        async with self.gate.shared():
            sandbox = await self.live()
            await self.settle()
            while (terminal := self._terminals.get(session.id)) is not None:
                await terminal.up()
                if terminal.state is State.RUNNING:
                    break
                await asyncio.wait({terminal.ended})
            if terminal is None:
                if len(self._terminals) >= _TERMINALS:
                    raise LimitReached(f"a computer has at most {_TERMINALS} terminals")
                name = f".terminal-{new_layer()}"
                try:
                    terminal = Terminal(
                        sandbox,
                        Path(self._control, name),
                        name,
                        size,
                        cwd=session.cwd,
                        state=session.code(self.image),
                        command=command,
                        on_end=partial(self._terminals.pop, session.id),
                    )
                except OSError as error:
                    raise storage_error(error, "the terminal cannot be opened") from error
                self._terminals[session.id] = terminal
                self.watched = True
                await terminal.up()
            terminal.idle = idle
            terminal.resize(size)
            return terminal.attach()

    def terminal(self, session_id: str) -> Terminal | None:
        """The terminal of a session, if there is one."""
        return self._terminals.get(session_id)

    async def open_port(self, port: int) -> Connection:
        """Connect to a server inside. Raises PortClosed, LimitReached, EngineError."""
        self.check()
        if self.host.network:
            raise Unsupported("the computer shares the network of the host: reach its ports there")
        if not self.running or self._ports is None:
            raise PortClosed(f"nothing listens on port {port}: the computer is at rest")
        return await self._ports.connect(port)

    # Processes

    async def load(self) -> Load:
        """Return what the computer uses now."""
        disk = self.size if self.measured else None
        if self.sandbox is None:
            return Load(disk=disk)
        processes, group = self.sandbox.processes, self.sandbox.group

        def look() -> Load:
            found = processes.all()
            cpu = None if group is None else group.cpu_seconds
            if cpu is None:
                cpu = sum(process.cpu_seconds for process in found)
            return Load(cpu, sum(processes.memory().values()), len(found), disk)

        return await processes.aside(self.host.threads, look)

    def others(self) -> list[Process]:
        """Return the live processes other than shells without a command and their keepers."""
        if self.sandbox is None:
            return []
        processes = self.sandbox.processes.all()
        shells = {s.shell.pid for s in self.sessions.values() if s.shell is not None and not s.running}
        keepers = {p.parent for p in processes if p.pid in shells}
        return [p for p in processes if p.pid not in shells and p.pid not in keepers]

    @property
    def at_rest(self) -> bool:
        """Whether nothing runs but idle shells whose checkpoints are complete."""
        return not any(session.busy for session in self.sessions.values()) and not self.others()

    async def holds_open(self) -> bool:
        """Whether something else than processes would be lost with the sandbox: descriptors that idle shells hold,
        shared memory that has a name, and System V objects."""
        if self.sandbox is None:
            return False
        shells = [session.shell for session in self.sessions.values() if session.shell is not None]
        return (
            any(shell.holds_descriptors for shell in shells)
            or self.sandbox.has_shared_memory()
            or await self.sandbox.has_ipc()
        )

    # Limits

    def look_for_kernel_kills(self) -> None:
        """Tell the runs if the kernel has killed processes for memory. Which processes is unknown, so each command
        checks before its end: later commands are not told of earlier kills."""
        if self.sandbox is None or self.sandbox.group is None:
            return
        before, self.killed_by_kernel = self.killed_by_kernel, self.sandbox.group.killed
        if self.killed_by_kernel > before:
            self._tell(None, Reason.OUT_OF_MEMORY, self.too_much_memory)

    @property
    def too_much_memory(self) -> str:
        """The note of a run that was killed for memory."""
        return f"the computer used more than its {self.host.limits.memory} bytes of memory"

    def kill(self, pids: Collection[int], reason: Reason, why: str) -> None:
        """Kill processes that broke a limit, and tell their runs why."""
        if self.sandbox is not None:
            self._tell(self.sandbox.processes.marks_of(pids), reason, why)
            for pid in pids:
                self.sandbox.processes.send(pid, signal.SIGKILL)

    async def kill_all(self, generation: int, reason: Reason, why: str) -> bool:
        """Kill the processes of a generation, which together broke a limit, and wait until they are gone. Commands that
        began later are spared. Return whether there were any."""
        sandbox = self.sandbox
        if sandbox is None:
            return False

        def find() -> list[Process]:
            return self._of_generation(generation) if self.sandbox is sandbox else []

        if not (found := find()):
            return False
        self._tell(sandbox.processes.marks_of([process.pid for process in found]), reason, why)
        await send_until_gone(sandbox.processes, find, signal.SIGKILL, _KILL_SECONDS)
        return True

    def _of_generation(self, generation: int) -> list[Process]:
        assert self.sandbox is not None
        processes, found = self.sandbox.processes, self.others()
        newer = {p.pid for p in found if processes.is_newer(p.pid, generation)}
        newer |= {p.parent for p in found if p.pid in newer}  # keepers have no marks
        # Neither has a shell that starts.
        starting = any(terminal.state is State.STARTING for terminal in self._terminals.values()) or any(
            s.busy and (s.shell is None or s.shell.pid is None) for s in self.sessions.values()
        )
        return [
            p for p in found if p.pid not in newer and not (starting and processes.mark_of(p.pid) is None)
        ]

    def _tell(self, marks: Collection[int] | None, reason: Reason, why: str) -> None:
        """Tell the runs whose processes have these marks, or all, that they broke a limit."""
        note = f"killed: {why}"
        for session in self.sessions.values():
            if session.running and session.run is not None and session.shell is not None:
                mark = session.shell.mark
                if marks is None or mark in marks or not mark:
                    session.run.limit = reason
                    if note not in session.run.notes:
                        session.run.notes.append(note)
        now = time.monotonic()
        if now >= self.warn_at:  # a computer may break its limits many times a second
            self.warn_at = now + _WARN_SECONDS
            log.warning("killed what ran in a computer: vm=%s limit=%s: %s", self.id, reason, why)
