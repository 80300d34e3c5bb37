"""The runs of an engine on this machine, and helpers for the runs of any engine: `collect` and `run`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol

from arker.local.engine.journal import Journal, OutputQuota
from arker.local.engine.protocol import (
    Cut,
    End,
    Engine,
    EngineError,
    Event,
    Output,
    Reason,
    Run,
    RunExists,
    RunMissing,
    RunOutcome,
    RunState,
    SandboxUnavailable,
    Stream,
    Usage,
    VmMissing,
    shown,
)

#: Maximum bytes of each stream in a collected result.
COLLECTED = 16 << 20
#: Ended runs kept for one computer; the oldest are dropped first.
_KEPT = 1100
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,127}")


def new_run_id() -> str:
    """Return an id for a new run."""
    return os.urandom(10).hex()


class _Kept:
    """What is kept of a stream, and how many bytes may follow."""

    __slots__ = ("pieces", "room")

    def __init__(self, room: int) -> None:
        self.pieces: list[bytes] = []
        self.room = room


async def collect(run: Run, limit: int = COLLECTED) -> RunOutcome:
    """Wait for the end of a run and return its result with up to `limit` bytes of each stream.

    Raises VmMissing, SandboxUnavailable or EngineError when the run ended without an exit code.
    """
    out, err = _Kept(limit), _Kept(limit)
    end: End | None = None
    async for batch in run.batches():
        for event in batch:
            if isinstance(event, Output):
                kept = out if event.stream is Stream.STDOUT else err
                if kept.room > 0:
                    kept.pieces.append(event.data[: kept.room])
                    kept.room -= len(event.data)
            elif isinstance(event, End):
                end = event
    assert end is not None
    if end.exit_code is None:
        why = "; ".join(end.notes) or f"the run {run.id} ended without an exit code ({end.reason})"
        raise (SandboxUnavailable if end.reason is Reason.COMPUTER_STOPPED else EngineError)(why)
    assert end.seconds is not None
    stdout, stderr = b"".join(out.pieces), b"".join(err.pieces)
    return RunOutcome(
        stdout=stdout,
        stderr=stderr,
        exit_code=end.exit_code,
        cwd=end.cwd,
        duration_ms=end.seconds * 1000,
        completed=end.reason is not Reason.TIMED_OUT,
        stdout_truncated=end.stdout_bytes > len(stdout),
        stderr_truncated=end.stderr_bytes > len(stderr),
        reason=end.reason,
        usage=end.usage,
        notes=end.notes,
    )


async def run(
    engine: Engine,
    vm_id: str,
    session_id: str,
    command: str,
    *,
    timeout: float | None = None,
    run_id: str | None = None,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    limit: int = COLLECTED,
) -> RunOutcome:
    """Run a command to its end and drop the run; the arguments are those of `Engine.start_run`.

    Cancelling the call cancels the run. Raises what `start_run` and `collect` raise.
    """
    async with running(
        engine, vm_id, session_id, command, timeout=timeout, run_id=run_id, cwd=cwd, env=env
    ) as handle:
        return await collect(handle, limit)


class running:  # noqa: N801 - used like a function
    """An async context manager that starts a command, and drops the run at the end of the block; the arguments are
    those of `Engine.start_run`. Cancelling the block cancels the run."""

    # Not a generator, which would take several microseconds of each run.
    __slots__ = ("_engine", "_run", "_start", "_vm_id")

    def __init__(
        self,
        engine: Engine,
        vm_id: str,
        session_id: str,
        command: str,
        *,
        timeout: float | None = None,
        run_id: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._engine = engine
        self._vm_id = vm_id
        self._start = engine.start_run(
            vm_id, session_id, command, timeout=timeout, run_id=run_id, cwd=cwd, env=env
        )

    async def __aenter__(self) -> Run:
        self._run = await self._start
        return self._run

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if isinstance(error, asyncio.CancelledError):
                await self._run.cancel()
            elif isinstance(error, EngineError) and self._vm_id in await self._engine.missing([self._vm_id]):
                raise VmMissing(f"computer {self._vm_id} was deleted while the command ran") from None
        finally:
            await self._engine.forget_run(self._vm_id, self._run.id)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class Control(Protocol):
    """The operations on a running command, provided by its engine."""

    async def write_stdin(self, data: bytes) -> None:
        """See `Run.write_stdin`."""
        ...

    async def close_stdin(self) -> None:
        """See `Run.close_stdin`."""
        ...

    def signal(self, number: signal.Signals) -> None:
        """See `Run.signal`."""
        ...

    def cancel(self) -> None:
        """See `Run.cancel`."""
        ...


_ORDER = list(RunState)


class LocalRun:
    """A `Run` of an engine on this machine. The engine appends to `journal`, and calls `begin_ending` and `end`."""

    def __init__(
        self, vm_id: str, id_: str, session_id: str, command: str, started_ms: int, journal: Journal
    ) -> None:
        self.vm_id = vm_id
        self.id: str = id_
        self.session_id: str = session_id
        self.command: str = command
        self.started_ms: int = started_ms
        self.journal = journal
        self.control: Control | None = None
        #: The task that starts the command, while it may be interrupted.
        self.starter: asyncio.Task[object] | None = None
        self._state = RunState.RUNNING
        self._end: End | None = None
        self._over = asyncio.Event()
        #: Why the run is being ended, once it is.
        self.ending: Reason | None = None
        #: The limit of the computer because of which the engine killed processes of the run.
        self.limit: Reason | None = None
        self.notes: list[str] = []
        #: Numbers of the signals that were sent to the command.
        self.signals: set[int] = set()
        self.forgotten: bool = False
        #: Whether a part of the run is on disk.
        self.saved: bool = False
        #: Functions that are called once, at the end.
        self.on_end: list[Callable[[LocalRun], None]] = []

    @property
    def state(self) -> RunState:
        """The state of the run."""
        return self._state

    def _move(self, state: RunState) -> None:
        assert _ORDER.index(state) > _ORDER.index(self._state), (self._state, state)
        self._state = state

    def begin_ending(self, reason: Reason) -> bool:
        """Note that the processes of the run are being ended; return False if it is over or being ended already."""
        if self._state is not RunState.RUNNING:
            return False
        self._move(RunState.ENDING)
        self.ending = reason
        return True

    def check(self) -> None:
        """Raise CancelledError if the run was cancelled before its command started."""
        if self.ending is not None:
            raise asyncio.CancelledError

    def end(self, end: End) -> None:
        """Note that the run is over."""
        self._move(RunState.ENDED)
        self._end = end
        self.control = None
        self.journal.end()
        self._over.set()
        for call in self.on_end:
            call(self)
        self.on_end.clear()

    @property
    def outcome(self) -> End | None:
        """How the run ended; None before."""
        return self._end

    async def events(self, offset: int = 0, *, follow: bool = True) -> AsyncIterator[Event]:
        """Yield the output from `offset` on, and then how the run ended; without `follow`, what is available now."""
        async for batch in self.batches(offset, follow=follow):
            for event in batch:
                yield event

    async def batches(self, offset: int = 0, *, follow: bool = True) -> AsyncIterator[Sequence[Event]]:
        """Yield the same in batches of what is there at a time."""
        journal = self.journal
        await journal.load()
        if offset > journal.size or offset < 0:
            raise ValueError(f"the run has {journal.size} bytes of output, and none at offset {offset}")
        cut = False
        over = False
        while not over and not self.forgotten:
            batch: list[Event] = []
            if pieces := journal.read(offset):
                batch += pieces
                offset = pieces[-1].offset + len(pieces[-1].data)
            if offset < journal.size:
                yield batch
                # There may be much output: other tasks get their turn in between.
                await asyncio.sleep(0)
                continue
            over = journal.ended or not follow
            if journal.cut and not cut:
                # Sent at once: the command may continue for long.
                cut = True
                batch.append(Cut(offset))
            if over and self._end is not None:
                batch.append(self._end)
            if batch:
                yield batch
            elif not over:
                # The end of a short command comes in the same turn of the loop as its output.
                await journal.more()
        if self.forgotten:
            raise RunMissing(f"run {self.id} was forgotten")

    async def wait(self) -> End:
        """Wait until the run ends, and return how it ended."""
        await self._over.wait()
        assert self._end is not None
        return self._end

    async def write_stdin(self, data: bytes) -> None:
        """Write to the input; waits while the command does not read. Raises BrokenPipeError when it will not read any
        more."""
        if self.control is None:
            raise BrokenPipeError(f"run {self.id} is over")
        await self.control.write_stdin(data)

    async def close_stdin(self) -> None:
        """Close the input."""
        if self.control is not None:
            await self.control.close_stdin()

    async def signal(self, number: signal.Signals) -> None:
        """Send a signal to the processes of the command and to its shell."""
        if self.control is not None:
            self.signals.add(number)
            self.control.signal(number)

    async def cancel(self) -> None:
        """End the command and the processes that it started; a command that is not started yet never is."""
        if self.control is not None:
            self.control.cancel()
        elif self.begin_ending(Reason.CANCELLED) and self.starter is not None:
            self.starter.cancel()


class RunBook:
    """The runs of an engine's computers: unfinished ones, and ended ones that were not forgotten.

    A run is saved some time after its start (by `keep` at once), and after its end: `<run>.json`, with its output in
    `<run>.out`, in one folder per computer. A run that is collected and forgotten at once is never written to disk.

    Args:
        folder: the folder of saved runs.
        limit: bytes of output kept of one run, of all unfinished runs of a computer (beyond 32 MiB of each), and of all
            its ended runs.
        changed: called when there are changes for `save`.
    """

    def __init__(self, folder: Path, limit: int, changed: Callable[[], None]) -> None:
        self._folder = folder
        self._limit = limit
        self._changed = changed
        self._runs: dict[str, dict[str, LocalRun]] = {}
        #: Runs to save, in order; and whether a save has skipped them.
        self._dirty: dict[LocalRun, bool] = {}
        #: Runs that are on disk, with output that is not; only the keys are used.
        self._unwritten: dict[LocalRun, None] = {}
        #: Saved runs of a computer that have ended, oldest first, with the bytes of their files of output. A computer
        #: is there once one of its runs has ended.
        self._kept: dict[str, dict[str, int]] = {}
        #: Quotas by computer.
        self._quotas: dict[str, OutputQuota] = {}

    def start(
        self, vm_id: str, run_id: str | None, session_id: str, command: str, *, soon: bool = True
    ) -> LocalRun:
        """Add a new run; without `soon`, the caller saves it. Raises RunExists, and EngineError for an
        invalid id."""
        id_ = run_id or new_run_id()
        if not _ID.fullmatch(id_):
            raise EngineError(f"{id_!r} is not a valid id of a run: letters, digits and `_.-`, at most 128")
        runs = self._runs.setdefault(vm_id, {})
        if id_ in runs or (run_id is not None and os.path.exists(self._record(vm_id, id_))):
            raise RunExists(f"there is a run {id_} already")
        quota = self._quotas.setdefault(vm_id, OutputQuota(self._limit))
        journal = Journal(self._output(vm_id, id_), self._limit, quota)
        now = time.time_ns() // 1_000_000
        run = runs[id_] = LocalRun(vm_id, id_, session_id, shown(command), now, journal)
        run.on_end.append(self._ended)
        journal.on_output = partial(self._write_soon, run)
        if soon:
            self.save_soon(run)
        return run

    def save_soon(self, run: LocalRun) -> None:
        """Save a run, and its output so far, with the next changes."""
        self._dirty.setdefault(run, False)
        self._changed()

    def _write_soon(self, run: LocalRun) -> None:
        # A run that is collected at once is never on disk.
        if run.saved and not run.forgotten:
            self._unwritten[run] = None
            self._changed()

    def keep(self, run: LocalRun) -> None:
        """Save a run that is about to start; it survives a crash of the process and of the machine. Blocking;
        thread-safe. Raises OSError."""
        self._write(run, durable=True)
        if run.forgotten:  # its start was cancelled meanwhile
            Path(self._record(run.vm_id, run.id)).unlink(missing_ok=True)

    def withdraw(self, run: LocalRun) -> None:
        """Remove a run that did not start."""
        run.forgotten = True
        self._drop(run)

    def _ended(self, run: LocalRun) -> None:
        if run.forgotten:
            self._drop(run)
        else:
            self.save_soon(run)

    async def get(self, vm_id: str, run_id: str) -> LocalRun:
        """Return the run with this id. Raises RunMissing."""
        run = self._runs.get(vm_id, {}).get(run_id)
        if run is None and _ID.fullmatch(run_id):
            run = await asyncio.to_thread(self._read, vm_id, run_id)
        if run is None or run.forgotten:
            raise RunMissing(f"there is no run {run_id} in computer {vm_id}")
        return run

    def held(self, vm_id: str) -> list[LocalRun]:
        """Return the runs of a computer that are in memory: unfinished ones, and those not saved yet."""
        return [run for run in self._runs.get(vm_id, {}).values() if not run.forgotten]

    def written(self, vm_id: str, but: set[str]) -> list[LocalRun]:
        """Return the saved runs of a computer, except `but`. Blocking; thread-safe."""
        names = {path.stem for path in (self._folder / vm_id).glob("*.json")} - but
        return [run for name in names if (run := self._read(vm_id, name)) is not None]

    def forget(self, vm_id: str, run_id: str) -> None:
        """Drop a run and its files; an unfinished run is dropped when it ends."""
        run = self._runs.get(vm_id, {}).get(run_id)
        if run is not None:
            run.forgotten = True
            run.journal.forget()
            if run.state is RunState.ENDED:
                self._drop(run)
        elif _ID.fullmatch(run_id):
            self._kept.get(vm_id, {}).pop(run_id, None)
            self._unlink(vm_id, run_id)

    def _drop(self, run: LocalRun) -> None:
        self._runs.get(run.vm_id, {}).pop(run.id, None)
        self._kept.get(run.vm_id, {}).pop(run.id, None)
        self._dirty.pop(run, None)
        if run.saved:
            Path(self._record(run.vm_id, run.id)).unlink(missing_ok=True)

    def forget_all(self, vm_id: str) -> None:
        """Drop the runs of a deleted computer. Blocking."""
        for run in list(self._runs.get(vm_id, {}).values()):
            self.forget(vm_id, run.id)
        self._quotas.pop(vm_id, None)
        self._kept.pop(vm_id, None)
        shutil.rmtree(self._folder / vm_id, ignore_errors=True)

    def sweep(self, vm_ids: set[str]) -> None:
        """Drop the runs of computers that do not exist, at the start. Blocking."""
        with contextlib.suppress(FileNotFoundError):
            for entry in self._folder.iterdir():
                if entry.name not in vm_ids:
                    shutil.rmtree(entry, ignore_errors=True)

    # Saving

    def save(self, *, but_new: bool = False) -> None:
        """Save changes. Raises OSError; failed changes are saved with the next ones.

        With `but_new`, a run that is not on disk is skipped once, as it may be forgotten by the next save.
        """
        for run in self._unwritten:
            run.journal.spill()
        self._unwritten.clear()
        for run, passed_over in list(self._dirty.items()):
            if but_new and not (passed_over or run.saved):
                self._dirty[run] = True
                self._changed()
                continue
            run.journal.spill()
            self._write(run)
            self._dirty.pop(run, None)
            if run.state is RunState.ENDED:
                kept = self._kept.get(run.vm_id)
                if kept is None:
                    kept = self._kept[run.vm_id] = self._find_kept(run.vm_id)
                kept[run.id] = _size(Path(self._output(run.vm_id, run.id)))
                self._runs[run.vm_id].pop(run.id, None)
                self._trim(run.vm_id, kept)

    def _write(self, run: LocalRun, *, durable: bool = False) -> None:
        path = Path(self._record(run.vm_id, run.id))
        fresh = not path.parent.exists()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        end = run.outcome
        record = {
            "session": run.session_id,
            "command": run.command,
            "started_ms": run.started_ms,
            "cut": run.journal.cut,
            "end": end and {**end._asdict(), "usage": end.usage._asdict()},
        }
        partial = path.with_suffix(".new")
        partial.write_text(json.dumps(record))
        if durable:
            _sync(partial)
        # The clock of file systems is too coarse to tell which of two runs is older.
        now = time.time_ns()
        os.utime(partial, ns=(now, now))
        partial.replace(path)
        run.saved = True
        if durable:
            _sync(path.parent)
            if fresh:
                _sync(path.parent.parent)

    def _find_kept(self, vm_id: str) -> dict[str, int]:
        runs = self._runs.get(vm_id, {})
        ended = [path for path in (self._folder / vm_id).glob("*.json") if path.stem not in runs]
        ended.sort(key=lambda path: path.stat().st_mtime_ns)
        return {path.stem: _size(path.with_suffix(".out")) for path in ended}

    def _trim(self, vm_id: str, kept: dict[str, int]) -> None:
        """Drop ended runs, the oldest first, beyond how many and how many bytes of output are kept of a computer."""
        size = sum(kept.values())
        # The newest stays, which alone is within the limit.
        while len(kept) > 1 and (len(kept) > _KEPT or size > self._limit):
            oldest = next(iter(kept))
            size -= kept.pop(oldest)
            self._unlink(vm_id, oldest)

    def _unlink(self, vm_id: str, run_id: str) -> None:
        for path in (self._record(vm_id, run_id), self._output(vm_id, run_id)):
            Path(path).unlink(missing_ok=True)

    def _read(self, vm_id: str, run_id: str) -> LocalRun | None:
        try:
            record = json.loads(Path(self._record(vm_id, run_id)).read_text())
            journal = Journal.of_ended(self._output(vm_id, run_id))
        except (OSError, ValueError):
            return None
        run = LocalRun(vm_id, run_id, record["session"], record["command"], record["started_ms"], journal)
        run.saved = True
        journal.cut = record["cut"]
        end = record["end"]
        if end is None:
            journal.load_now()
            note = "the engine ended while the command ran"
            out, err = journal.totals.values()
            run.end(End(None, Reason.INFRASTRUCTURE, "", None, out, err, notes=(note,)))
        else:
            end |= {
                "reason": Reason(end["reason"]),
                "usage": Usage(**end["usage"]),
                "notes": tuple(end["notes"]),
            }
            run.end(End(**end))
        return run

    def _record(self, vm_id: str, run_id: str) -> str:
        # Not a Path: that would take a tenth of the time of a short run.
        return f"{self._folder}/{vm_id}/{run_id}.json"

    def _output(self, vm_id: str, run_id: str) -> str:
        return f"{self._folder}/{vm_id}/{run_id}.out"
