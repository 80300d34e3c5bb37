"""The web app of a deployment, which serves both APIs."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from arker.local.service.errors import ApiError
from arker.local.service.platform import Platform

from .bodies import rooms
from .bounds import UnderWay, most_connections
from .endpoint import Context
from .errors import HttpError
from .metrics import Metrics
from .middleware import Edge, Prefix
from .ratelimit import RateLimit
from .routes import computers, deployment, file_operations, files, handles, ports, runs, usage
from .v03 import filesystems, organization, pty, recorded, sessions, vms


def create_app(
    platform: Platform,
    metrics: Metrics,
    *,
    rate_limit: float = 0,
    public_url: str | None = None,
    own_url: str,
    contract: str = "both",
    most_requests: int | None = None,
) -> Starlette:
    """Create the ASGI app of a deployment, which serves both APIs.

    Args:
        rate_limit: requests per second of each organization; 0 for no limit.
        public_url: where clients reach the deployment; if None, wherever the request says that it was sent
            to.
        own_url: where the deployment listens, for requests that do not say.
        most_requests: how many requests may be under way; if None, as many as there may be connections.
        contract: which contract to serve: `0.1`, `0.3` or `both`.
    """
    under_way = UnderWay(most_connections() if most_requests is None else most_requests)
    # The order matters: the last of the computers' routes matches every other path below a computer. Each route before
    # the right one takes time, so those that are asked for most come first.
    routes: list[BaseRoute] = [
        *runs.ROUTES,
        *recorded.ROUTES,
        *handles.ROUTES,
        *files.ROUTES,
        *file_operations.ROUTES,
        *deployment.ROUTES,
        *organization.ROUTES,
        *usage.ROUTES,
        *ports.ROUTES,
        *sessions.ROUTES,
        *pty.ROUTES,
        *filesystems.ROUTES,
        *computers.ROUTES,
        *vms.ROUTES,
    ]
    app = Starlette(
        routes=[route for route in routes if _spoken(route, contract)],
        middleware=[
            Middleware(
                Edge,
                metrics=metrics,
                under_way=under_way,
                contracts="0.1, 0.3" if contract == "both" else contract,
            ),
            Middleware(ports.ByHost),
            Middleware(Prefix),
        ],
        exception_handlers={HTTPException: _http_exception},
    )
    app.router.redirect_slashes = False
    app.state.context = Context(platform, metrics, RateLimit(rate_limit), under_way, public_url, own_url)
    app.state.rooms = rooms()
    return app


def _spoken(route: BaseRoute, contract: str) -> bool:
    endpoint = getattr(route, "endpoint", None)
    return not (
        (contract == "0.3" and getattr(endpoint, "only_0_1", False))
        or (contract == "0.1" and getattr(endpoint, "only_0_3", False))
    )


async def _http_exception(request: Request, error: Exception) -> Response:
    """Return the error for a path or method that the router does not know."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        raise HttpError(
            "unsupported_method",
            f"{request.method} is not possible here; what is: {allowed}",
            {"Allow": allowed},
        )
    raise ApiError("not_found", "there is no such path; the API is below /api/v1/")
