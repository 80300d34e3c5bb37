"""Runs with handles: they can be started, followed, given input, signalled and cancelled by id.

The engine keeps them and their output across restarts.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import re
import secrets
import signal
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakKeyDictionary

from arker.local.engine.protocol import (
    Cut,
    End,
    Engine,
    EngineError,
    Event,
    FileMissing,
    FileRefused,
    Output,
    Reason,
    Run,
    RunExists,
    RunMissing,
    Stream,
    Usage,
    shown,
)

from .access import Access, Principal
from .activity import Activity
from .computers import Computers
from .errors import ApiError
from .runs import Early, check_command, run_identity
from .translation import Sandboxes, api_errors

__all__ = ["SIGNALS", "Cut", "End", "Event", "Handles", "Output", "Reason", "Run", "Stream", "Usage"]

#: Signals that can be sent to a run.
SIGNALS: Final = tuple(
    signal.Signals[f"SIG{name}"]
    for name in ("INT", "TERM", "KILL", "HUP", "QUIT", "USR1", "USR2", "STOP", "CONT", "TSTP", "WINCH")
)
_DEFAULT_SESSION: Final = "0"
_OWN: Final = re.compile(r"run-[0-9a-f]{20}")
#: Bytes of input given with runs that an organization's commands have not read yet; they are held in memory.
MAX_UNREAD_INPUT: Final = 64 * 1024 * 1024
#: Maximum number of writers of one run.
_MOST_WRITERS: Final = 1024


@dataclass(slots=True)
class _Input:
    """The bytes that a run has received from each writer, so that repeated input is not given twice."""

    received: dict[str, int] = field(default_factory=dict)
    #: A repeated request may arrive while the command has not read all of the first one.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Handles:
    """The runs of a deployment that have handles."""

    def __init__(
        self,
        engine: Engine,
        access: Access,
        computers: Computers,
        sandboxes: Sandboxes,
        early: Early,
        activity: Activity,
    ) -> None:
        self._engine = engine
        self._access = access
        self._computers = computers
        self._sandboxes = sandboxes
        self._early = early
        self._activity = activity
        self._tasks: set[asyncio.Task[None]] = set()
        #: The input of each run that takes input.
        self._inputs: WeakKeyDictionary[Run, _Input] = WeakKeyDictionary()
        #: Bytes of input that was given with runs and is not read yet, by organization.
        self._unread: Counter[str] = Counter()

    async def tidy(self, vm_ids: Iterable[str]) -> None:
        """End the sessions of runs that were unfinished when the deployment ended, or when a computer was forked."""
        for vm_id in vm_ids:
            with contextlib.suppress(EngineError):
                for session in await self._engine.sessions(vm_id):
                    if own_session(session.session_id):
                        await self._engine.end_session(vm_id, session.session_id)

    async def start(
        self,
        who: Principal,
        vm_id: str,
        *,
        session_id: str | None,
        command: str,
        timeout: float | None,
        stdin: bool,
        given: bytes | None,
        cwd: str | None,
        env: Mapping[str, str] | None,
        key: str | None,
        kept: bool,
    ) -> Run:
        """Start a command.

        Args:
            session_id: the session; None for a new session of its own, a copy of the default one.
            timeout: seconds after which it is ended; None for never.
            stdin: whether it gets input by `write`.
            given: its whole input, if known.
            cwd, env: folder and variables for this command only.
            key: the same for repeats of a request: a repeat returns the run of the first request.
            kept: whether the run is on disk when this returns.

        Raises:
            ApiError: it was not started.
        """
        vm_id = self._access.owned(who, vm_id, "run in").vm_id
        check_command(command)
        if key is not None:
            self._early.check(run_identity(who, vm_id, key))
        run_id = secrets.token_hex(10) if key is None else _run_id(who, vm_id, key)
        self._computers.touch(vm_id)
        own = session_id is None
        with self._sandboxes.used():
            try:
                full = given is not None and self._unread[who.org_id] + len(given) > MAX_UNREAD_INPUT
                if full and not await self._exists(vm_id, run_id):
                    raise ApiError(
                        "quota_exceeded",
                        f"the organization's commands have more than {MAX_UNREAD_INPUT} bytes of unread input",
                        retry_after=5,
                    )
                if (
                    cwd is not None
                    and not await self._is_folder(vm_id, cwd)
                    and not await self._exists(vm_id, run_id)
                ):
                    raise ApiError("bad_request", f"cwd: there is no folder {cwd[:200]}")
                if session_id is None:
                    session_id = f"run-{run_id}"
                    await self._engine.copy_session(vm_id, _DEFAULT_SESSION, session_id)
                if key is not None:
                    # A cancellation may have come since.
                    self._early.check(run_identity(who, vm_id, key))
                # Reserved before the start, so that starts at the same time do not pass the bound together.
                unread = len(given or b"")
                self._unread[who.org_id] += unread
                try:
                    run = await self._engine.start_run(
                        vm_id,
                        session_id,
                        command,
                        timeout=timeout or math.inf,
                        run_id=run_id,
                        stdin=stdin or given is not None,
                        cwd=cwd,
                        env=env,
                        kept=kept,
                    )
                except BaseException:
                    self._unread[who.org_id] -= unread
                    raise
                if stdin:
                    self._inputs[run] = _Input()
                if given is not None:
                    self._spawn(self._feed(who.org_id, run, given))
                self._spawn(self._noted(who, vm_id, run))
                if own:
                    self._spawn(self._end_with(vm_id, run))
                return run
            except RunExists:
                run = await self._engine.run_of(vm_id, run_id)
                if own:
                    self._spawn(self._end_with(vm_id, run))
            except BaseException:
                if own and session_id is not None:
                    self._spawn(self._end_session(vm_id, session_id))
                raise
        if run.command != shown(command):
            raise ApiError("idempotency_conflict", "the Idempotency-Key was used for another request")
        return run

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _exists(self, vm_id: str, run_id: str) -> bool:
        try:
            await self._engine.run_of(vm_id, run_id)
        except RunMissing:
            return False
        return True

    async def _is_folder(self, vm_id: str, path: str) -> bool:
        try:
            return (await self._engine.files(vm_id).stat(path)).kind == "directory"
        except (FileMissing, FileRefused):
            return False

    async def _feed(self, org_id: str, run: Run, given: bytes) -> None:
        try:
            with contextlib.suppress(BrokenPipeError):  # it ended before it read all input
                await run.write_stdin(given)
        finally:
            self._unread[org_id] -= len(given)
        await run.close_stdin()

    async def _noted(self, who: Principal, vm_id: str, run: Run) -> None:
        """Note a run in the activity log once it has ended."""
        self._activity.ran(who, vm_id, run.id, run.session_id, run.command, await run.wait())

    async def _end_with(self, vm_id: str, run: Run) -> None:
        """Once a run has ended, end the session that was created for it, with the processes that it left."""
        await run.wait()
        await self._end_session(vm_id, run.session_id)

    async def _end_session(self, vm_id: str, session_id: str) -> None:
        with contextlib.suppress(EngineError):  # the computer is gone
            await self._engine.end_session(vm_id, session_id)

    async def get(self, who: Principal, vm_id: str, run_id: str) -> Run:
        """Return a run.

        Raises:
            ApiError: `not_found`, or what `Access.owned` raises.
        """
        vm_id = self._access.owned(who, vm_id, "run in").vm_id
        with api_errors():
            return await self._engine.run_of(vm_id, run_id)

    async def page(self, who: Principal, vm_id: str, *, running: bool | None, limit: int) -> list[Run]:
        """Return the newest runs of a computer; with `running`, only running (True) or ended (False) ones."""
        vm_id = self._access.owned(who, vm_id, "run in").vm_id
        with api_errors():
            runs = await self._engine.runs(vm_id)
        return [run for run in runs if running in (None, run.outcome is None)][:limit]

    async def write(self, run: Run, pieces: AsyncIterator[bytes], writer: str, offset: int | None) -> int:
        """Pass input to a run as fast as it reads; return the number of bytes that it received from this writer.

        `offset` is the position of the first byte in the writer's input; bytes that the run already received are
        skipped.

        Raises:
            ApiError: `conflict` when the input or the run has ended, `bad_request` when the offset is too large.
        """
        into = self._inputs.get(run) or _Input()
        given = into.received.setdefault(writer, 0)
        at = given if offset is None else offset
        if run.outcome is not None:
            async for piece in pieces:
                if piece:
                    raise ApiError("conflict", "the run takes no input: it has ended")
            return given
        if at > given:
            raise ApiError(
                "bad_request",
                f"offset: expected at most {given}, the number of bytes received so far, not {at}",
            )
        if len(into.received) > _MOST_WRITERS:
            del into.received[writer]
            raise ApiError("quota_exceeded", f"a run has at most {_MOST_WRITERS} writers")
        async for piece in pieces:
            async with into.turn:
                fresh = piece[max(0, into.received[writer] - at) :]
                at += len(piece)
                if fresh:
                    try:
                        await run.write_stdin(fresh)
                    except BrokenPipeError as error:
                        raise ApiError("conflict", f"the run takes no input: {error}") from error
                    into.received[writer] = at
        return into.received[writer]

    def takes_input(self, run: Run) -> bool:
        """Return whether `write` gives a run input."""
        return run in self._inputs and run.outcome is None

    async def cancel(self, run: Run) -> bool:
        """Cancel a run with all its processes; return whether it was running."""
        live = run.outcome is None
        await run.cancel()
        return live

    async def cancel_keyed(self, who: Principal, vm_id: str, key: str) -> bool:
        """Cancel the run that was started under an Idempotency-Key; return False when none is running."""
        vm_id = self._access.owned(who, vm_id, "run in").vm_id
        with api_errors(), contextlib.suppress(RunMissing):
            return await self.cancel(await self._engine.run_of(vm_id, _run_id(who, vm_id, key)))
        return False


def own_session(session_id: str) -> bool:
    """Whether a session was made for one run, and ends with it."""
    return _OWN.fullmatch(session_id) is not None


def _run_id(who: Principal, vm_id: str, key: str) -> str:
    return hashlib.sha256(f"{who.org_id}\0{vm_id}\0{key}".encode()).hexdigest()[:20]
