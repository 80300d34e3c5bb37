"""File systems and their mounts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from arker.local.http.bodies import body
from arker.local.http.endpoint import Endpoint, json, owned, platform, who
from arker.local.http.schemas import query

from . import rendering
from .schemas import (
    FilesystemCreateRequest,
    FilesystemQuery,
    MountCreateRequest,
    MountQuery,
    page,
)


class Filesystems(Endpoint):
    """The organization's file systems."""

    only_0_3 = True
    operations: ClassVar[Mapping[str, str]] = {"get": "listFilesystems", "post": "createFilesystem"}

    async def get(self, request: Request) -> Response:
        """GET /api/v1/filesystems."""
        asked = query(FilesystemQuery, request)
        found = platform(request).filesystems.page(
            who(request), asked.name_prefix, asked.cursor, asked.limit + 1
        )
        shown, following = page(found, asked.limit, lambda one: (one.created_ms, one.filesystem_id))
        return json({"filesystems": [rendering.filesystem(one) for one in shown], "next_cursor": following})

    async def post(self, request: Request) -> Response:
        """POST /api/v1/filesystems."""
        asked = await body(request, FilesystemCreateRequest)
        return json(
            rendering.filesystem(await platform(request).filesystems.create(who(request), asked.name))
        )


class OneFilesystem(Endpoint):
    """A file system."""

    only_0_3 = True
    operations: ClassVar[Mapping[str, str]] = {"get": "getFilesystem", "delete": "deleteFilesystem"}

    async def get(self, request: Request) -> Response:
        """GET /api/v1/filesystems/{filesystem_id}."""
        found = platform(request).filesystems.get(who(request), request.path_params["filesystem_id"])
        return json(rendering.filesystem(found))

    async def delete(self, request: Request) -> Response:
        """DELETE /api/v1/filesystems/{filesystem_id}."""
        await platform(request).filesystems.delete(who(request), request.path_params["filesystem_id"])
        return json({"deleted": True})


class Mounts(Endpoint):
    """The mounts of a computer."""

    only_0_3 = True
    operations: ClassVar[Mapping[str, str]] = {"get": "listMounts", "post": "createMount"}

    async def get(self, request: Request) -> Response:
        """GET /api/v1/vms/{vm_id}/mounts."""
        asked = query(MountQuery, request)
        vm_id = owned(request, "looked into").vm_id
        after = "" if asked.cursor is None else asked.cursor[1]
        found = [
            mounted
            for mounted in await platform(request).filesystems.mounts(who(request), vm_id)
            if mounted.mount.mount_id > after and asked.filesystem_id in (None, mounted.mount.filesystem_id)
        ]
        shown, following = page(found, asked.limit, lambda mounted: (0, mounted.mount.mount_id))
        return json({"mounts": [rendering.mount(mounted) for mounted in shown], "next_cursor": following})

    async def post(self, request: Request) -> Response:
        """POST /api/v1/vms/{vm_id}/mounts."""
        asked = await body(request, MountCreateRequest)
        vm_id = owned(request, "changed").vm_id
        mounted = await platform(request).filesystems.mount(
            who(request), vm_id, asked.filesystem_id, asked.path
        )
        return json(rendering.mount(mounted))


class OneMount(Endpoint):
    """A mount."""

    only_0_3 = True
    operations: ClassVar[Mapping[str, str]] = {"delete": "deleteMount"}

    async def delete(self, request: Request) -> Response:
        """DELETE /api/v1/vms/{vm_id}/mounts/{mount_id}."""
        vm_id = owned(request, "changed").vm_id
        await platform(request).filesystems.unmount(who(request), vm_id, request.path_params["mount_id"])
        return json({"deleted": True})


ROUTES: Final = [
    Route("/api/v1/filesystems", Filesystems),
    Route("/api/v1/filesystems/{filesystem_id}", OneFilesystem),
    Route("/api/v1/vms/{vm_id}/mounts", Mounts),
    Route("/api/v1/vms/{vm_id}/mounts/{mount_id}", OneMount),
]
