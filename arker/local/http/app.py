"""The web app of a deployment, which serves both APIs."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import Route

from arker.local.service.platform import Platform

from .bodies import body_semaphores
from .bounds import UnderWay, most_connections
from .endpoint import Context
from .metrics import Metrics
from .middleware import Edge, Prefix
from .ratelimit import RateLimit
from .routes import computers, deployment, file_operations, files, handles, ports, runs, usage
from .routing import Table
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
        own_url: where the deployment listens, for requests without a Host.
        most_requests: how many requests may be under way; if None, as many as there may be connections.
        contract: which contract to serve: `0.1`, `0.3` or `both`.
    """
    under_way = UnderWay(most_connections() if most_requests is None else most_requests)
    # The order matters: names below `/vms/` come before the routes of one computer, and the last route matches every
    # other path below a computer.
    routes: list[Route] = [
        *runs.ROUTES,
        *recorded.ROUTES,
        *files.ROUTES,
        *computers.ROUTES,
        *vms.ROUTES,
        *handles.ROUTES,
        *file_operations.ROUTES,
        *deployment.ROUTES,
        *organization.ROUTES,
        *usage.ROUTES,
        *ports.ROUTES,
        *sessions.ROUTES,
        *pty.ROUTES,
        *filesystems.ROUTES,
        *vms.LAST,
    ]
    app = Starlette()
    app.router = Table([route for route in routes if _spoken(route, contract)])
    # `Edge` answers all errors, so Starlette's own layers for them are left out.
    app.middleware_stack = Edge(
        ports.ByHost(Prefix(app.router)),
        metrics=metrics,
        under_way=under_way,
        contracts="0.1, 0.3" if contract == "both" else contract,
    )
    app.state.context = Context(platform, metrics, RateLimit(rate_limit), under_way, public_url, own_url)
    app.state.body_semaphores = body_semaphores()
    return app


def _spoken(route: Route, contract: str) -> bool:
    endpoint = getattr(route, "endpoint", None)
    return not (
        (contract == "0.3" and getattr(endpoint, "only_0_1", False))
        or (contract == "0.1" and getattr(endpoint, "only_0_3", False))
    )
