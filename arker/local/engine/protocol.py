"""What the platform asks of an engine: computers, their runs and their files. Nothing of HTTP or accounts.

The platform knows engines through this module alone, so that another one (a cluster, a hypervisor) can replace the
first. Every method is async and may be a network call; every engine passes the suite in `tests/engine/conformance`.
"""

from __future__ import annotations

import enum
import signal
from collections.abc import AsyncIterator, Iterable, Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from arker.local.engine.file_protocol import Files


class EngineError(Exception):
    """Something an engine refused or could not do; the message is fit for the user of the API."""


class VmMissing(EngineError):
    """No such computer in this engine."""


class ImageMissing(EngineError):
    """No such base image in this engine."""


class SessionBusy(EngineError):
    """The session runs a command already; one session runs one command at a time."""


class RunMissing(EngineError):
    """The engine keeps no run with this id: it never started, was forgotten, or was too old to be kept."""


class RunExists(EngineError):
    """There is a run with this id already; nothing was started."""


class OutcomeUnknown(EngineError):
    """The connection to the engine broke after the command may have started. Trying again may run it twice."""


class FileMissing(EngineError):
    """No file at the path (or a folder of the path does not exist, or a link leads nowhere)."""


class FileRefused(EngineError):
    """The path cannot be read or written: a folder, a device, a pipe, a loop of links, or not permitted inside."""


class FileTooLarge(EngineError):
    """The file is over the engine's limit."""


class StorageFull(EngineError):
    """The disk, or the computer's share of it, is full; nothing of the operation was kept."""


class LimitReached(EngineError):
    """A limit of the computer stands in the way: its sessions, its processes, how deep its folders may be nested."""


class ComputerBusy(EngineError):
    """What runs in the computer could not be stopped for the moment that the operation takes; nothing was done."""


class PortClosed(EngineError):
    """Nothing in the computer accepts connections on the port."""


class SandboxUnavailable(EngineError):
    """The sandbox could not be started; the message says why and what mends it."""


class SystemBroken(EngineError):
    """The computer cannot start because of what it changed in its own system; others are not concerned."""


class Stream(enum.StrEnum):
    """An output stream of a run."""

    STDOUT = "stdout"
    STDERR = "stderr"


class RunState(enum.StrEnum):
    """How far a run is. It only moves forward, in this order."""

    RUNNING = "running"
    #: It was cancelled or timed out, and what it started is being ended.
    ENDING = "ending"
    ENDED = "ended"


class Reason(enum.StrEnum):
    """Why a run ended."""

    #: The command ended by itself; `exit_code` is its own.
    EXITED = "exited"
    #: A signal ended the shell of the command; `exit_code` is 128 and its number.
    SIGNALLED = "signalled"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    #: The engine killed processes of the command because the computer reached its limit of memory or disk.
    OUT_OF_MEMORY = "out_of_memory"
    DISK_FULL = "disk_full"
    #: The computer was stopped or deleted, or its sandbox ended, while the command ran.
    COMPUTER_STOPPED = "computer_stopped"
    #: The engine failed, or ended before the command did.
    INFRASTRUCTURE = "infrastructure"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run took; None where the engine cannot tell. Without `exact` the figures were sampled: they are lower
    bounds."""

    cpu_seconds: float | None = None
    peak_memory: int | None = None
    bytes_written: int | None = None
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """A piece of output. `offset` counts the bytes of both streams before it, in the order in which they were read."""

    stream: Stream
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """Output from `offset` on was not kept, because the run wrote more than the engine keeps of one, or the disk of the
    engine is full. The command goes on."""

    offset: int


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended.

    Attributes:
        exit_code: the code of the command as `$?` has it; 124 when it timed out; None where nobody can tell.
        reason: why it ended.
        cwd: the working folder of the session afterwards.
        seconds: wall time on the engine's host.
        stdout_bytes, stderr_bytes: what the command wrote, whether kept or not.
        usage: what it took.
        notes: what the user should know, a sentence each: a limit that was reached, state that could not be kept.
    """

    exit_code: int | None
    reason: Reason
    cwd: str
    seconds: float
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    usage: Usage = Usage()
    notes: tuple[str, ...] = ()


#: What readers of a run see: outputs in order, at most one cut, one end.
Event: TypeAlias = Output | Cut | End


class Run(Protocol):
    """A handle on a command that was started. Handles are many, the run is one: readers do not disturb each other."""

    @property
    def id(self) -> str:
        """Unique within its computer."""
        ...

    @property
    def session_id(self) -> str:
        """The session that it runs in."""
        ...

    @property
    def command(self) -> str:
        """What was started."""
        ...

    @property
    def started_ms(self) -> int:
        """When, in milliseconds since the epoch."""
        ...

    @property
    def state(self) -> RunState:
        """How far it is, as last known."""
        ...

    @property
    def outcome(self) -> End | None:
        """How it ended, if it did, as last known."""
        ...

    def events(self, offset: int = 0, *, follow: bool = True) -> AsyncIterator[Event]:
        """Output from `offset` on, and then how the run ended. Without `follow`, what there is now: no waiting, and
        no end of a run that goes on. Raises ValueError for an offset beyond what was written, RunMissing."""
        ...

    async def wait(self) -> End:
        """Wait for the end."""
        ...

    async def write_stdin(self, data: bytes) -> None:
        """Give input to a run that was started with `stdin`; waits while the command does not read.

        Raises BrokenPipeError when nobody will read it: the input was closed or the run is over.
        """
        ...

    async def close_stdin(self) -> None:
        """End the input: the command reads an end of file. Ignored when it is closed already."""
        ...

    async def signal(self, number: signal.Signals) -> None:
        """Send a signal to what the command started and to its shell, as a terminal does on Ctrl-C. Ignored when the
        run is over."""
        ...

    async def cancel(self) -> None:
        """End the command and all that it started, nothing else. Returns once the engine has taken the order; `wait`
        tells the end, within a second. Ignored when the run is over."""
        ...


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """The whole of a run: output over the limit is cut and flagged. `duration_ms` is wall time on the engine's host."""

    stdout: bytes
    stderr: bytes
    exit_code: int
    cwd: str
    duration_ms: float
    #: False when the command was ended by its timeout (exit code 124, as `timeout(1)` has it).
    completed: bool = True
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    reason: Reason = Reason.EXITED
    usage: Usage = Usage()
    notes: tuple[str, ...] = ()


class Readable(Protocol):
    """A file that is open for reading. Close it, or use it as an async context manager."""

    @property
    def size(self) -> int:
        """Bytes, as it was opened."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever the content may have changed."""
        ...

    @property
    def fd(self) -> int | None:
        """A descriptor of the open file where it is on this machine, for `sendfile`; it is this object's to close."""
        ...

    async def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; empty at the end of the file. Raises OSError."""
        ...

    async def current_version(self) -> str:
        """What `version` would be if it were opened now."""
        ...

    async def close(self) -> None:
        """Let go of the file. May be called twice."""
        ...

    async def __aenter__(self) -> Readable: ...

    async def __aexit__(self, *_: object) -> None: ...


@dataclass(frozen=True, slots=True)
class SessionState:
    """A session as it stands: `state` is `idle` or `running`."""

    session_id: str
    state: str
    cwd: str


class ByteStream(Protocol):
    """Bytes both ways, in order. Close it, or use it as an async context manager."""

    async def receive(self, size: int = 65536) -> bytes:
        """Up to `size` bytes as soon as there are any; empty at the end. Raises OSError when it broke."""
        ...

    async def send(self, data: bytes) -> None:
        """Send all of `data`; waits while the other side does not read. Raises OSError when it broke."""
        ...

    async def send_eof(self) -> None:
        """End this direction; the other goes on."""
        ...

    async def close(self) -> None:
        """End both directions. May be called twice."""
        ...


@dataclass(frozen=True, slots=True)
class TerminalSize:
    """Characters of a terminal's window."""

    columns: int = 80
    rows: int = 24


class Terminal(Protocol):
    """Somebody at the terminal of a session: what is sent is typed, what is received is drawn. It is over when the
    terminal ends, or when somebody else attaches."""

    async def receive(self, size: int = 65536) -> bytes:
        """Up to `size` bytes of what was drawn as soon as there are any; empty when it is over."""
        ...

    async def send(self, data: bytes) -> None:
        """Type all of `data`; waits while the program does not read. Raises BrokenPipeError when it is over."""
        ...

    async def resize(self, size: TerminalSize) -> None:
        """Tell the programs in it that the window has another size."""
        ...

    async def kill(self) -> None:
        """End the terminal with its shell and all that belongs to it."""
        ...

    async def wait(self) -> int | None:
        """Wait until the terminal ends; the exit code of its shell, None where nobody can tell."""
        ...

    async def close(self) -> None:
        """Detach; the terminal goes on. May be called twice."""
        ...


class Ports(Protocol):
    """An engine that reaches servers in its computers."""

    async def open_port(self, vm_id: str, port: int) -> ByteStream:
        """Connect to a TCP port of the computer's loopback. Raises PortClosed, LimitReached, SandboxUnavailable."""
        ...


class Terminals(Protocol):
    """An engine that has terminals."""

    async def open_terminal(
        self,
        vm_id: str,
        session_id: str,
        size: TerminalSize,
        *,
        command: str | None = None,
        idle: float | None = None,
    ) -> Terminal:
        """Attach to the terminal of a session, which has one at most: it is made if there is none. What was drawn
        (the last 256 KiB of it) comes first.

        Args:
            size: of the window from now on.
            command: a program to run instead of a shell.
            idle: seconds without anybody attached after which the terminal ends; None for never.

        A shell begins with the folder, the exported variables and the functions of the session, and changes nothing of
        it. Raises LimitReached, SandboxUnavailable, StorageFull.
        """
        ...

    async def resize_terminal(self, vm_id: str, session_id: str, size: TerminalSize) -> None:
        """Resize the terminal of a session, attached or not. Ignored when it has none."""
        ...


class Engine(Ports, Terminals, Protocol):
    """Computers. All methods may be called concurrently from one event loop; cancelling a call never leaves a computer
    half changed. Every method about one computer raises VmMissing."""

    async def start(self) -> None:
        """Take hold of the store, sweep what a crash left, prove that a sandbox starts. Raises SandboxUnavailable."""
        ...

    async def close(self) -> None:
        """Save idle sessions, end every sandbox and let go of the store."""
        ...

    # What there is

    async def images(self) -> list[str]:
        """Names of the base images at hand (`arkuntu` always)."""
        ...

    async def missing(self, vm_ids: Iterable[str]) -> set[str]:
        """Which of these computers are definitely gone; one that cannot be reached is not among them."""
        ...

    async def running(self) -> set[str]:
        """The computers whose sandbox is alive."""
        ...

    async def sessions(self, vm_id: str) -> list[SessionState]:
        """The sessions of a computer, the default one (`"0"`) always among them."""
        ...

    async def copy_session(self, vm_id: str, source: str, target: str) -> None:
        """Let a session, made if it is new, begin with what another knows. Raises LimitReached."""
        ...

    async def end_session(self, vm_id: str, session_id: str) -> None:
        """Cancel the run of a session, end its shell and all that its commands started, and forget what it knew: the
        next use of its name makes a new one. Ignored when there is none."""
        ...

    # Computers

    async def create(self, vm_id: str, image: str) -> None:
        """A new computer on a base image, durable when this returns. Raises ImageMissing, StorageFull."""
        ...

    async def fork(self, parent_id: str, child_id: str, *, sessions: bool = True) -> None:
        """A new computer with the parent's files and, with `sessions`, what its idle shells know; in constant time,
        durable when this returns.

        Without `sessions`, as for strangers, nothing that runs in the parent is disturbed: if something does, the child
        has the files as they were when the parent was last forked with nothing running.
        """
        ...

    async def delete(self, vm_id: str) -> None:
        """End the sandbox and remove the computer; layers that no other needs go too (in the background)."""
        ...

    async def stop(self, vm_id: str) -> None:
        """Save its sessions and end its sandbox now; the next use brings both back."""
        ...

    # Runs

    async def start_run(
        self,
        vm_id: str,
        session_id: str,
        command: str,
        *,
        timeout: float | None = None,
        run_id: str | None = None,
        stdin: bool = False,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Run:
        """Start `command` in the session's shell (made on first use; `"0"` is the default session).

        Args:
            timeout: seconds after which it is ended; None for the engine's own limit, infinite for none.
            run_id: its id, chosen by the caller so that it can cancel a run whose start was not answered yet.
            stdin: whether it gets input by `write_stdin`; else its input is empty.
            cwd, env: for this command alone, which then runs in a subshell: what it sets ends with it.

        Cancelling the call before it returns ends the command. Raises SessionBusy, RunExists, LimitReached,
        SandboxUnavailable, StorageFull, OutcomeUnknown.
        """
        ...

    async def run_of(self, vm_id: str, run_id: str) -> Run:
        """The run with this id, also after a restart of the engine: one that was going on then ended with the reason
        `infrastructure`. Raises RunMissing."""
        ...

    async def runs(self, vm_id: str) -> list[Run]:
        """The runs of a computer that go on or were not forgotten, newest first; of those that ended, the engine may
        drop the oldest."""
        ...

    async def forget_run(self, vm_id: str, run_id: str) -> None:
        """Drop the run and its output; one that goes on is dropped when it ends. Ignored when there is none."""
        ...

    # File systems that outlive computers

    async def set_mounts(self, vm_id: str, mounts: Mapping[str, str]) -> None:
        """Which file systems, by their paths below `/mnt`, a computer has from its next start on. A file system that is
        new is empty. The engine does not remember it when it is started anew. Raises StorageFull."""
        ...

    async def mounted(self, vm_id: str) -> Set[str]:
        """The paths of the file systems that a computer has now; none while it rests."""
        ...

    async def delete_filesystem(self, name: str) -> None:
        """Remove a file system, which no computer has. Ignored when there is none."""
        ...

    # Files

    async def open_file(self, vm_id: str, path: str) -> Readable:
        """Open the regular file at `path`. Raises FileMissing, FileRefused, SandboxUnavailable."""
        ...

    async def write_file(self, vm_id: str, path: str, source: bytes | Readable) -> None:
        """Put `source` at `path`: old file or new, never half, and on disk when this returns. Missing folders are
        made; mode 0644 or that of the file replaced. Raises FileMissing, FileRefused, StorageFull."""
        ...

    def files(self, vm_id: str) -> Files:
        """All else that can be done with the files and trees of a computer. Raises VmMissing."""
        ...
