"""Computers: forked, listed, inspected, changed, deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from arker.local.http.bodies import body
from arker.local.http.endpoint import (
    Endpoint,
    idempotency_key,
    json,
    once,
    owned,
    platform,
    wants_ours,
    who,
)
from arker.local.http.rendering import PLATFORM, PROVIDER
from arker.local.http.routes.computers import UnknownOperation
from arker.local.http.schemas import query
from arker.local.service.computers import REGION, ComputerFilter, Look, Named, Wanted
from arker.local.service.errors import ApiError
from arker.local.service.idempotency import Once

from . import rendering
from .schemas import ForkRequest, PatchVmRequest, VmQuery, page

#: Fields for features that a single machine does not have, with the features' names in contract 0.3.
_FEATURES: Final = {
    "ssh_public_keys": "public_ingress",
    "policies": "network_policy",
    "nestedvirt": "nested_virtualization",
    "registry_auth": "platform",
    "image": "platform",
    "pool_id": "platform",
    "pool_name": "platform",
}


def unsupported(message: str, feature: str) -> ApiError:
    """Return the error for a feature of contract 0.3 that a single machine does not have."""
    details = {"reason": "feature_not_supported", "feature": feature}
    return ApiError("unsupported_operation", f"{message} on this deployment", details=details)


def _check_features(asked: ForkRequest | PatchVmRequest) -> None:
    for name, feature in _FEATURES.items():
        if getattr(asked, name, None):
            raise unsupported(f"{name}: not available", feature)
    # A computer may use what the deployment's limits allow; they are the same for all.
    if asked.resources is not None and asked.resources.model_dump(exclude_none=True):
        raise unsupported("resources: the size of computers is a setting, and cannot be chosen", "platform")


async def _shown(request: Request, vm_id: str) -> dict[str, Any]:
    look = await platform(request).computers.look(who(request), vm_id)
    vm_id = look.computer.vm_id
    sessions = await platform(request).sessions.listed(who(request), vm_id) if look.mine else []
    answer = rendering.vm(look, sessions, platform(request).computers.resources)
    return {**answer, **_ours(look)} if wants_ours(request) else answer


def _ours(look: Look) -> dict[str, Any]:
    return {
        "parent_vm_id": look.computer.parent_vm_id if look.mine else None,
        "image": look.computer.image,
    }


def _source(asked: ForkRequest) -> str | Named:
    if asked.source_vm_id is not None:
        return asked.source_vm_id
    assert asked.source_vm_name is not None
    return Named(asked.source_vm_name, asked.source_org_name or asked.source_org_id)


class Fork(Endpoint):
    """Fork a computer."""

    only_0_3 = True
    operations: ClassVar[Mapping[str, str]] = {"post": "fork"}

    async def post(self, request: Request) -> Response:
        """POST /api/v1/fork."""
        key = idempotency_key(request)
        asked = await body(request, ForkRequest)
        _check_features(asked)
        if asked.disk is False:
            raise unsupported("disk: a computer without one is not available", "diskless")
        if asked.platforms and PLATFORM not in asked.platforms:
            raise ApiError(
                "unsupported_operation",
                f"platforms: this deployment has {PLATFORM}",
                details={"reason": "platform_mismatch", "feature": "platform"},
            )
        try:
            made = await platform(request).computers.fork(
                who(request),
                _source(asked),
                Wanted(
                    asked.name,
                    bool(asked.public),
                    description=_blank(asked.description),
                    unique=asked.name is not None,
                    warm=asked.layers is None or "memory" in asked.layers,
                ),
                once=once(key, asked),
                scope="fork",
                answer=lambda child: child.vm_id.encode(),
            )
        except ApiError as error:
            if error.code != "idempotency_conflict":
                raise
            # Contract 0.3 has that code for runs only.
            raise ApiError("conflict", error.message, resource="vm") from None
        vm_id = request.scope["arker.child"] = made.decode()
        if asked.command:
            # With its own key, so that a repeated fork does not run the command again.
            await platform(request).recorded.create(
                who(request),
                vm_id,
                session_id="0",
                command=asked.command,
                timeout=None,
                wait=0,
                once=Once("fork", b""),
            )
        return json(await _shown(request, vm_id))


class Vms(Endpoint):
    """The organization's computers."""

    only_0_3 = True
    operations: ClassVar[Mapping[str, str]] = {"get": "listVms"}

    async def get(self, request: Request) -> Response:
        """GET /api/v1/vms."""
        asked = query(VmQuery, request)
        org = platform(request).access.organization(asked.org_id or who(request).org_id)
        elsewhere = (
            asked.region not in (None, REGION)
            or asked.provider not in (None, PROVIDER)
            or asked.platform not in (None, PLATFORM)
            or asked.pool_id is not None
        )
        wanted = ComputerFilter(org, asked.public, asked.created_after, asked.created_before, asked.cursor)
        computers = platform(request).computers
        looks = (
            [] if elsewhere else await computers.newest(who(request), wanted, asked.state, asked.limit + 1)
        )
        shown, following = page(
            looks, asked.limit, lambda look: (look.computer.created_ms, look.computer.vm_id)
        )
        return json(
            {
                "vms": [
                    rendering.listed_vm(
                        look,
                        await platform(request).sessions.listed(who(request), look.computer.vm_id)
                        if look.mine
                        else [],
                        computers.resources,
                    )
                    for look in shown
                ],
                "next_cursor": following,
            }
        )


class OneVm(Endpoint):
    """A computer."""

    operations: ClassVar[Mapping[str, str]] = {"get": "getVm", "patch": "patchVm", "delete": "deleteVm"}

    async def get(self, request: Request) -> Response:
        """GET /api/v1/vms/{vm_id}."""
        return json(await _shown(request, request.path_params["vm_id"]))

    async def patch(self, request: Request) -> Response:
        """PATCH /api/v1/vms/{vm_id}."""
        vm_id = request.path_params["vm_id"]
        asked = await body(request, PatchVmRequest)
        owned(request, "changed")
        _check_features(asked)
        if asked.immutable:
            raise unsupported(
                "immutable: computers that cannot be changed are not available", "guest_control"
            )
        if "description" in asked.model_fields_set:
            await platform(request).computers.describe(who(request), vm_id, _blank(asked.description))
        return json(await _shown(request, vm_id))

    async def delete(self, request: Request) -> Response:
        """DELETE /api/v1/vms/{vm_id}."""
        await platform(request).computers.delete(who(request), request.path_params["vm_id"])
        return json({"deleted": True})


class Policies(Endpoint):
    """Network policies, which are the same for all computers of this deployment."""

    only_0_3 = True
    operations: ClassVar[Mapping[str, str]] = {"get": "getVmPolicies", "put": "putVmPolicies"}

    async def get(self, request: Request) -> Response:
        """GET /api/v1/vms/{vm_id}/policies."""
        owned(request, "looked into")
        raise unsupported("policies: not available", "network_policy")

    put = get


def _blank(description: str | None) -> str | None:
    return description if description is not None and description.strip() else None


ROUTES: Final = [
    Route("/api/v1/fork", Fork),
    Route("/api/v1/vms", Vms),
    Route("/api/v1/vms/{vm_id}", OneVm),
    Route("/api/v1/vms/{vm_id}/policies", Policies),
]
#: Any other path below a computer.
LAST: Final = [Route("/api/v1/vms/{vm_id}/{operation:path}", UnknownOperation)]
