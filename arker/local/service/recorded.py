"""Recorded runs: saved before they start, queued behind other runs of their session, kept for a while.

A record goes from `pending` to `running` to `completed`, `failed` or `cancelled`; it skips `running` if it never
started. The engine keeps the output; the record has the result of the command.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import math
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from arker.ids import new_ulid
from arker.local.engine.protocol import (
    Cut,
    End,
    Engine,
    EngineError,
    Output,
    Reason,
    Run,
    RunMissing,
    SessionBusy,
    Stream,
    Usage,
    shown,
)
from arker.local.storage.errors import NameTaken
from arker.local.storage.notes import Identity, Note, Notes
from arker.local.storage.runs import RunFilter, RunRow, RunRows

from .access import Access, Principal
from .activity import Activity
from .computers import Computers
from .errors import ApiError
from .idempotency import Once, conflicting
from .runs import SMALL, Early, check_command, run_identity
from .semaphores import ByteSemaphores
from .translation import Sandboxes, api_errors
from .turns import Turns

__all__ = ["Recorded", "Result", "RunFilter", "RunRow", "State"]

log: logging.Logger = logging.getLogger("arker.runs")

#: How long the record of a run is kept, in milliseconds; and the maximum number of records of a computer.
KEPT_MS: Final = 7 * 24 * 3600 * 1000
KEPT: Final = 1000
#: Maximum number of bytes of each stream in an answer.
SHOWN: Final = 16 * 1024 * 1024
#: Maximum number of pending and running runs of one computer.
MOST: Final = 1000
#: Maximum number of characters of all waiting commands of an organization.
MOST_WAITING: Final = 32 * 1024 * 1024
#: Seconds between attempts to use a session that is busy with something else.
_AGAIN: Final = 0.1
_NOTHING: Final = Usage()
_CUT_OFF: Final = "the deployment ended while the run was going on"


class State(enum.StrEnum):
    """The state of a run."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


_NEXT: Final = {
    State.PENDING: {State.RUNNING, State.FAILED, State.CANCELLED},
    State.RUNNING: {State.COMPLETED, State.FAILED, State.CANCELLED},
}


class Result(NamedTuple):
    """A run and its output so far; and how it ended, if the engine still knows."""

    run: RunRow
    stdout: bytes
    stderr: bytes
    end: End | None = None


@dataclass(slots=True, eq=False)
class _Live:
    """A run of this process that has not ended."""

    org_id: str
    row: RunRow
    #: The whole command, until it starts; the row only has the part that is shown.
    command: str
    began: float
    handle: Run | None = None
    cancelled: bool = False
    #: Whether its task has begun, so that it notices when it is cancelled.
    driven: bool = False
    error: ApiError | None = None
    usage: Usage = _NOTHING
    queued: float = 0.0
    #: Set when the run starts or ends; and when it ends.
    dispatched: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Recorded:
    """The recorded runs of a deployment."""

    def __init__(
        self,
        rows: RunRows,
        notes: Notes,
        engine: Engine,
        access: Access,
        computers: Computers,
        sandboxes: Sandboxes,
        turns: Turns,
        activity: Activity,
        outputs: ByteSemaphores,
        early: Early,
    ) -> None:
        self._rows = rows
        self._notes = notes
        self._engine = engine
        self._access = access
        self._computers = computers
        self._sandboxes = sandboxes
        self._turns = turns
        self._activity = activity
        self._outputs = outputs
        self._early = early
        self._live: dict[str, _Live] = {}

    async def start(self) -> None:
        """Mark runs that were unfinished when the last process ended as failed."""
        await self._rows.fail_unfinished(_CUT_OFF, _now())

    async def create(
        self,
        who: Principal,
        vm_id: str,
        *,
        session_id: str,
        command: str,
        timeout: float | None,
        wait: float,
        once: Once | None,
        whole: bool = False,
    ) -> RunRow:
        """Start or queue a run; return its record when it has ended, after `wait` seconds at the latest.

        Args:
            timeout: seconds after which the command is ended; None for never.
            whole: whether it ends with the last process that the command started.

        Raises:
            ApiError: it could not be started.
        """
        check_command(command)
        identity = None if once is None else Identity(who.org_id, f"runs:{vm_id}", once.key)
        if identity is not None and once is not None and (known := self._notes.find(identity)) is not None:
            if known.request != once.request or known.answer is None:
                raise conflicting()
            return await self._wait(vm_id, known.answer.decode(), wait)
        if once is not None:
            self._early.check(run_identity(who, vm_id, once.key))
        if sum(live.row.vm_id == vm_id for live in self._live.values()) >= MOST:
            raise ApiError(
                "quota_exceeded", f"the computer has {MOST} pending and running runs already", retry_after=1
            )
        waiting = sum(len(live.command) for live in self._live.values() if live.org_id == who.org_id)
        if waiting + len(command) > MOST_WAITING:
            raise ApiError(
                "quota_exceeded",
                f"too much text in waiting commands (at most {MOST_WAITING} characters); put long commands into files",
                retry_after=1,
            )
        row = RunRow(f"run_{new_ulid().lower()}", vm_id, session_id, shown(command), State.PENDING, _now())
        note = None
        if identity is not None and once is not None:
            note = Note(identity, once.request, "ended", row.run_id.encode())
        try:
            with api_errors():
                # A caller that does not wait for the end only has the id, so a crash must not lose the row.
                await self._rows.save(row, note, durable=wait == 0)
        except NameTaken:
            # Two identical requests arrived at once, and the other one was first.
            return await self.create(
                who, vm_id, session_id=session_id, command=command, timeout=timeout, wait=wait, once=once,
                whole=whole,
            )  # fmt: skip
        live = self._live[row.run_id] = _Live(who.org_id, row, command, time.monotonic())
        # A cancellation may have come while the row was saved.
        live.cancelled = once is not None and self._early.taken(run_identity(who, vm_id, once.key))
        queued = self._turns.taken(vm_id, session_id)
        live.task = asyncio.create_task(self._drive(who, live, timeout, whole))
        if not queued:
            await live.dispatched.wait()
        ended = await self._wait(vm_id, row.run_id, wait)
        if live.error is not None and live.handle is None:
            raise live.error
        return ended

    async def _wait(self, vm_id: str, run_id: str, seconds: float) -> RunRow:
        live = self._live.get(run_id)
        if live is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await live.ended.wait()
            return live.row
        return self._find(vm_id, run_id)

    async def _drive(self, who: Principal, live: _Live, timeout: float | None, whole: bool) -> None:
        live.driven = True
        try:
            async with self._turns.turn(live.row.vm_id, live.row.session_id):
                live.queued = time.monotonic() - live.began
                if not live.cancelled:
                    live.handle = await self._begin(live, timeout, whole)
                    live.command = ""
                    await self._move(live, State.RUNNING)
                    if live.cancelled:
                        await live.handle.cancel()
                    with api_errors():
                        end = await live.handle.wait()
                    live.usage = end.usage
                    await self._move(live, *_outcome(end))
        except ApiError as error:
            live.error = error
            await self._move(live, State.FAILED, None, error.message)
        except asyncio.CancelledError:
            if not live.cancelled:
                # The deployment is stopping; the next one records the result of the run.
                raise
        finally:
            if live.cancelled and live.row.completed_ms is None:
                await self._move(live, State.CANCELLED)
            self._live.pop(live.row.run_id, None)
            live.dispatched.set()
            live.ended.set()
            self._computers.touch(live.row.vm_id)
            self._note(who, live)

    async def _begin(self, live: _Live, timeout: float | None, whole: bool) -> Run:
        row = live.row
        self._computers.touch(row.vm_id)
        with self._sandboxes.used():
            while True:
                try:
                    return await self._engine.start_run(
                        row.vm_id,
                        row.session_id,
                        live.command,
                        timeout=timeout or math.inf,
                        run_id=row.run_id,
                        whole=whole,
                    )
                except SessionBusy:
                    # The session is used by something outside the queue, such as a terminal.
                    await asyncio.sleep(_AGAIN)

    async def _move(
        self, live: _Live, state: State, exit_code: int | None = None, fail_reason: str | None = None
    ) -> None:
        """Change the state of a run; nothing else changes it."""
        assert state in _NEXT[State(live.row.state)], (live.row.state, state)
        completed = None if state is State.RUNNING else _now()
        live.row = live.row._replace(
            state=state, completed_ms=completed, exit_code=exit_code, fail_reason=fail_reason
        )
        try:
            await self._rows.save(live.row)
        except Exception:
            # The record is out of date; the run continues, and requests that wait for it get its result.
            log.exception("the state of a run could not be saved: run=%s", live.row.run_id)
        live.dispatched.set()

    def _note(self, who: Principal, live: _Live) -> None:
        row = live.row
        self._activity.add(
            who,
            "run",
            row.vm_id,
            at_ms=row.started_ms,
            total_ms=(time.monotonic() - live.began) * 1000,
            status=200 if live.error is None else 500,
            queue_ms=live.queued * 1000,
            run_id=row.run_id,
            session_id=row.session_id,
            command=row.command,
            exit_code=row.exit_code,
            state=row.state,
            usage=live.usage,
        )

    def _find(self, vm_id: str, run_id: str) -> RunRow:
        live = self._live.get(run_id)
        if live is not None and live.row.vm_id == vm_id:
            return live.row
        found = self._rows.find(vm_id, run_id)
        if found is None:
            raise ApiError("not_found", f"the computer has no run {run_id!r}", resource="run")
        return found

    async def result(
        self, who: Principal, vm_id: str, run_id: str, answer: Callable[[Result], bytes]
    ) -> bytes:
        """Return what `answer` makes of a run and its output so far, up to `SHOWN` bytes of each stream."""
        self._access.owned(who, vm_id, "looked into")
        return await self.output(who, self._find(vm_id, run_id), answer)

    async def output(self, who: Principal, run: RunRow, answer: Callable[[Result], bytes]) -> bytes:
        """Do the same for a record. Many large outputs are loaded into memory one after another."""
        handle, size = None, 0
        with api_errors(), contextlib.suppress(RunMissing):
            handle = await self._engine.run_of(run.vm_id, run.run_id)
            end = handle.outcome
            # The size of the output of a running command is not known.
            size = 2 * SHOWN
            if end is not None:
                size = min(end.stdout_bytes, SHOWN) + min(end.stderr_bytes, SHOWN)
        if size <= SMALL:
            return answer(await self._result(run, handle))
        async with self._outputs.held(who.org_id, size):
            return await asyncio.to_thread(answer, await self._result(run, handle))

    async def _result(self, run: RunRow, handle: Run | None) -> Result:
        kept: dict[Stream, bytearray] = {Stream.STDOUT: bytearray(), Stream.STDERR: bytearray()}
        if handle is not None:
            with api_errors(), contextlib.suppress(RunMissing):
                async for event in handle.events(follow=False):
                    if isinstance(event, Output):
                        into = kept[event.stream]
                        into += event.data[: SHOWN - len(into)]
                    elif isinstance(event, Cut):
                        break
        end = None if handle is None else handle.outcome
        return Result(run, bytes(kept[Stream.STDOUT]), bytes(kept[Stream.STDERR]), end)

    def page(self, who: Principal, vm_id: str, wanted: RunFilter, limit: int) -> Sequence[RunRow]:
        """Return runs of a computer, newest first."""
        self._access.owned(who, vm_id, "looked into")
        return self._rows.page(vm_id, wanted, limit)

    async def cancel(self, who: Principal, vm_id: str, run_id: str) -> bool:
        """Cancel a run; return False when it had ended. The record becomes `cancelled` once its processes have
        ended."""
        self._access.owned(who, vm_id, "changed")
        self._find(vm_id, run_id)
        live = self._live.get(run_id)
        if live is None:
            return False
        await self._cancel(live)
        return True

    async def cancel_keyed(self, who: Principal, vm_id: str, key: str) -> bool:
        """Cancel the run that was requested under an Idempotency-Key; return False when none is running or waiting."""
        vm_id = self._access.owned(who, vm_id, "changed").vm_id
        note = self._notes.find(Identity(who.org_id, f"runs:{vm_id}", key))
        if note is None or note.answer is None:
            return False
        return await self.cancel(who, vm_id, note.answer.decode())

    async def _cancel(self, live: _Live) -> None:
        live.cancelled = True
        if live.handle is not None:
            with api_errors():
                await live.handle.cancel()
        elif live.row.state is State.PENDING and live.task is not None and live.driven:
            live.task.cancel()

    async def cancel_session(self, vm_id: str, session_id: str) -> None:
        """Cancel all runs of a session, and wait until they have ended."""
        concerned = [
            live
            for live in self._live.values()
            if (live.row.vm_id, live.row.session_id) == (vm_id, session_id)
        ]
        for live in reversed(concerned):
            await self._cancel(live)
        for live in concerned:
            await live.ended.wait()

    async def signal(self, who: Principal, vm_id: str, session_id: str, number: signal.Signals) -> None:
        """Send a signal to the running command of a session.

        Raises:
            ApiError: `not_found` when no command is running, `invalid_state` when the computer is not running.
        """
        self._access.owned(who, vm_id, "run in")
        for live in self._live.values():
            if (live.row.vm_id, live.row.session_id) == (vm_id, session_id) and live.handle is not None:
                with api_errors():
                    await live.handle.signal(number)
                return
        if vm_id not in await self._engine.running():
            raise ApiError(
                "invalid_state",
                "the computer is not running, so there is no command to signal",
                details={"resource": {"kind": "vm", "id": vm_id}, "requirement": "running"},
            )
        raise ApiError("not_found", "no command is running in the session", resource="run")

    def pending(self, vm_id: str, session_id: str) -> bool:
        """Return whether a session has a pending or running run."""
        return any(
            (live.row.vm_id, live.row.session_id) == (vm_id, session_id) for live in self._live.values()
        )

    async def sweep(self) -> None:
        """Delete old runs, and the oldest when there are too many."""
        outdated = self._rows.outdated(_now() - KEPT_MS, KEPT)
        for vm_id, run_id in outdated:
            with contextlib.suppress(EngineError):
                await self._engine.forget_run(vm_id, run_id)
        if outdated:
            await self._rows.remove([run_id for _, run_id in outdated])

    async def close(self) -> None:
        """Stop following runs; the engine ends them."""
        tasks = [live.task for live in self._live.values() if live.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _outcome(end: End) -> tuple[State, int | None, str | None]:
    notes = "; ".join(end.notes) or None
    match end.reason:
        case Reason.CANCELLED:
            return State.CANCELLED, None, None
        case Reason.COMPUTER_STOPPED:
            return State.FAILED, None, notes or "the computer was stopped or deleted while the command ran"
        case Reason.INFRASTRUCTURE:
            return State.FAILED, None, notes or "the deployment failed while the command ran"
        case Reason.OUT_OF_MEMORY | Reason.DISK_FULL:
            return State.COMPLETED, end.exit_code, notes or str(end.reason)
        case _:
            return State.COMPLETED, end.exit_code, None


def _now() -> int:
    return time.time_ns() // 1_000_000
