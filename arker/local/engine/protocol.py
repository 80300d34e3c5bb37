"""The interface between the platform and an engine: computers, their runs and their files. It knows nothing of HTTP or
accounts.

The platform uses engines through this module alone, so another engine (a cluster, a hypervisor) can replace the
local one. Every method is async and may be a network call. Every engine passes `tests/engine/conformance`.
"""

from __future__ import annotations

import enum
import signal
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from arker.local.engine.file_protocol import Files


class EngineError(Exception):
    """Base of the errors of an engine. The message is written for the user of the API."""


class VmMissing(EngineError):
    """The engine has no computer with this id."""


class ImageMissing(EngineError):
    """The engine has no base image with this name."""


class SessionBusy(EngineError):
    """The session is running a command; a session runs one command at a time."""


class RunMissing(EngineError):
    """The engine has no run with this id: it never started, was forgotten, or was dropped because of its age."""


class RunExists(EngineError):
    """A run with this id exists already; nothing was started."""


class OutcomeUnknown(EngineError):
    """The connection to the engine broke after the command may have started. Trying again may run it twice."""


class FileMissing(EngineError):
    """There is no file at the path, a folder of the path does not exist, or a symbolic link is dangling."""


class FileRefused(EngineError):
    """The path cannot be read or written: it is a folder, a device, a pipe or a loop of links, or access is denied."""


class FileTooLarge(EngineError):
    """The file is larger than the engine's limit."""


class StorageFull(EngineError):
    """The disk is full; nothing of the operation was kept."""


class ComputerFull(StorageFull):
    """The computer's share of the disk is full; nothing of the operation was kept."""


class LimitReached(EngineError):
    """The operation would exceed a limit of the computer: its sessions, its processes, or the depth of its folders."""


class ComputerBusy(EngineError):
    """The processes of the computer could not be paused for as long as the operation takes; nothing was done."""


class PortClosed(EngineError):
    """Nothing in the computer accepts connections on the port."""


class Unsupported(EngineError):
    """The computer, as this engine is set up, cannot do this."""


class SandboxUnavailable(EngineError):
    """The sandbox could not be started; the message says why and how to fix it."""


class SystemBroken(EngineError):
    """The computer cannot start because of changes to its own system; other computers are not affected."""


class Stream(enum.StrEnum):
    """An output stream of a run."""

    STDOUT = "stdout"
    STDERR = "stderr"


class RunState(enum.StrEnum):
    """The state of a run. It only moves forward, in this order."""

    RUNNING = "running"
    #: The run was cancelled or timed out, and its processes are being ended.
    ENDING = "ending"
    ENDED = "ended"


class Reason(enum.StrEnum):
    """Why a run ended."""

    #: The command exited by itself; `exit_code` is its exit code.
    EXITED = "exited"
    #: A signal ended the shell of the command; `exit_code` is 128 plus the signal's number.
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


class Usage(NamedTuple):
    """The resources that a run used; None where the engine cannot measure them, as in a short run. `cpu_seconds` is a
    lower bound unless it is `exact`; `peak_memory` is sampled, without that of the shell itself; `bytes_written` is a
    lower bound of what goes to disks."""

    cpu_seconds: float | None = None
    peak_memory: int | None = None
    bytes_written: int | None = None
    exact: bool = False


class Output(NamedTuple):
    """A piece of output. `offset` is the number of bytes of both streams before it, in the order in which they were
    read."""

    stream: Stream
    offset: int
    data: bytes


class Cut(NamedTuple):
    """Output from `offset` on was not kept, because it exceeds what the engine keeps of a run, or because the disk of
    the engine is full. The command continues."""

    offset: int


class End(NamedTuple):
    """How a run ended.

    Attributes:
        exit_code: the exit code of the command, as in `$?`; 124 when it timed out; None when it is unknown.
        reason: why it ended.
        cwd: the session's working folder after the run.
        seconds: wall time, measured on the engine's host; None when the engine did not see the end.
        stdout_bytes, stderr_bytes: how many bytes the command wrote, including those that were not kept.
        usage: the resources that it used.
        notes: sentences for the user, about limits that were reached or state that could not be kept.
    """

    exit_code: int | None
    reason: Reason
    cwd: str
    seconds: float | None
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    usage: Usage = Usage()
    notes: tuple[str, ...] = ()


#: What a reader of a run receives: outputs in order, at most one cut, one end.
Event: TypeAlias = Output | Cut | End


#: Maximum number of characters of a command in the records of runs.
_SHOWN: Final = 4096


def shown(command: str) -> str:
    """Shorten a command for the records of runs, which are many, are kept long and are listed together."""
    return command[:_SHOWN]


class Run(Protocol):
    """A handle on a command that was started. A run may have many handles; their readers do not affect each other."""

    @property
    def id(self) -> str:
        """The id of the run, unique within its computer."""
        ...

    @property
    def session_id(self) -> str:
        """The id of the session that it runs in."""
        ...

    @property
    def command(self) -> str:
        """The command, as `shown` shortens it."""
        ...

    @property
    def started_ms(self) -> int:
        """The start time, in milliseconds since the epoch."""
        ...

    @property
    def state(self) -> RunState:
        """The state of the run, as last known."""
        ...

    @property
    def outcome(self) -> End | None:
        """How the run ended, as last known; None while it runs."""
        ...

    def events(self, offset: int = 0, *, follow: bool = True) -> AsyncIterator[Event]:
        """Yield the output from byte `offset` on, and then how the run ended. Without `follow`, yield the output that
        is available without waiting, and the end only if the run is over. Raises ValueError for an offset beyond the
        output, RunMissing."""
        ...

    def batches(self, offset: int = 0, *, follow: bool = True) -> AsyncIterator[Sequence[Event]]:
        """Yield the same events in batches of what is there at a time."""
        ...

    async def wait(self) -> End:
        """Wait until the run ends, and return how it ended."""
        ...

    async def write_stdin(self, data: bytes) -> None:
        """Write to the input of a run that was started with `stdin`; waits while the command does not read.

        Raises BrokenPipeError when the input was closed or the run is over.
        """
        ...

    async def close_stdin(self) -> None:
        """Close the input, so that the command reads an end of file. Ignored when it is closed already."""
        ...

    async def signal(self, number: signal.Signals) -> None:
        """Send a signal to the processes of the command and to its shell, as a terminal does on Ctrl-C. Ignored when
        the run is over."""
        ...

    async def cancel(self) -> None:
        """End the command and the processes that it started, and nothing else. Returns when the engine has accepted the
        request; `wait` returns the end within a second. Ignored when the run is over."""
        ...


class RunOutcome(NamedTuple):
    """The result of a run with its output; output over the limit is cut off and flagged. `duration_ms` is wall time on
    the engine's host."""

    stdout: bytes
    stderr: bytes
    exit_code: int
    cwd: str
    duration_ms: float
    #: False when the command was ended by its timeout; the exit code is then 124, as with `timeout(1)`.
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
        """The size of the file in bytes, when it was opened."""
        ...

    @property
    def version(self) -> str:
        """An identifier that changes whenever the content may have changed."""
        ...

    @property
    def sha256(self) -> str | None:
        """The SHA-256 of the content, in hex, if it was known when the file was opened."""
        ...

    @property
    def fd(self) -> int | None:
        """A descriptor for `sendfile` if the open file is on this machine; None otherwise. It belongs to this object:
        do not close it."""
        ...

    async def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset`; empty at the end of the file. Raises OSError."""
        ...

    async def digest(self) -> str | None:
        """Return the SHA-256 of the content, in hex; None if it is being changed or cannot be read."""
        ...

    async def current_version(self) -> str:
        """Return the `version` that the file would have if it were opened now."""
        ...

    async def close(self) -> None:
        """Close the file. May be called twice."""
        ...

    async def __aenter__(self) -> Readable: ...

    async def __aexit__(self, *_: object) -> None: ...


class SessionState(NamedTuple):
    """A session and its `state`: `running` while a command runs in it or a client is attached to its terminal, else
    `idle`."""

    session_id: str
    state: str
    cwd: str


class Load(NamedTuple):
    """What a computer uses now.

    Attributes:
        cpu_seconds: CPU time since its sandbox started, in seconds; 0 at rest.
        memory: private memory of its processes, in bytes.
        processes: how many there are.
        disk: bytes that it has written to its disk, as last measured; None if they were not measured yet.
    """

    cpu_seconds: float = 0.0
    memory: int = 0
    processes: int = 0
    disk: int | None = None


class ByteStream(Protocol):
    """A bidirectional byte stream. Close it, or use it as an async context manager."""

    async def receive(self, size: int = 65536) -> bytes:
        """Return up to `size` bytes as soon as there are any; empty at the end. Raises OSError when the connection
        broke."""
        ...

    async def send(self, data: bytes) -> None:
        """Send all of `data`; waits while the peer does not read. Raises OSError when the connection broke."""
        ...

    async def send_eof(self) -> None:
        """Close the sending direction; the other one stays open."""
        ...

    async def close(self) -> None:
        """Close both directions. May be called twice."""
        ...


class TerminalSize(NamedTuple):
    """The size of a terminal's window, in characters."""

    columns: int = 80
    rows: int = 24


class Terminal(Protocol):
    """An attachment to the terminal of a session: `send` types, `receive` returns what the terminal displays. It is
    over when the terminal ends, or when another client attaches."""

    async def receive(self, size: int = 65536) -> bytes:
        """Return up to `size` bytes of terminal output as soon as there are any; empty when the attachment is over."""
        ...

    async def send(self, data: bytes) -> None:
        """Type all of `data`; waits while the program does not read. Raises BrokenPipeError when the attachment is
        over."""
        ...

    async def resize(self, size: TerminalSize) -> None:
        """Set the size of the window, and notify the programs in it."""
        ...

    async def kill(self) -> None:
        """End the terminal with its shell and all its processes."""
        ...

    async def wait(self) -> int | None:
        """Wait until the terminal ends, and return the exit code of its shell; None when it is unknown."""
        ...

    async def close(self) -> None:
        """Detach; the terminal keeps running. May be called twice."""
        ...


class Ports(Protocol):
    """An engine that can connect to servers in its computers."""

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
        """Attach to the terminal of a session; it is created if the session has none. A session has at most one
        terminal. The last 256 KiB of its output are sent first.

        Args:
            size: the size of the window from now on.
            command: a program to run instead of a shell.
            idle: seconds without an attachment after which the terminal ends; None for never.

        A shell starts with the folder, the exported variables and the functions of the session. It does not change
        them. Raises LimitReached, SandboxUnavailable, StorageFull.
        """
        ...

    async def resize_terminal(self, vm_id: str, session_id: str, size: TerminalSize) -> None:
        """Set the size of the terminal of a session, attached or not. Ignored when it has none."""
        ...


class Engine(Ports, Terminals, Protocol):
    """An engine: creates, forks, runs and deletes computers. All methods may be called concurrently from one event
    loop. Cancelling a call never leaves a computer half changed. Every method about one computer raises VmMissing."""

    async def start(self) -> None:
        """Lock the store, clean up after a crash, and check that a sandbox starts. Raises SandboxUnavailable."""
        ...

    async def close(self) -> None:
        """Save idle sessions, end every sandbox and unlock the store."""
        ...

    # Inventory

    async def images(self) -> list[str]:
        """Return the names of the available base images; `arkuntu` is always among them."""
        ...

    async def missing(self, vm_ids: Iterable[str]) -> set[str]:
        """Return those of the computers that definitely do not exist; a computer that cannot be reached is not among
        them."""
        ...

    async def running(self) -> set[str]:
        """Return the ids of the computers whose sandbox is alive."""
        ...

    async def in_use(self, vm_ids: Iterable[str]) -> set[str]:
        """Return the ids of those computers that have other processes than idle shells."""
        ...

    async def loads(self, vm_ids: Iterable[str]) -> dict[str, Load]:
        """Return what computers use now; those that the engine does not have are left out."""
        ...

    async def sessions(self, vm_id: str) -> list[SessionState]:
        """Return the sessions of a computer; the default one (`"0"`) is always among them."""
        ...

    async def copy_session(self, vm_id: str, source: str, target: str) -> None:
        """Copy the state of the session `source` to `target`, which is created if it is new. Raises LimitReached."""
        ...

    async def end_session(self, vm_id: str, session_id: str) -> None:
        """Cancel the run of a session, end its shell and all processes that its commands started, and drop its state.
        The next use of its name creates a new session. Ignored when there is none."""
        ...

    # Computers

    async def create(self, vm_id: str, image: str) -> None:
        """Create a computer on a base image; it is durable when this returns. Raises ImageMissing, StorageFull."""
        ...

    async def fork(self, parent_id: str, child_id: str, *, sessions: bool = True) -> None:
        """Create a computer with the parent's files and, with `sessions`, the state of its idle shells. Takes constant
        time; the computer is durable when this returns.

        Without `sessions` (used for forks by other organizations) the parent's processes are not paused: if it has any,
        the child gets the files as of the parent's last fork with nothing running.
        """
        ...

    async def delete(self, vm_id: str) -> None:
        """End the sandbox and remove the computer. Layers that no other computer needs are removed in the
        background."""
        ...

    async def stop(self, vm_id: str) -> None:
        """Save the sessions of the computer and end its sandbox now; the next use restores both."""
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
        whole: bool = False,
        kept: bool = False,
    ) -> Run:
        """Start `command` in the session's shell, which is created on first use; `"0"` is the default session.

        Args:
            timeout: seconds after which the command is ended; None for the engine's limit, `math.inf` for none.
            run_id: the id of the run, so that the caller can cancel a run before this call has returned.
            stdin: whether it gets input by `write_stdin`; otherwise its input is empty.
            cwd, env: for this command only, which then runs in a subshell: variables that it sets are lost.
            whole: whether the run ends with the last process that the command started, not with the command.
            kept: whether the run is on disk when this returns, so that `run_of` finds it even after a crash.

        Cancelling the call before it returns ends the command. Raises SessionBusy, RunExists, LimitReached,
        SandboxUnavailable, StorageFull, OutcomeUnknown.
        """
        ...

    async def run_of(self, vm_id: str, run_id: str) -> Run:
        """Return the run with this id. It survives a restart of the engine: a run that was unfinished then has ended
        with the reason `infrastructure`. Raises RunMissing."""
        ...

    async def runs(self, vm_id: str) -> list[Run]:
        """Return the runs of a computer that are unfinished or were not forgotten, newest first. The engine may drop
        the oldest of those that have ended."""
        ...

    async def forget_run(self, vm_id: str, run_id: str) -> None:
        """Drop the run and its output; an unfinished run is dropped when it ends. Ignored when there is none."""
        ...

    # File systems that outlive computers

    async def set_mounts(self, vm_id: str, mounts: Mapping[str, str]) -> None:
        """Set the file systems that a computer mounts from its next start on, by their paths. A new file system is
        empty. The engine does not remember the mounts when it is restarted. Raises StorageFull."""
        ...

    async def mounted(self, vm_id: str) -> Mapping[str, str | None]:
        """Return the paths of the file systems that a computer has mounted (None), and of those that it could not mount
        (why); empty while it is stopped."""
        ...

    async def delete_filesystem(self, name: str) -> None:
        """Remove a file system that no computer has mounted. Ignored when there is none."""
        ...

    # Files

    async def open_file(self, vm_id: str, path: str) -> Readable:
        """Open the regular file at `path`. Raises FileMissing, FileRefused, SandboxUnavailable."""
        ...

    async def write_file(
        self, vm_id: str, path: str, source: bytes | Readable, *, sha256: str | None = None
    ) -> None:
        """Write `source` to `path` atomically: readers see the old file or the new one, which is on disk when this
        returns. Missing folders are created; the mode is 0644 or that of the replaced file. `sha256` is the digest of
        the content, if it is known. A local file may become the file itself: do not change it any more.

        Raises FileMissing, FileRefused, StorageFull."""
        ...

    def files(self, vm_id: str) -> Files:
        """Return the other operations on the files and trees of a computer. Raises VmMissing."""
        ...
