# Derived from arker/_async/polling.py by `make generate`; do not edit.
"""Runs over contract 0.3 alone, which has neither streams nor waiting: their output is polled.

The platform answers with the whole output so far, in which the order of the two streams is not visible.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Generator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeAlias

from arker_api.v03.api.runs import cancel_run, create_run, get_run, list_runs
from arker_api.v03.models import Run as Record
from arker_api.v03.models import RunAnswer, RunPage, RunRequest, RunSummary
from arker_api.v03.types import UNSET

from arker._http.deadline import Deadline
from arker._io_sync import sleep
from arker.commands import Command
from arker.errors import ArkerError, bad_request
from arker.events import Event, RunInfo, RunOutput, StreamName, signal_name
from arker.hooks import logger
from arker.ids import new_ulid
from arker.info import given
from arker.operations import same, with_local_fields
from arker.results import Usage, decode, end_of

from .cancelling import Running, cancelled_with
from .runs import Run, RunStream
from .sessions import find_session, make_session
from .v03 import ask, session_for

if TYPE_CHECKING:
    from .computer import Computer

#: Seconds between polls: at first and after output, and at most; each pause is half as long again.
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 3.0
#: Of more output than this (bytes), the pauses do not become shorter again: each answer has all of it.
_LARGE: Final = 1 << 20
_PAGE: Final = 1000
_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGKILL", "SIGHUP")
_STREAMS: Final[tuple[StreamName, ...]] = ("stdout", "stderr")
#: Exit code of a command that its timeout ended.
_TIMED_OUT: Final = 124

_Known: TypeAlias = Record | RunSummary


class PolledRun(Run):
    """A run over contract 0.3 alone. It takes no input, and four signals."""

    __slots__ = ("_own_session", "_timeout")

    def __init__(
        self, computer: Computer, info: RunInfo, *, timeout: int | None = None, own: bool = False
    ) -> None:
        super().__init__(computer, info)
        self._timeout = timeout
        #: Whether its session was made for it, and ends with it.
        self._own_session = own

    def refresh(self) -> RunInfo:
        """See Run."""
        self._info = self._read(self._record(None))
        return self._info

    def send_signal(self, number: int | str) -> None:
        """See Run."""
        name = signal_name(number)
        if name not in _SIGNALS:
            raise bad_request(f"this deployment sends {', '.join(_SIGNALS)}, not {name}")
        if (self.refresh()).state != "running":
            return
        client = self._computer._client
        body = RunRequest.from_dict({"session_id": self._info.session_id, "signal": name})
        parts = create_run.build(self._computer.id, body=body)
        try:
            ask(client, client._budget(None), create_run, parts, same)
        except ArkerError as error:
            # Nothing runs there any more, or what runs is the shell itself.
            if error.code != "not_found":
                raise

    def _input(self, data: bytes, *, close: bool) -> None:
        raise _without_input()

    def _cancel(self, seconds: float | None) -> bool:
        client = self._computer._client
        parts = cancel_run.build(self._computer.id, self.id)
        return ask(
            client, client._budget(seconds), cancel_run, parts, lambda answer: answer.cancelled is True
        )

    def _events(
        self, offset: int, *, follow: bool = True, deadline: Deadline | None = None
    ) -> Generator[Event]:
        if offset:
            raise ArkerError(
                "unsupported_operation",
                "this deployment has no output from an offset: that needs a deployment of your own",
                processed="no",
            )
        seen: dict[StreamName, int] = dict.fromkeys(_STREAMS, 0)
        total = 0
        pause = _FIRST_PAUSE
        while True:
            record = self._record(deadline)
            self._info = self._read(record)
            if not total:
                yield self._info
            for stream in _STREAMS:
                text, encoding = getattr(record, stream), getattr(record, f"{stream}_encoding")
                fresh = decode(text, encoding)[seen[stream] :]
                if fresh:
                    yield RunOutput(stream, total, fresh)
                    seen[stream] += len(fresh)
                    total += len(fresh)
                    pause = _FIRST_PAUSE if total < _LARGE else pause
            if self._info.state != "running":
                self._end(record)
                yield self._info
                return
            if not follow:
                return
            if deadline is not None and deadline.left <= 0:
                raise ArkerError("timeout", f"the run {self.id} goes on", processed="maybe")
            sleep(pause if deadline is None else max(0.001, min(pause, deadline.left)))
            pause = min(1.5 * pause, _LONGEST_PAUSE)

    def _record(self, deadline: Deadline | None) -> Record:
        client = self._computer._client
        total = client._timeouts.total
        budget = client._budget(total if deadline is None else max(0.001, min(total, deadline.left)))
        return ask(
            client, budget, get_run, with_local_fields(get_run.build(self._computer.id, self.id)), same
        )

    def _read(self, record: _Known) -> RunInfo:
        return _info(record, self._timeout, self._info)

    def _end(self, record: Record) -> None:
        """Ask for what only the session tells, and end the session if it was made for the run."""
        try:
            session = find_session(self._computer, self._info.session_id)
            if not self._info.cwd:
                self._info = _info(record, self._timeout, self._info, cwd=session.info.cwd)
            if self._own_session:
                session.close()
        except ArkerError as error:
            logger.debug("the session of run %s: %s", self.id, error)


def start_polled(computer: Computer, command: Command, *, stdin: bool) -> PolledRun:
    """Start a command in the background. Raises ArkerError."""
    if stdin:
        raise _without_input()
    client = computer._client
    budget = client._budget(None)
    body = RunRequest(command=command.in_a_subshell(), time_to_background=0)
    seconds = None if command.timeout is None else math.ceil(command.timeout)
    if seconds:
        body.timeout = seconds
    session_id, own = command.session_id, command.session_id is None
    if session_id is None:
        session_id = (make_session(computer, cwd=None, env=None)).id
    body.session_idx, body.session_id = index, known = session_for(client, computer.id, session_id)
    where = index if isinstance(index, int) else str(known)
    running = Running(computer, str(body.command), new_ulid(), v03=True, session=where)
    parts = create_run.build(computer.id, body=body, idempotency_key=running.key)
    create = functools.partial(ask, client, budget, create_run, parts, same)
    answer: RunAnswer = cancelled_with(client, running, create)
    info = RunInfo(
        str(answer.run_id), given(answer.session_id, str) or "", command.line, "running", datetime.now(UTC)
    )
    return PolledRun(computer, info, timeout=seconds, own=own)


def open_polled(computer: Computer, command: Command, *, stdin: bool, deadline: Deadline | None) -> RunStream:
    """Start a command and follow it. Raises ArkerError."""
    run = start_polled(computer, command, stdin=stdin)
    running = Running(computer, command.line, "", v03=True, run_id=run.id)
    return RunStream(run, deadline=deadline, owns=True, running=running)


def list_polled(computer: Computer, running: bool | None, limit: int) -> list[Run]:
    """Return the newest runs of a computer. Raises ArkerError."""
    client = computer._client
    budget = client._budget(None)
    found: list[Run] = []
    cursor: str | None = None
    while len(found) < limit:
        parts = list_runs.build(computer.id, limit=_PAGE, cursor=UNSET if cursor is None else cursor)
        page: RunPage = ask(client, budget, list_runs, parts, same)
        for summary in page.runs:
            info = _info(summary, None, None)
            if running in (None, info.state == "running"):
                found.append(PolledRun(computer, info))
        cursor = given(page.next_cursor, str)
        if cursor is None:
            break
    return found[:limit]


def find_polled(computer: Computer, run_id: str) -> Run:
    """Return a run by its id. Raises ArkerError."""
    client = computer._client
    parts = with_local_fields(get_run.build(computer.id, run_id))
    record: Record = ask(client, client._budget(None), get_run, parts, same)
    return PolledRun(computer, _info(record, None, None))


def _info(record: _Known, timeout: int | None, before: RunInfo | None, *, cwd: str = "") -> RunInfo:
    ended = given(record.completed_at, datetime)
    exit_code = given(record.exit_code, int)
    reason, usage, notes = end_of(record.additional_properties)
    if reason is None and record.state == "cancelled":
        reason = "cancelled"
    elif reason is None and timeout and exit_code == _TIMED_OUT:
        reason = "timed_out"
    why = given(record.fail_reason, str)
    return RunInfo(
        record.run_id,
        given(record.session_id, str) or "",
        given(record.command, str) or ("" if before is None else before.command),
        # A run that waits for its session is unfinished, too.
        "running" if record.state == "pending" else record.state,
        record.started_at,
        exit_code,
        reason,
        cwd or given(record.additional_properties.get("cwd"), str) or "",
        0.0 if ended is None else (ended - record.started_at).total_seconds() * 1000,
        usage or Usage(),
        notes if why is None else (*notes, why),
    )


def _without_input() -> ArkerError:
    return ArkerError(
        "unsupported_operation",
        "this deployment gives no input to runs: that needs a deployment of your own",
        processed="no",
    )
