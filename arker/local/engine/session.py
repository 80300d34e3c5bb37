"""A session: the state that passes from one of its shells to the next, and its running command."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from signal import Signals
from typing import NamedTuple

from arker.local.engine import small_files
from arker.local.engine.checkpoint import TOTAL, Checkpoint, restoration, trimmed
from arker.local.engine.images import HOME, Image
from arker.local.engine.meter import Measure, Meter
from arker.local.engine.processes import Process, Processes
from arker.local.engine.protocol import (
    End,
    EngineError,
    LimitReached,
    Reason,
    SandboxUnavailable,
    SessionBusy,
    Stream,
    Usage,
)
from arker.local.engine.runs import LocalRun
from arker.local.engine.sandbox import Sandbox
from arker.local.engine.shell import Result, Shell, ShellState
from arker.local.engine.store import SessionRow

#: Seconds that the processes of a command get to end after SIGTERM, before SIGKILL; and after that.
_TERM_SECONDS = 0.4
_KILL_SECONDS = 5.0
#: Seconds that a shell gets to start, and to send its checkpoint before it is replaced.
_SHELL_SECONDS = 15.0
_TELL_SECONDS = 5.0
#: How long to wait for the report after the previous command when a command is ended.
_TOLD_SECONDS = 0.4
_TIMED_OUT = 124
#: A successful command that took less than these seconds was not killed for memory.
_MOMENT = 0.02
#: Number of marks above which those without a live process are dropped.
_MARKS = 256


class SessionPhase(enum.Enum):
    """The phase of a session. Only `Session._move` changes it."""

    IDLE = enum.auto()
    #: A command was accepted, and its shell is starting.
    STARTING = enum.auto()
    RUNNING = enum.auto()
    #: The command was cancelled or timed out, and its processes are being ended.
    ENDING = enum.auto()
    #: It is being dropped with all its processes, and takes no more commands.
    CLOSED = enum.auto()


_MOVES: dict[SessionPhase, tuple[SessionPhase, ...]] = {
    SessionPhase.IDLE: (SessionPhase.STARTING, SessionPhase.CLOSED),
    SessionPhase.STARTING: (SessionPhase.RUNNING, SessionPhase.IDLE),
    SessionPhase.RUNNING: (SessionPhase.ENDING, SessionPhase.IDLE),
    SessionPhase.ENDING: (SessionPhase.IDLE,),
    SessionPhase.CLOSED: (),
}


class TimeoutState(enum.Enum):
    """The state of a command's timeout. Only `Timeout._move` changes it; it moves once."""

    ARMED = enum.auto()
    #: The command ran out of time.
    EXPIRED = enum.auto()
    #: The command ended before, or is being ended for another reason.
    DISARMED = enum.auto()


class Timeout:
    """The timeout of a command; calls `expired` when it is reached, unless `disarm` was called before."""

    __slots__ = ("_expired", "_timer", "state")

    def __init__(self, seconds: float, expired: Callable[[], None]) -> None:
        self.state: TimeoutState = TimeoutState.ARMED
        self._expired = expired
        self._timer = asyncio.get_running_loop().call_later(seconds, self._move, TimeoutState.EXPIRED)

    def _move(self, state: TimeoutState) -> None:
        assert self.state is TimeoutState.ARMED, (self.state, state)
        self.state = state
        self._timer.cancel()
        # What it calls refers to this timeout: both would be left to the garbage collector.
        expired, self._expired = self._expired, lambda: None
        if state is TimeoutState.EXPIRED:
            expired()

    def disarm(self) -> None:
        """Cancel the timeout, as the command ended or is being ended. Ignored once it was reached."""
        if self.state is TimeoutState.ARMED:
            self._move(TimeoutState.DISARMED)


class Surroundings(NamedTuple):
    """What a session needs from its computer."""

    #: Bytes that the state of this session may take, given those of the others.
    room: Callable[[Session], int]
    #: Called when the session must be saved.
    changed: Callable[[], None]
    #: Called when a command ended.
    used: Callable[[], None]
    #: Called before a command is over that may have been killed for memory.
    look_for_kernel_kills: Callable[[], None]
    #: Why the computer refuses to be used, if it does.
    refusal: Callable[[], EngineError | None]


@dataclass(slots=True, eq=False)
class Session:
    """A session, with or without a shell. It runs one command at a time."""

    id: str
    around: Surroundings
    cwd: bytes = HOME.encode()
    #: The last checkpoint; shell code if an older release saved it.
    checkpoint: Checkpoint | bytes | None = None
    shell: Shell | None = None
    phase: SessionPhase = SessionPhase.IDLE
    #: The command that runs: set unless the phase is IDLE or CLOSED.
    run: LocalRun | None = None
    #: The definitions that are too large to keep, as last reported.
    left_out: list[str] = field(default_factory=list)
    #: The exit code of the last command.
    status: int = 0
    unsaved: bool = False
    used: float = 0.0
    #: The marks of its commands that may still have live processes.
    marks: set[int] = field(default_factory=set)

    @classmethod
    def from_row(cls, row: SessionRow, around: Surroundings) -> Session:
        """Create a session from its saved row."""
        told = None if row.state is None else Checkpoint.load(row.state) or row.state
        return cls(row.id, around, row.cwd, told)

    def row(self) -> SessionRow:
        """Return the row to save."""
        told = self.checkpoint
        return SessionRow(self.id, self.cwd, told.dump() if isinstance(told, Checkpoint) else told)

    @property
    def busy(self) -> bool:
        """Whether it has a command to run, or is being dropped."""
        return self.phase is not SessionPhase.IDLE

    @property
    def running(self) -> bool:
        """Whether its shell has a command."""
        return self.phase in (SessionPhase.RUNNING, SessionPhase.ENDING)

    @property
    def settled(self) -> bool:
        """Whether the checkpoint has the whole state of the shell."""
        return not self.busy and (self.shell is None or self.shell.settled.is_set())

    def code(self, image: Image) -> bytes | None:
        """Shell code that restores the state, for a shell of another kind."""
        if isinstance(self.checkpoint, Checkpoint):
            code, late = restoration(self.checkpoint, image.environment)
            return code + late + b"\n"
        return self.checkpoint

    def _move(self, phase: SessionPhase) -> None:
        assert phase in _MOVES[self.phase], (self.phase, phase)
        self.phase = phase
        if phase is SessionPhase.IDLE:
            self.run = None

    async def claim(self, run: LocalRun) -> None:
        """Take the session for a run, once one that is being cancelled is over. Raises SessionBusy."""
        while self.run is not None and self.run.ending is Reason.CANCELLED:
            await self.run.wait()
        if self.phase is SessionPhase.CLOSED:
            raise SessionBusy(f"session {self.id} is being ended")
        if self.busy:
            where = "" if self.run is None else f": run {self.run.id}"
            raise SessionBusy(f"session {self.id} runs a command already{where}")
        self._move(SessionPhase.STARTING)
        self.run = run
        self.used = time.monotonic()

    def release(self) -> None:
        """Release the session: the run that claimed it will not start."""
        self._move(SessionPhase.IDLE)

    def prepare(self, sandbox: Sandbox, control: str, image: Image) -> None:
        """Start a shell, if there is none and it would restore nothing: on a new disk, no code of the guest runs in
        it. Raises OSError."""
        if self.shell is None and self.checkpoint is None:
            self._begin(sandbox, control, image)

    async def start(
        self,
        sandbox: Sandbox,
        meter: Meter,
        control: str,
        image: Image,
        command: bytes,
        seconds: float,
        *,
        stdin: bool,
        whole: bool,
    ) -> None:
        """Start the command of the run that claimed the session. Raises LimitReached, OSError."""
        assert self.run is not None
        shell = await self._ready(sandbox, control, image)
        assert shell.pid is not None
        self.run.check()
        measure = meter.begin(shell.pid)
        running = _Command(self, shell, self.run, meter, measure)
        try:
            shell.run(command, self.run.journal, running.ended, stdin=stdin, whole=whole)
        except BaseException:
            meter.end(measure)
            raise
        measure.mark = shell.mark
        if len(self.marks) >= _MARKS:
            self.marks &= sandbox.processes.marks()
        self.marks.add(shell.mark)
        self._move(SessionPhase.RUNNING)
        running.begin(seconds)

    async def _ready(self, sandbox: Sandbox, control: str, image: Image) -> Shell:
        """Return a shell that is ready for a command."""
        while True:
            shell = self.shell
            if shell is None or shell.lost():
                shell = self._begin(sandbox, control, image)
            shell.take_reports()
            if shell.takes_commands:
                return shell
            # A call that is cancelled must not cancel what others wait for.
            await asyncio.wait({shell.up})
            if shell.pid is None:
                if (refusal := self.around.refusal()) is not None:
                    raise refusal
                if sandbox.stopping:
                    raise SandboxUnavailable("the sandbox ended before the command could start")
                raise LimitReached("the shell of the session did not start; are there too many processes?")
            try:
                async with asyncio.timeout(_TELL_SECONDS):
                    await shell.settled.wait()
            except TimeoutError:
                shell.kill()
                shell.close()

    def _begin(self, sandbox: Sandbox, control: str, image: Image) -> Shell:
        """Start a shell with the state of the last one."""
        assert self.run is not None
        old = self.shell
        if old is not None:
            if old.damage is not None and old.state is not ShellState.CLOSED:
                old.kill()
            old.close()
        if self.left_out:
            self.run.notes.append(f"too large to be kept in the session: {', '.join(self.left_out)}")
            self.left_out = []
        small_files.remove_folder(f"{control}/{self.id}")
        shell = self.shell = Shell(
            sandbox, control, self.id, self.cwd, self.checkpoint, self.status, image.environment, self._keep
        )
        asyncio.get_running_loop().call_later(_SHELL_SECONDS, shell.close_unless_up)
        return shell

    def _keep(self, cwd: bytes, told: Checkpoint) -> None:
        """Store the checkpoint that the shell sent after a command."""
        kept, left_out = trimmed(told, min(TOTAL, self.around.room(self)))
        if kept != self.checkpoint or cwd != self.cwd:
            self.unsaved = True
            self.around.changed()
        self.cwd, self.checkpoint, self.left_out = cwd, kept, left_out

    def leave(self) -> None:
        """Forget the shell, which ended with its sandbox or is about to end."""
        if self.shell is not None:
            self.shell.close()
            self.shell = None

    async def end(self) -> None:
        """End the running command, the shell, and all processes that commands of the session started."""
        while (run := self.run) is not None:
            await run.cancel()
            await run.wait()
        if self.phase is not SessionPhase.CLOSED:
            self._move(SessionPhase.CLOSED)
        shell, self.checkpoint = self.shell, None
        if shell is None or shell.sandbox.ended.done():
            return
        shell.kill()
        self.leave()
        processes = shell.sandbox.processes
        await send_until_gone(processes, lambda: processes.marked(self.marks), Signals.SIGTERM, _TERM_SECONDS)
        await send_until_gone(processes, lambda: processes.marked(self.marks), Signals.SIGKILL, _KILL_SECONDS)

    def begin_ending(self) -> None:
        """Note that the processes of the command are about to be ended."""
        self._move(SessionPhase.ENDING)

    def over(self, result: Result, run: LocalRun, usage: Usage) -> None:
        """Note that the command is over, with all processes that end with it."""
        if result.status or result.seconds > _MOMENT:
            self.around.look_for_kernel_kills()
        self._move(SessionPhase.IDLE)
        self.around.used()
        if result.status is not None and run.ending is None:
            self.cwd, self.status = result.cwd, result.status
        end_run(run, result, usage, self.cwd, self.around.refusal())


def end_run(run: LocalRun, result: Result, usage: Usage, cwd: bytes, refusal: EngineError | None) -> None:
    """Tell a run how its command ended."""
    status = result.status
    for note in run.notes:
        run.journal.append(Stream.STDERR, f"arker: {note}\n".encode())
    if run.ending is not None:
        reason = run.ending
        status = _TIMED_OUT if reason is Reason.TIMED_OUT else status or 128 + Signals.SIGTERM
    elif status is None:
        reason = Reason.INFRASTRUCTURE if result.why else Reason.COMPUTER_STOPPED
        run.notes.append(result.why or str(refusal or "the sandbox ended while the command ran"))
    elif run.limit is not None and status:
        reason = run.limit
    else:
        # The status of a shell that waited for the killed process says so.
        killed = result.killed or status - 128 in run.signals
        reason = Reason.SIGNALLED if killed else Reason.EXITED
    run.end(
        End(
            exit_code=status,
            reason=reason,
            cwd=cwd.decode(errors="replace"),
            seconds=result.seconds,
            stdout_bytes=run.journal.totals[Stream.STDOUT],
            stderr_bytes=run.journal.totals[Stream.STDERR],
            usage=usage,
            notes=tuple(run.notes),
        )
    )


async def send_until_gone(
    processes: Processes, find: Callable[[], list[Process]], number: Signals, seconds: float
) -> None:
    """Send a signal once to each of the processes that `find` finds, until it finds none or the time is over."""
    until = time.monotonic() + seconds
    sent: set[int] = set()
    while (left := find()) and time.monotonic() < until:
        processes.send_to_new(left, number, sent)
        await asyncio.sleep(0.002)


class _Command:
    """The running command of a session, as controlled by its run. Its timeout is armed while nothing ends it."""

    __slots__ = (
        "_ending", "_has_ended", "_measure", "_meter", "_result", "_run", "_session", "_shell", "_timeout",
    )  # fmt: skip

    def __init__(self, session: Session, shell: Shell, run: LocalRun, meter: Meter, measure: Measure) -> None:
        self._session = session
        self._shell = shell
        self._run = run
        self._meter = meter
        self._measure = measure
        self._ending: asyncio.Task[None] | None = None
        self._result: Result | None = None
        #: Done when it has ended, for a task that ends it.
        self._has_ended: asyncio.Future[None] | None = None

    def begin(self, seconds: float) -> None:
        """Note that it runs, and start its timeout."""
        self._timeout = Timeout(seconds, partial(self._begin_ending, Reason.TIMED_OUT))
        self._run.control = self

    async def write_stdin(self, data: bytes) -> None:
        if self._shell.input is None:
            raise BrokenPipeError("it was started without")
        await self._shell.input.write(data)

    async def close_stdin(self) -> None:
        if self._shell.input is not None:
            await self._shell.input.end()

    def signal(self, number: Signals) -> None:
        if self._shell.pid is not None:
            self._shell.signalled = True
            processes = self._shell.sandbox.processes
            started = self._started()
            # First, as it started the others.
            processes.send(self._shell.pid, number)
            processes.send_to_new(started, number, set())

    def cancel(self) -> None:
        self._begin_ending(Reason.CANCELLED)

    def _started(self) -> list[Process]:
        """Return the processes that the command started, even hidden ones."""
        shell = self._shell
        if shell.pid is None or shell.sandbox.ended.done():
            return []
        return shell.sandbox.processes.started_by(shell.pid, shell.mark)

    def _begin_ending(self, reason: Reason) -> None:
        if self._result is None and self._run.begin_ending(reason):
            self._timeout.disarm()
            self._session.begin_ending()
            self._ending = asyncio.get_running_loop().create_task(self._end())

    async def _end(self) -> None:
        """End the shell, so that it runs no further command, and then all that the command started."""
        processes = self._shell.sandbox.processes
        # Once the shell is gone, the time of the children that it waited for is unknown.
        self._measure.sample(processes.with_marks(), processes.memory(), processes.written)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TOLD_SECONDS):
                await self._shell.told_before.wait()
        self._shell.kill()
        await send_until_gone(processes, self._started, Signals.SIGTERM, _TERM_SECONDS)
        await send_until_gone(processes, self._started, Signals.SIGKILL, _KILL_SECONDS)
        if self._result is None:
            self._has_ended = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._has_ended}, timeout=1.0)
        if self._result is None:
            self._shell.close()

    def ended(self, result: Result) -> None:
        """Note how the command ended; the run ends once all processes that end with it are gone."""
        self._result = result
        self._timeout.disarm()
        if self._has_ended is not None:
            self._has_ended.set_result(None)
        if self._ending is None:
            self._over(result)
        else:
            self._ending.add_done_callback(lambda _: self._over(result))

    def _over(self, result: Result) -> None:
        self._session.over(result, self._run, self._meter.end(self._measure))
