"""Computers: the list and the forks of contract 0.1; renaming and stopping, which are in neither contract."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Final

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from arker.local.http.bodies import body
from arker.local.http.endpoint import Endpoint, authenticate, idempotency_key, json, once, platform, who
from arker.local.http.rendering import timestamp
from arker.local.http.schemas import ForkByNameRequest, ForkRequest, ListQuery, RenameRequest, query
from arker.local.service.computers import REGION, Computer, Named, Wanted
from arker.local.service.errors import ApiError

_BELOW: Final = "/api/v1/vms/{vm_id}/"


class ComputerList(Endpoint):
    """The organization's computers."""

    only_0_1 = True

    async def get(self, request: Request) -> Response:
        """GET /api/v1/vms/list."""
        asked = query(ListQuery, request)
        # All computers are in one region, so sorting by region is sorting by age, newest first.
        items, total = platform(request).computers.page(
            who(request),
            part_of_name=asked.q,
            oldest_first=asked.sort == "created_at",
            limit=asked.limit,
            offset=asked.offset,
        )
        return json({"items": [_item(computer) for computer in items], "total": total})


class ForkByName(Endpoint):
    """Fork by name."""

    only_0_1 = True

    async def post(self, request: Request) -> Response:
        """POST /api/v1/vms/fork."""
        asked = await body(request, ForkByNameRequest)
        return await _fork(request, asked, Named(asked.source), "fork_by_name")


class Fork(Endpoint):
    """Fork a computer."""

    only_0_1 = True

    async def post(self, request: Request) -> Response:
        """POST /api/v1/vms/{vm_id}/fork."""
        vm_id = request.path_params["vm_id"]
        return await _fork(request, await body(request, ForkRequest), vm_id, f"fork:{vm_id}")


class OneComputer(Endpoint):
    """What only this deployment changes of a computer."""

    operations: ClassVar[Mapping[str, str]] = {"patch": "renameVm"}

    async def patch(self, request: Request) -> Response:
        """PATCH /api/v1/local/vms/{vm_id}."""
        asked = await body(request, RenameRequest)
        named = await platform(request).computers.rename(
            who(request), request.path_params["vm_id"], asked.name
        )
        return json({"vm_id": named.vm_id, "name": named.name})


class Stop(Endpoint):
    """End everything that runs in a computer."""

    operations: ClassVar[Mapping[str, str]] = {"post": "stopVm"}

    async def post(self, request: Request) -> Response:
        """POST /api/v1/local/vms/{vm_id}/stop."""
        await platform(request).computers.stop(who(request), request.path_params["vm_id"])
        return json({"stopped": True})


class UnknownOperation(Endpoint):
    """Any other path below a computer."""

    async def dispatch(self) -> None:
        """Authenticate the caller, then refuse the request, whatever the method."""
        authenticate(Request(self.scope, self.receive))
        paths = [route.path for route in self.scope["app"].routes]
        names = {path.removeprefix(_BELOW).split("/")[0] for path in paths if path.startswith(_BELOW)}
        known = ", ".join(sorted(name for name in names if "{" not in name))
        raise ApiError("command_not_found", f"there is no such operation on a computer; there are {known}")


def _item(computer: Computer) -> dict[str, Any]:
    return {
        "vm_id": computer.vm_id,
        "name": computer.name,
        "base_image": computer.image,
        "region": REGION,
        "created_at": timestamp(computer.created_ms),
        "parent_vm_id": computer.parent_vm_id,
    }


async def _fork(request: Request, asked: ForkRequest, source: str | Named, scope: str) -> Response:
    return json(
        await platform(request).computers.fork(
            who(request),
            source,
            Wanted(asked.name, asked.is_public),
            once=once(idempotency_key(request), asked),
            scope=scope,
            answer=partial(_forked, request),
            region=asked.region,
        )
    )


def _forked(request: Request, child: Computer) -> bytes:
    request.scope["arker.child"] = child.vm_id
    return to_json(
        {
            "vm_id": child.vm_id,
            "org_id": child.org_id,
            "region": REGION,
            "base_image": child.image,
            "name": child.name,
            "is_public": child.is_public,
            "parent_vm_id": child.parent_vm_id,
            "created_at": child.created_ms,
            "state": "running",
        }
    )


ROUTES: Final = [
    Route("/api/v1/vms/list", ComputerList),
    Route("/api/v1/vms/fork", ForkByName),
    Route("/api/v1/vms/{vm_id}/fork", Fork),
    Route("/api/v1/local/vms/{vm_id}", OneComputer),
    Route("/api/v1/local/vms/{vm_id}/stop", Stop),
]
