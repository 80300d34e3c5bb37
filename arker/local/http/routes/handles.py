"""Runs with handles: started, followed, given input, signalled and cancelled."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from arker.local.http.bodies import body, pieces
from arker.local.http.endpoint import Endpoint, context, idempotency_key, json, platform, who
from arker.local.http.events import FRAMES, SSE, Events, run_fields
from arker.local.http.schemas import MAX_RUN_BODY, Body, Number, Truth, query
from arker.local.service.errors import ApiError
from arker.local.service.handles import SIGNALS, Handles, Run

_SESSION: Final = r"^[0-9A-Za-z][0-9A-Za-z_.-]*$"
_VARIABLE: Final = r"^[A-Za-z_][0-9A-Za-z_]*$"
#: Seconds that the command may take to read its input.
_INPUT_WAIT: Final = 24 * 3600.0
_MOST: Final = 1000
_DIGITS: Final = 15

Variable = Annotated[str, StringConstraints(pattern=_VARIABLE, max_length=256)]


class StartRequest(Body):
    """A command to start."""

    command: str
    session_id: Annotated[str, StringConstraints(pattern=_SESSION, max_length=64)] | None = None
    timeout: Annotated[float, Field(strict=False, ge=0, allow_inf_nan=False)] = 0
    stdin: bool = False
    #: The whole input; implies `stdin`.
    input: bytes | None = None
    cwd: Annotated[str, StringConstraints(pattern=r"^/[^\x00]*$", max_length=4095)] | None = None
    env: dict[Variable, Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]] | None = None


class SignalRequest(Body):
    """A signal, such as `SIGINT`."""

    signal: str


class RunsQuery(Body):
    """Filters of a list of runs."""

    running: Truth | None = None
    limit: Number = 100


class EventsQuery(Body):
    """Which events of a run."""

    offset: Number | None = None
    follow: Truth = True


class InputQuery(Body):
    """Whose input, from which byte on, and whether it is the last."""

    writer: Annotated[str, StringConstraints(max_length=64)] = ""
    offset: Number | None = None
    close: Truth = False


class Runs(Endpoint):
    """The runs of a computer."""

    operations: ClassVar[Mapping[str, str]] = {"post": "startRun", "get": "listStartedRuns"}

    async def post(self, request: Request) -> Response:
        """POST /api/v1/local/vms/{vm_id}/runs. Answers with the events of the run if the client accepts events, else
        with the run."""
        key = idempotency_key(request)
        asked = await body(request, StartRequest, MAX_RUN_BODY)
        vm_id: str = request.path_params["vm_id"]
        accepted = _accepted(request)
        streamed = FRAMES in accepted or SSE in accepted
        run = await _handles(request).start(
            who(request),
            vm_id,
            session_id=asked.session_id,
            command=asked.command,
            timeout=asked.timeout or None,
            stdin=asked.stdin,
            given=asked.input,
            cwd=asked.cwd,
            env=asked.env,
            key=key,
            # A client that follows the events notices a crash; one that only has the id must find the run after it.
            kept=not streamed,
        )
        if streamed:
            return _events(request, run, 0, follow=True)
        return json(_fields(request, run))

    async def get(self, request: Request) -> Response:
        """GET /api/v1/local/vms/{vm_id}/runs?running=&limit=, newest first."""
        vm_id: str = request.path_params["vm_id"]
        asked = query(RunsQuery, request)
        runs = await _handles(request).page(
            who(request), vm_id, running=asked.running, limit=min(asked.limit, _MOST)
        )
        return json({"runs": [_fields(request, run) for run in runs]})


class OneRun(Endpoint):
    """A run."""

    operations: ClassVar[Mapping[str, str]] = {"get": "getStartedRun", "delete": "cancelStartedRun"}

    async def get(self, request: Request) -> Response:
        """GET /api/v1/local/vms/{vm_id}/runs/{run_id}."""
        return json(_fields(request, await _run(request)))

    async def delete(self, request: Request) -> Response:
        """DELETE /api/v1/local/vms/{vm_id}/runs/{run_id}: cancel it."""
        return json({"cancelled": await _handles(request).cancel(await _run(request))})


class RunEvents(Endpoint):
    """The events of a run."""

    operations: ClassVar[Mapping[str, str]] = {"get": "followRun"}

    async def get(self, request: Request) -> Response:
        """GET /api/v1/local/vms/{vm_id}/runs/{run_id}/events?offset=&follow=; `Last-Event-ID` is an offset, too."""
        seen = request.headers.get("last-event-id", "")
        known = int(seen) if seen.isdecimal() and len(seen) <= _DIGITS else 0
        asked = query(EventsQuery, request)
        offset = known if asked.offset is None else asked.offset
        run = await _run(request)
        if offset:
            await _check(run, offset)
        return _events(request, run, offset, follow=asked.follow)


class RunInput(Endpoint):
    """The input of a run."""

    operations: ClassVar[Mapping[str, str]] = {"post": "writeRunInput"}

    async def post(self, request: Request) -> Response:
        """POST /api/v1/local/vms/{vm_id}/runs/{run_id}/stdin?writer=&offset=&close=; the body is the input."""
        run = await _run(request)
        asked = query(InputQuery, request)
        given = await _handles(request).write(run, pieces(request, _INPUT_WAIT), asked.writer, asked.offset)
        if asked.close:
            await run.close_stdin()
        return json({"received": given})


class RunSignal(Endpoint):
    """A signal for a run."""

    operations: ClassVar[Mapping[str, str]] = {"post": "signalRun"}

    async def post(self, request: Request) -> Response:
        """POST /api/v1/local/vms/{vm_id}/runs/{run_id}/signal."""
        name = (await body(request, SignalRequest)).signal
        found = next((number for number in SIGNALS if number.name == name), None)
        if found is None:
            names = ", ".join(signal.Signals(number).name for number in SIGNALS)
            raise ApiError("bad_request", f"signal: expected one of {names}")
        run = await _run(request)
        live = run.outcome is None
        await run.signal(found)
        return json({"sent": live})


def _handles(request: Request) -> Handles:
    return platform(request).handles


async def _run(request: Request) -> Run:
    found = request.path_params
    return await _handles(request).get(who(request), found["vm_id"], found["run_id"])


async def _check(run: Run, offset: int) -> None:
    """Refuse an invalid offset before the response starts."""
    try:
        async for _ in run.events(offset, follow=False):
            break
    except ValueError as error:
        raise ApiError("bad_request", f"offset: {error}") from error


def _fields(request: Request, run: Run) -> dict[str, Any]:
    return run_fields(run, request.path_params["vm_id"], takes_input=_handles(request).takes_input(run))


def _events(request: Request, run: Run, offset: int, *, follow: bool) -> Response:
    return Events(
        run,
        request.path_params["vm_id"],
        offset,
        follow=follow,
        frames=FRAMES in _accepted(request),
        takes_input=_handles(request).takes_input(run),
        stopping=context(request).stopping,
        followers=context(request).followers,
    )


def _accepted(request: Request) -> str:
    return ",".join(request.headers.getlist("accept"))


_RUNS: Final = "/api/v1/local/vms/{vm_id}/runs"
ROUTES: Final = [
    Route(_RUNS, Runs),
    Route(f"{_RUNS}/{{run_id}}", OneRun),
    Route(f"{_RUNS}/{{run_id}}/events", RunEvents),
    Route(f"{_RUNS}/{{run_id}}/stdin", RunInput),
    Route(f"{_RUNS}/{{run_id}}/signal", RunSignal),
]
