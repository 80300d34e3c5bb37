"""What the computers of an organization use now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from arker.local.http.endpoint import Endpoint, json, platform, who
from arker.local.http.schemas import Body, Number, query


class UsageQuery(Body):
    """A page of computers."""

    limit: Annotated[Number, Field(ge=1, le=1000)] = 1000
    offset: Number = 0


class Usage(Endpoint):
    """The organization's computers, with the CPU time, memory and disk of each."""

    operations: ClassVar[Mapping[str, str]] = {"get": "listUsage"}

    async def get(self, request: Request) -> Response:
        """GET /api/v1/local/usage?limit=&offset=, newest first."""
        asked = query(UsageQuery, request)
        loads = await platform(request).computers.loads(who(request), limit=asked.limit, offset=asked.offset)
        return json(
            {
                "computers": [
                    {
                        "vm_id": computer.vm_id,
                        "name": computer.name,
                        "state": "running" if running else "idle",
                        "cpu_seconds": load.cpu_seconds,
                        "memory_bytes": load.memory,
                        "processes": load.processes,
                        "disk_bytes": load.disk,
                    }
                    for computer, running, load in loads
                ]
            }
        )


ROUTES: Final = [Route("/api/v1/local/usage", Usage)]
