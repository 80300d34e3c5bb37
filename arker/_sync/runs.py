# Derived from arker/_async/runs.py by `make generate`; do not edit.
"""Runs in the background: handles, and their events as they arrive."""

from __future__ import annotations

import base64
import contextlib
import functools
from collections.abc import Callable, Generator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from arker._http._sync.pipeline import Budget, dump
from arker._http._sync.request import Request
from arker._http._sync.transport import Reply
from arker._http.deadline import Deadline
from arker._io_sync import called, shielded, sleep
from arker.commands import Command
from arker.config import check_seconds
from arker.errors import ArkerError, doubting, in_doubt, needing
from arker.events import (
    FRAMES,
    Event,
    Frames,
    Lines,
    OutputCut,
    RunInfo,
    RunOutput,
    StreamName,
    run_info,
    signal_name,
)
from arker.hooks import logger
from arker.ids import new_ulid
from arker.results import RunResult

from .cancelling import CANCELLING, Running, cancelled_with
from .feeding import Feeder, Stdin, check_input

if TYPE_CHECKING:
    from .computer import Computer

#: Most bytes of each stream in a result.
COLLECTED: Final = 16 << 20
#: Most bytes of input in one request.
_INPUT: Final = 256 << 10
#: Most bytes or characters of input that the request for a run contains.
_INLINE: Final = 512 << 10
#: Longest time for a command to read its input, in seconds.
_READING: Final = 24 * 3600.0
#: Seconds without data after which a connection counts as dead; the deployment sends something every 15.
_SILENCE: Final = 60.0
#: Longest pause before following a run again, in seconds.
_LONGEST_PAUSE: Final = 5.0

T = TypeVar("T")

Callback = Callable[[bytes], Any]
#: An answer that follows a run: what is decoded of it, and what is decoded but not used.
_Begun: TypeAlias = tuple[Reply, Frames, list[Event]]


class Run:
    """A run: a command with a handle, which continues without its client. Made by `computer.start()`; found again by
    `computer.get_run()`, also from another process and after a restart of the deployment."""

    __slots__ = ("_computer", "_given", "_info", "_writer")

    def __init__(self, computer: Computer, info: RunInfo) -> None:
        self._computer = computer
        self._info = info
        #: Bytes of input that the run received from this handle, and the name of the handle, once it gives input.
        self._given = 0
        self._writer = ""

    @property
    def id(self) -> str:
        """The id."""
        return self._info.run_id

    @property
    def info(self) -> RunInfo:
        """The last known state of the run; `refresh()` updates it."""
        return self._info

    @property
    def state(self) -> str:
        """`running`, `completed`, `cancelled` or `failed`, as it was last seen; `refresh()` looks again."""
        return self._info.state

    @property
    def computer(self) -> Computer:
        """The computer that it runs in."""
        return self._computer

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r}, {self._info.state})"

    def refresh(self) -> RunInfo:
        """Ask the deployment for the state of the run; return it.

        Raises:
            ArkerError: `not_found` when the deployment no longer keeps the run, and any other failure.
        """
        self._info = _ask(self._computer, "GET", f"/{self.id}", run_info)
        return self._info

    def stream(self, offset: int = 0) -> RunStream:
        """Return an iterable of its output, from `offset` to its end.

        Args:
            offset: Bytes of both streams to skip: the offset plus the length of the last piece received.

        Raises:
            ValueError: for a negative offset.
        """
        if offset < 0:
            raise ValueError(f"offset is 0 or more, not {offset}")
        return RunStream(self, offset)

    def wait(
        self,
        *,
        timeout: float | None = None,
        on_stdout: Callback | None = None,
        on_stderr: Callback | None = None,
    ) -> RunResult:
        """Wait for the end of the run; return its result.

        Args:
            timeout: Longest time to wait, in seconds; the run continues afterwards. Default: no limit.
            on_stdout: Called with each piece of standard output, from the start of the run.
            on_stderr: The same for standard error.

        Raises:
            ArkerError: `timeout`; `unavailable` when the run ended without an exit code because its computer
                stopped.
        """
        deadline = None if timeout is None else Deadline(check_seconds("timeout", timeout))
        with RunStream(self, deadline=deadline) as stream:
            return stream.collect(on_stdout, on_stderr)

    def output(self) -> tuple[bytes, bytes]:
        """Return standard output and standard error so far, up to 16 MiB each.

        Raises:
            ArkerError: any failure.
        """
        kept = Kept()
        with RunStream(self, follow=False) as stream:
            for event in stream:
                kept.add(event)
        return kept.value("stdout"), kept.value("stderr")

    def write(self, data: bytes | str) -> None:
        """Send input to a run that was started with `stdin=True`. Waits while the command does not read.

        Args:
            data: The input; text is encoded as UTF-8.

        Raises:
            ArkerError: `conflict` when the input is closed or the run has ended.
        """
        raw = data.encode() if isinstance(data, str) else data
        for start in range(0, len(raw), _INPUT):
            with doubting("a part of the input was sent" if start else None):
                self._input(raw[start : start + _INPUT], close=False)

    def close_stdin(self) -> None:
        """End its input.

        Raises:
            ArkerError: any failure.
        """
        self._input(b"", close=True)

    def _input(self, data: bytes, *, close: bool) -> None:
        # With its offset, so that repeated requests deliver it once. Other handles count their own bytes.
        self._writer = self._writer or new_ulid()
        path = f"/{self.id}/stdin?writer={self._writer}&offset={self._given}&close={str(close).lower()}"

        def received(fields: Mapping[str, Any]) -> int:
            return int(fields["received"])

        self._given = _ask(self._computer, "POST", path, received, data, read=_READING)

    def send_signal(self, number: int | str) -> None:
        """Send a signal to the command and the processes that it started. Ignored when the run has ended.

        Args:
            number: A number such as `signal.SIGINT`, or a name such as `"SIGINT"`.

        Raises:
            ArkerError: `bad_request` for an unknown name, or a signal that cannot be sent.
            ValueError: for an unknown number.
        """
        body = dump({"signal": signal_name(number)})
        _ask(self._computer, "POST", f"/{self.id}/signal", dict, body)

    def cancel(self) -> bool:
        """End the command and the processes that it started; return whether it was running. `wait()` returns the
        result.

        Raises:
            ArkerError: any failure.
        """
        return self._cancel(None)

    def _cancel(self, seconds: float | None) -> bool:
        def cancelled(fields: Mapping[str, Any]) -> bool:
            return fields["cancelled"] is True

        return _ask(self._computer, "DELETE", f"/{self.id}", cancelled, timeout=seconds)

    def _events(
        self, offset: int, *, follow: bool = True, deadline: Deadline | None = None
    ) -> Generator[Event]:
        """Iterate over the events from `offset` on; the first and the last are the run."""
        return _follow(self, offset, follow=follow, deadline=deadline)


class RunStream:
    """The events of a run as they arrive: `RunOutput` in the order in which the deployment read it, and possibly an
    `OutputCut`. A broken connection is opened again and continues where it stopped; so does iterating after an error,
    a timeout around one step or another interruption. A with-statement closes the stream at its end. That cancels the
    run if `computer.stream()` started it and its end was not reached; a run that is followed by `run.stream()`
    continues."""

    __slots__ = ("_events", "_feeder", "_offset", "_owns", "_rest", "_run", "_running")

    def __init__(
        self,
        run: Run,
        offset: int = 0,
        *,
        follow: bool = True,
        deadline: Deadline | None = None,
        events: Generator[Event] | None = None,
        feeder: Feeder | None = None,
        owns: bool = False,
        running: Running | None = None,
    ) -> None:
        self._run = run
        #: Makes the events from an offset on; where the next one begins.
        self._rest = functools.partial(run._events, follow=follow, deadline=deadline)
        self._offset = offset
        self._events = self._rest(offset) if events is None else events
        self._feeder = feeder
        #: Whether the run ends with the stream.
        self._owns = owns
        #: What ends the run when the client is closed.
        self._running = running
        if running is not None:
            run._computer._client._running.add(running)

    @property
    def run(self) -> Run:
        """The run."""
        return self._run

    def __iter__(self) -> RunStream:
        return self

    def __next__(self) -> RunOutput | OutputCut:
        try:
            for event in self._events:
                if not isinstance(event, RunInfo):
                    self._offset = event.offset + (len(event.data) if isinstance(event, RunOutput) else 0)
                    return event
                self._run._info = event
        except BaseException as error:
            # The generator has ended with it. The next step continues with another one.
            self._events = self._rest(self._offset)
            if isinstance(error, ArkerError):
                may_go_on(error, self._run)
            raise
        self._forget()
        if self._feeder is not None:
            self._feeder.end()
            if self._feeder.error is not None:
                raise self._feeder.error
        raise StopIteration

    def lines(self) -> Generator[tuple[StreamName, str]]:
        """Iterate over the lines of both streams, as text without line ends, each with the name of its stream.

        Raises:
            ArkerError: any failure.
        """
        lines: dict[StreamName, Lines] = {"stdout": Lines(), "stderr": Lines()}
        for event in self:
            if isinstance(event, RunOutput):
                for line in lines[event.stream].feed(event.data):
                    yield event.stream, line
        for name, rest in lines.items():
            for line in rest.feed(b"", final=True):
                yield name, line

    def collect(self, on_stdout: Callback | None = None, on_stderr: Callback | None = None) -> RunResult:
        """Read the rest of the output; return the result of the run.

        Args:
            on_stdout: Called with each piece of standard output.
            on_stderr: The same for standard error.

        Raises:
            ArkerError: `unavailable` when the run ended without an exit code because its computer stopped;
                `invalid_state` when the stream was closed before.
        """
        kept = Kept()
        for event in self:
            kept.add(event)
            if isinstance(event, RunOutput):
                callback = on_stdout if event.stream == "stdout" else on_stderr
                if callback is not None:
                    called(callback, event.data)
        return _result(self._run._info, kept)

    def close(self) -> None:
        """Close the stream; see the class for what becomes of the run. May be called twice.

        Raises:
            ArkerError: never.
        """
        try:
            self._events.close()
            if self._feeder is not None:
                self._feeder.end()
        finally:
            # A client that is closed has ended it.
            closed = self._run._computer._client._pipeline.closed
            if self._owns and self._run.info.state == "running" and not closed:
                shielded(functools.partial(interrupted, self._run), CANCELLING)
            self._owns = False
            self._forget()

    def _forget(self) -> None:
        if self._running is not None:
            self._run._computer._client._running.discard(self._running)

    def __enter__(self) -> RunStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Kept:
    """The output that a result keeps."""

    def __init__(self) -> None:
        self._parts: dict[StreamName, list[bytes]] = {"stdout": [], "stderr": []}
        self._room: dict[StreamName, int] = {"stdout": COLLECTED, "stderr": COLLECTED}
        self.truncated = False

    def add(self, event: Event) -> None:
        if isinstance(event, OutputCut):
            self.truncated = True
        elif isinstance(event, RunOutput):
            room = self._room[event.stream]
            self.truncated = self.truncated or len(event.data) > room
            self._parts[event.stream].append(event.data[:room])
            self._room[event.stream] = room - len(self._parts[event.stream][-1])

    def value(self, stream: StreamName) -> bytes:
        return b"".join(self._parts[stream])


def _result(info: RunInfo, kept: Kept) -> RunResult:
    if info.state == "running":
        raise ArkerError("invalid_state", f"the stream of run {info.run_id} is closed", processed="maybe")
    if info.exit_code is None and info.reason != "cancelled":
        why = "; ".join(info.notes) or "the run ended without an exit code"
        raise ArkerError("unavailable", f"{why} ({info.reason})", processed="maybe")
    return RunResult(
        kept.value("stdout"),
        kept.value("stderr"),
        -1 if info.exit_code is None else info.exit_code,
        info.duration_ms or 0.0,
        info.session_id,
        info.cwd,
        info.reason not in ("timed_out", "cancelled"),
        kept.truncated,
        info.reason,
        info.usage,
        info.notes,
    )


def _way(computer: Computer, streams: Callable[[], T], polling: Callable[[], T]) -> T:
    """Call `streams` where a deployment has them, else `polling`."""
    speaks = computer._client._speaks
    if speaks.runs == "polling":
        return polling()
    try:
        answer = streams()
    except ArkerError as error:
        # Nothing has started: the deployment does not have the path.
        if not error._unknown_path or speaks.runs == "streams":
            raise
        answer = polling()
        speaks.runs = "polling"
    else:
        speaks.runs = "streams"
    return answer


def start_run(computer: Computer, command: Command, *, stdin: bool) -> Run:
    """Start a command; return its run. Raises ArkerError."""

    def streams() -> Run:
        body = dump({**command.fields(), "stdin": stdin})
        running = Running(computer, command.line, new_ulid())
        keyed = {"Idempotency-Key": running.key}
        start = functools.partial(_ask, computer, "POST", "", run_info, body, headers=keyed)
        return Run(computer, cancelled_with(computer._client, running, start))

    def polling() -> Run:
        from .polling import start_polled

        return start_polled(computer, command, stdin=stdin)

    return _way(computer, streams, polling)


def open_run(
    computer: Computer,
    command: Command,
    stdin: Stdin | None = None,
    deadline: Deadline | None = None,
) -> RunStream:
    """Start a command and follow it, until the deadline if there is one; it ends with the stream. Raises ArkerError."""

    def polling() -> RunStream:
        from .polling import open_polled

        return open_polled(computer, command, stdin=stdin is not None, deadline=deadline)

    return _way(computer, functools.partial(_open_stream, computer, command, stdin, deadline), polling)


def _open_stream(
    computer: Computer, command: Command, stdin: Stdin | None, deadline: Deadline | None
) -> RunStream:
    """Start a command and follow it, with one request."""
    fields = command.fields()
    fed = stdin is not None
    if isinstance(stdin, (bytes, str)) and len(stdin) <= _INLINE:
        raw = stdin.encode() if isinstance(stdin, str) else stdin
        fields["input"] = base64.b64encode(raw).decode()
        fed = False
    elif fed:
        check_input(stdin)
        fields["stdin"] = True
    running = Running(computer, command.line, new_ulid())

    def begin() -> RunStream:
        run, begun = _begin(computer, dump(fields), running.key, deadline)
        feeder = Feeder(run, stdin) if fed and stdin is not None else None
        events = _follow(run, 0, deadline=deadline, begun=begun)
        again = Running(computer, running.command, running.key, began=running.began)
        return RunStream(run, deadline=deadline, events=events, feeder=feeder, owns=True, running=again)

    return cancelled_with(computer._client, running, begin)


def _begin(computer: Computer, body: bytes, key: str, deadline: Deadline | None) -> tuple[Run, _Begun | None]:
    """Start a command; return its run and the answer that follows it, if there is more to come."""
    client = computer._client
    keyed = {"Idempotency-Key": key}
    make = functools.partial(
        _request, computer, "POST", "", body, headers={**keyed, "Accept": FRAMES}, read=_SILENCE
    )
    with needing("has no runs of this kind: they need a deployment of your own"):
        reply = client._pipeline.hold(client._budget(None), make, 200, deadline=deadline)
    frames = Frames(0)
    try:
        run, ready = _first(computer, reply, frames)
    except ArkerError as error:
        reply.close()
        if error.code != "network":
            raise
        # The command has started, or will: the same key finds its run.
        with doubting("the command may have started"):
            return Run(computer, _ask(computer, "POST", "", run_info, body, headers=keyed)), None
    except BaseException:
        reply.close()
        raise
    return run, (reply, frames, ready)


def _first(computer: Computer, reply: Reply, frames: Frames) -> tuple[Run, list[Event]]:
    while (piece := reply.piece()) is not None:
        events = list(frames.feed(piece))
        if events:
            assert isinstance(events[0], RunInfo)
            return Run(computer, events[0]), events
    raise ArkerError("network", "the answer ended before it began", processed="maybe")


def list_runs(computer: Computer, running: bool | None, limit: int) -> list[Run]:
    """Return the newest runs of a computer. Raises ArkerError."""

    def runs(fields: Mapping[str, Any]) -> list[Run]:
        return [Run(computer, run_info(run)) for run in fields["runs"]]

    query = f"?limit={limit}" + ("" if running is None else f"&running={str(running).lower()}")

    def polling() -> list[Run]:
        from .polling import list_polled

        return list_polled(computer, running, limit)

    return _way(computer, lambda: _ask(computer, "GET", query, runs), polling)


def find_run(computer: Computer, run_id: str) -> Run:
    """Return a run by its id. Raises ArkerError."""
    _check_id(run_id)

    def streams() -> Run:
        return Run(computer, _ask(computer, "GET", f"/{run_id}", run_info))

    def polling() -> Run:
        from .polling import find_polled

        return find_polled(computer, run_id)

    return _way(computer, streams, polling)


def may_go_on(error: ArkerError, run: Run) -> None:
    """Make the failure of a request about a run that of a call which waits for it."""
    if error.retryable and run.state == "running":
        in_doubt(error, f"the run {run.id} was started and may go on")


def interrupted(run: Run) -> None:
    """End a run whose call was interrupted; give up after a moment."""
    try:
        run._cancel(CANCELLING)
    except ArkerError as error:
        logger.warning("run %s was not cancelled: %s", run.id, error)


def _check_id(run_id: str) -> None:
    if (
        not run_id
        or not run_id.replace("-", "").replace("_", "").replace(".", "").isalnum()
        or not run_id.isascii()
    ):
        raise ValueError(f"{run_id!r} is not the id of a run")


def _follow(
    run: Run,
    offset: int,
    *,
    follow: bool = True,
    deadline: Deadline | None = None,
    begun: _Begun | None = None,
) -> Generator[Event]:
    """Iterate over the events of a run from `offset` on; the first and the last are the run. Reconnects when the
    connection breaks."""
    client = run._computer._client
    failures, began = 0, offset
    while True:
        try:
            if begun is None:
                query = f"?offset={offset}&follow={str(follow).lower()}"
                make = functools.partial(
                    _request,
                    run._computer,
                    "GET",
                    f"/{run.id}/events{query}",
                    headers={"Accept": FRAMES},
                    read=_SILENCE,
                )
                total = client._timeouts.total
                budget = client._budget(total if deadline is None else max(0.001, min(total, deadline.left)))
                reply = client._pipeline.hold(budget, make, 200, deadline=deadline)
                frames, ready = Frames(offset), list[Event]()
            else:
                (reply, frames, ready), begun = begun, None
            with reply:
                while True:
                    for event in ready:
                        yield event
                        failures = 0
                    if frames.ended:
                        # With the end of the answer the connection can be used again.
                        with contextlib.suppress(ArkerError):
                            reply.piece()
                        return
                    offset = frames.offset
                    piece = reply.piece()
                    if piece is None:
                        break
                    ready = list(frames.feed(piece))
            if not follow:
                return
            failure = ArkerError("network", "the deployment ended the stream", processed="maybe")
        except ArkerError as error:
            if error.code == "bad_request" and offset > began and (run.refresh()).state != "running":
                # The deployment died, and with it output that it had sent already.
                yield run.info
                return
            failure = error
        if deadline is not None and deadline.left <= 0:
            raise ArkerError("timeout", f"the run {run.id} goes on", processed="maybe") from failure
        failures += 1
        if not failure.retryable or failures >= client._policy.attempts:
            raise failure
        sleep(min(client._policy.backoff * 2**failures, _LONGEST_PAUSE))


def _request(
    computer: Computer,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    read: float | None = None,
) -> Request:
    # Each of these requests can be repeated: because of its key, its offset, or its nature.
    client = computer._client
    return client._pipeline.local_request(
        method,
        f"vms/{computer._segment}/runs{path}",
        client._timeouts,
        body=body,
        headers=headers,
        read=read,
    )


def _ask(
    computer: Computer,
    method: str,
    path: str,
    convert: Callable[[Any], T],
    body: bytes | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    read: float | None = None,
    timeout: float | None = None,
) -> T:
    client = computer._client
    request = _request(computer, method, path, body, headers=headers, read=read)
    budget = client._budget(timeout) if read is None else Budget(client._policy, read)
    with needing("has no runs of this kind: they need a deployment of your own"):
        return client._pipeline.ask(budget, request, convert)
