"""Commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from arker.local.http.bodies import body, cancelled_with
from arker.local.http.endpoint import Endpoint, idempotency_key, json, once, platform, wants_ours, who
from arker.local.http.rendering import end_fields, text
from arker.local.http.schemas import MAX_RUN_BODY, CancelRequest, RunRequest
from arker.local.service.runs import RunOutcome


class Run(Endpoint):
    """Run a command."""

    only_0_1 = True

    async def post(self, request: Request) -> Response:
        """POST /api/v1/vms/{vm_id}/run."""
        key = idempotency_key(request)
        asked = await body(request, RunRequest, MAX_RUN_BODY)
        ours = wants_ours(request)
        with cancelled_with(request):
            return json(
                await platform(request).runs.run(
                    who(request),
                    request.path_params["vm_id"],
                    session_id=asked.session_id,
                    command=asked.command,
                    timeout=min(asked.timeout, 2**31) or None,
                    once=once(key, asked),
                    answer=lambda outcome: _ended(asked.session_id, outcome, ours=ours),
                )
            )


class Cancel(Endpoint):
    """Cancel a run, even before its answer, by its Idempotency-Key."""

    operations: ClassVar[Mapping[str, str]] = {"post": "cancelKeyedRun"}

    async def post(self, request: Request) -> Response:
        """POST /api/v1/local/vms/{vm_id}/runs/cancel."""
        asked = await body(request, CancelRequest)
        vm_id = request.path_params["vm_id"]
        services, key = platform(request), asked.idempotency_key
        # The key may belong to a run of any kind. The last service remembers an unknown key.
        cancelled = (
            await services.recorded.cancel_keyed(who(request), vm_id, key)
            or await services.handles.cancel_keyed(who(request), vm_id, key)
            or await services.runs.cancel(who(request), vm_id, key)
        )
        return json({"cancelled": cancelled})


def _ended(session_id: str, outcome: RunOutcome, *, ours: bool) -> bytes:
    stdout, stdout_encoding = text(outcome.stdout)
    stderr, stderr_encoding = text(outcome.stderr)
    answer: dict[str, Any] = {
        "stdout": stdout,
        "stdout_encoding": stdout_encoding,
        "stderr": stderr,
        "stderr_encoding": stderr_encoding,
        "exit_code": outcome.exit_code,
        "completed": outcome.completed,
        "duration_ms": round(outcome.duration_ms, 3),
        "session_id": session_id,
        "cwd": outcome.cwd,
    }
    if outcome.stdout_truncated:
        answer["stdout_truncated"] = True
    if outcome.stderr_truncated:
        answer["stderr_truncated"] = True
    if ours:
        answer |= end_fields(outcome.reason, outcome.usage, outcome.notes)
    return to_json(answer)


ROUTES: Final = [
    Route("/api/v1/vms/{vm_id}/run", Run),
    Route("/api/v1/local/vms/{vm_id}/runs/cancel", Cancel),
]
