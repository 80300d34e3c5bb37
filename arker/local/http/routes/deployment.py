"""The deployment itself: its health, regions and counters, and the owner of a key."""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Mapping
from typing import ClassVar, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from arker.local.http.endpoint import Endpoint, authenticate, base_url, context, json, platform, who
from arker.local.http.rendering import PLATFORM, PROVIDER, timestamp
from arker.local.service.computers import REGION


class Health(Endpoint):
    """Whether computers can be forked and used."""

    public = True
    operations: ClassVar[Mapping[str, str]] = {"get": "health"}

    async def get(self, request: Request) -> Response:
        """GET /api/v1/health."""
        await platform(request).health()
        return json({"status": "ok", "timestamp": timestamp(time.time_ns() // 1_000_000)})


class Regions(Endpoint):
    """The regions of computers: this deployment."""

    public = True
    operations: ClassVar[Mapping[str, str]] = {"get": "listRegions"}

    async def get(self, request: Request) -> Response:
        """GET /api/v1/regions."""
        region = {
            "provider": PROVIDER,
            "region": REGION,
            "endpoint": base_url(request),
            "platforms": [PLATFORM],
        }
        return json({"regions": [region]})


class Whoami(Endpoint):
    """The owner of the key."""

    operations: ClassVar[Mapping[str, str]] = {"get": "whoami"}

    async def get(self, request: Request) -> Response:
        """GET /api/v1/whoami."""
        return json({"org_id": who(request).org_id, "org_name": who(request).org_name})


class MetricsText(Endpoint):
    """Counters for Prometheus; without a key only from this machine."""

    public = True

    async def get(self, request: Request) -> Response:
        """GET /metrics."""
        found = context(request)
        # Behind a public URL there is a proxy, so remote requests may come from this machine, too.
        if (
            found.public_url is not None
            or request.client is None
            or not ipaddress.ip_address(request.client.host).is_loopback
            or not _names_loopback(request.headers.get("host", ""))
        ):
            authenticate(request)
        text = found.metrics.text(await found.platform.gauges())
        return Response(text, media_type="text/plain; version=0.0.4")


def _names_loopback(host: str) -> bool:
    """Return whether a Host header names this machine; otherwise a page of another site, whose name resolves here, is
    asking."""
    name = host.rpartition(":")[0] if re.search(r":[0-9]+$", host) else host
    if name.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


ROUTES: Final = [
    Route("/api/v1/health", Health),
    Route("/api/v1/regions", Regions),
    Route("/api/v1/whoami", Whoami),
    Route("/metrics", MetricsText),
]
