"""Runs: started, listed, inspected, cancelled."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from arker.local.http.answers import Answer
from arker.local.http.bodies import body
from arker.local.http.endpoint import Endpoint, idempotency_key, json, once, owned, platform, wants_ours, who
from arker.local.http.schemas import MAX_RUN_BODY, query
from arker.local.service.recorded import Result, RunFilter

from . import rendering
from .schemas import RunQuery, RunRequest, page
from .vms import unsupported

#: Seconds after which a foreground run continues in the background.
_BACKGROUND: Final = 300


class Runs(Endpoint):
    """The runs of a computer."""

    only_0_3 = True
    operations: ClassVar[Mapping[str, str]] = {"get": "listRuns", "post": "createRun"}

    async def post(self, request: Request) -> Response:
        """POST /api/v1/vms/{vm_id}/runs."""
        key = idempotency_key(request)
        asked = await body(request, RunRequest, MAX_RUN_BODY)
        if asked.policies:
            raise unsupported("policies: not available", "network_policy")
        services = platform(request)
        vm_id = owned(request, "run in").vm_id
        if asked.session_id is not None:
            session_id = (await services.sessions.get(who(request), vm_id, asked.session_id)).session_id
        else:
            session_id = await services.sessions.at(who(request), vm_id, asked.session_idx or 0)
        if asked.signal is not None:
            await services.recorded.signal(who(request), vm_id, session_id, signal.Signals[asked.signal])
            return json(_nothing(session_id))
        if asked.command is None:
            # Asks to start waiting runs; here they start by themselves.
            return json(_nothing(session_id))
        wait = 0 if asked.background else asked.time_to_background
        run = await services.recorded.create(
            who(request),
            vm_id,
            session_id=session_id,
            command=asked.command,
            timeout=min(asked.timeout or 0, 2**31) or None,
            wait=_BACKGROUND if wait is None else wait,
            once=once(key, asked),
            whole=asked.end_symbol == "none",
        )
        if run.completed_ms is None:
            answer = rendering.run_answer(Result(run, b"", b""))
            return Answer(to_json(answer), 202, media_type="application/json")
        ours = wants_ours(request)
        return json(
            await services.recorded.output(
                who(request), run, lambda shown: to_json(rendering.run_answer(shown, ours=ours))
            )
        )

    async def get(self, request: Request) -> Response:
        """GET /api/v1/vms/{vm_id}/runs."""
        asked = query(RunQuery, request)
        computer = owned(request, "looked into")
        wanted = RunFilter(
            asked.state, asked.started_after, asked.started_before, asked.completed_after, asked.cursor
        )
        runs = platform(request).recorded.page(who(request), computer.vm_id, wanted, asked.limit + 1)
        shown, following = page(runs, asked.limit, lambda run: (run.started_ms, run.run_id))
        return json(
            {"runs": [rendering.run_summary(computer, run) for run in shown], "next_cursor": following}
        )


class OneRun(Endpoint):
    """A run."""

    only_0_3 = True
    operations: ClassVar[Mapping[str, str]] = {"get": "getRun", "delete": "cancelRun"}

    async def get(self, request: Request) -> Response:
        """GET /api/v1/vms/{vm_id}/runs/{run_id}."""
        computer = owned(request, "looked into")
        ours = wants_ours(request)
        answer = await platform(request).recorded.result(
            who(request),
            computer.vm_id,
            request.path_params["run_id"],
            lambda shown: to_json(rendering.run(computer, shown, ours=ours)),
        )
        return json(answer)

    async def delete(self, request: Request) -> Response:
        """DELETE /api/v1/vms/{vm_id}/runs/{run_id}."""
        vm_id = owned(request, "changed").vm_id
        run_id = request.path_params["run_id"]
        return json({"cancelled": await platform(request).recorded.cancel(who(request), vm_id, run_id)})


def _nothing(session_id: str) -> dict[str, Any]:
    return {
        "session_id": session_id,
        "state": "completed",
        "stdout": "",
        "stdout_encoding": "utf-8",
        "stderr": "",
        "stderr_encoding": "utf-8",
        "exit_code": 0,
    }


ROUTES: Final = [
    Route("/api/v1/vms/{vm_id}/runs", Runs),
    Route("/api/v1/vms/{vm_id}/runs/{run_id}", OneRun),
]
