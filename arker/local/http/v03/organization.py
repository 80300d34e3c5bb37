"""Resources of an organization: its keys and its activity log. A single machine has no pools."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from arker.local.http.answers import Answer
from arker.local.http.bodies import body
from arker.local.http.endpoint import Endpoint, authenticate, json, platform, who
from arker.local.http.rendering import PROVIDER, timestamp
from arker.local.http.schemas import query
from arker.local.service.access import KeyRow
from arker.local.service.activity import ActivityFilter, ActivityRow
from arker.local.service.computers import REGION
from arker.local.service.errors import ApiError

from .schemas import CreateApiKeyRequest, OrgRunQuery

#: Default time span of a list, in seconds.
_SPAN: Final = 24 * 3600
_PATHS: Final = {"run": "/v1/vms/{id}/runs", "fork": "/v1/fork", "sync": "/v1/vms/{id}/sync"}


class OrgRuns(Endpoint):
    """The activity log of the organization's computers."""

    only_0_3 = True
    operations: ClassVar[Mapping[str, str]] = {"get": "listOrgRuns"}

    async def get(self, request: Request) -> Response:
        """GET /api/v1/runs."""
        asked = query(OrgRunQuery, request)
        until = int(time.time()) + 1 if asked.until is None else asked.until
        since = max(0, until - _SPAN) if asked.since is None else asked.since
        low, high = _classes(asked.status)
        wanted = ActivityFilter(
            since_ms=min(since, 2**50) * 1000,
            until_ms=min(until, 2**50) * 1000,
            limit=asked.limit,
            offset=asked.offset,
            vm_ids=[name for name in [asked.vm, *(asked.vms or "").split(",")] if name],
            search=asked.search,
            endpoints=[name for name in [asked.endpoint, *(asked.actions or "").split(",")] if name],
            status_min=low if asked.status_min is None else asked.status_min,
            status_max=high if asked.status_max is None else asked.status_max,
            sort=asked.sort,
            ascending=asked.dir == "asc",
        )
        # There is only one kind of executor.
        found = (
            await platform(request).activity.page(who(request), wanted)
            if asked.runtime in (None, "sandbox")
            else []
        )
        resources = platform(request).computers.resources
        return json(
            {
                "since": since,
                "until": until,
                "limit": asked.limit,
                "offset": asked.offset,
                "lite": asked.lite,
                "rows": [_row(act, resources) for act in found],
            }
        )


def _classes(status: str | None) -> tuple[int, int]:
    """Return the lowest and the highest status of classes such as `2xx,4xx`."""
    digits = [int(part[0]) for part in (status or "").split(",") if part[:1].isdecimal()]
    return (min(digits) * 100, max(digits) * 100 + 99) if digits else (0, 999)


def _row(act: ActivityRow, resources: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "t_ms": act.at_ms,
        "request_id": "",
        "run_id": act.run_id,
        "vm_id": act.vm_id,
        "session_id": act.session_id,
        "region": REGION,
        "provider": PROVIDER,
        "status": act.status,
        "total_ms": round(act.total_ms, 3),
        "queue_ms": round(act.queue_ms, 3),
        "executor_duration_ms": round(act.total_ms - act.queue_ms),
        "executor_kind": "sandbox",
        "executor_cpu_ms": round(act.cpu_ms),
        "executor_mem_mb": round(act.memory_mib),
        "vm_vcpus": resources.get("vcpu") or 0,
        "vm_memory_mib": resources.get("memory_mib") or 0,
        "path": _PATHS[act.endpoint],
        "method": "POST",
        "command": act.command,
        "source_vm_id": act.source_vm_id,
        "exit_code": act.exit_code,
        "endpoint": act.endpoint,
        "api_key_prefix": act.key_id,
        "body_bytes_in": 0,
        "body_bytes_out": 0,
        "body_in": "",
        "body_out": "",
    }
    if act.state is not None:
        row["state"] = act.state
    return row


class ApiKeys(Endpoint):
    """The organization's keys."""

    only_0_3 = True
    operations: ClassVar[Mapping[str, str]] = {"get": "listApiKeys", "post": "createApiKey"}

    async def get(self, request: Request) -> Response:
        """GET /api/v1/api-keys."""
        return json({"api_keys": [_key(key) for key in platform(request).access.keys(who(request))]})

    async def post(self, request: Request) -> Response:
        """POST /api/v1/api-keys."""
        asked = await body(request, CreateApiKeyRequest)
        if any(scope.pool_id is not None for scope in asked.scopes or ()):
            raise ApiError("not_found", "scopes: this deployment has no pools", resource="pool")
        vm_ids = [scope.vm_id for scope in asked.scopes or () if scope.vm_id is not None] or None
        made, key = await platform(request).access.create_key(who(request), asked.name or "key", vm_ids)
        return Answer(to_json({**_key(made), "key": key}), 201, media_type="application/json")


class OneApiKey(Endpoint):
    """A key."""

    only_0_3 = True
    operations: ClassVar[Mapping[str, str]] = {"delete": "revokeApiKey"}

    async def delete(self, request: Request) -> Response:
        """DELETE /api/v1/api-keys/{api_key_id}."""
        await platform(request).access.revoke_key(who(request), request.path_params["api_key_id"])
        return Answer(status_code=204)


def _key(key: KeyRow) -> dict[str, Any]:
    return {
        "api_key_id": key.key_id,
        "role": "admin",
        "scopes": [{"vm_id": vm_id} for vm_id in key.vm_ids or ()],
        # Deprecated; a key that is limited to several has none.
        "vm_id": key.vm_ids[0] if key.vm_ids is not None and len(key.vm_ids) == 1 else None,
        "pool_id": None,
        "action": None,
        "created_at": timestamp(key.created_ms),
    }


class _Pools(Endpoint):
    """A path of pools, of which there are none."""

    only_0_3 = True

    async def dispatch(self) -> None:
        """Authenticate the caller, then refuse the request, whatever the method."""
        authenticate(Request(self.scope, self.receive))
        raise ApiError("not_found", "this deployment has no pools", resource="pool")


_WORKER: Final = "/{pool_id}/workers/{worker_id}"
#: The operations of each path of pools.
_POOLS: Final = {
    "": {"get": "listPools", "post": "createPool"},
    "/{pool_id}": {"get": "getPool", "patch": "updatePool", "delete": "deletePool"},
    "/{pool_id}/workers": {"get": "listPoolWorkers"},
    _WORKER: {"put": "heartbeatWorker"},
    f"{_WORKER}/tunnel": {"get": "openWorkerTunnel"},
    f"{_WORKER}/vms/{{vm_id}}": {"put": "putWorkerVm", "delete": "deleteWorkerVm"},
    f"{_WORKER}/vms/{{vm_id}}/runs/{{run_id}}": {"put": "putWorkerRun"},
}

ROUTES: Final = [
    Route("/api/v1/runs", OrgRuns),
    Route("/api/v1/api-keys", ApiKeys),
    Route("/api/v1/api-keys/{api_key_id}", OneApiKey),
    *(
        Route(f"/api/v1/pools{path}", type("Pools", (_Pools,), {"operations": operations}))
        for path, operations in _POOLS.items()
    ),
    Route("/api/v1/pools/{rest:path}", _Pools),
]
