"""Finds the route of a request."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send


class Table(Router):
    """A router for routes that are classes. Starlette's tries all routes before the right one, which takes longer than
    many requests; this one tries only those that the last part of the path may belong to, in their order."""

    def __init__(self, routes: Sequence[Route]) -> None:
        super().__init__(routes, redirect_slashes=False)
        ends = [_last(route.path) for route in routes]
        #: The routes of paths that end with a name, and of all other paths: a parameter is any name.
        self._ending = {
            name: [route for route, end in zip(routes, ends, strict=True) if end == name or "{" in end]
            for name in ends
        }
        self._open = [route for route, end in zip(routes, ends, strict=True) if "{" in end]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to its route. Raises HTTPException if there is none."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        path: str = scope["path"]
        for route in self._ending.get(_last(path), self._open):
            if (found := route.path_regex.match(path)) is not None:
                scope["route"] = route
                scope["endpoint"] = route.endpoint
                scope["path_params"] = {
                    name: route.param_convertors[name].convert(value)
                    for name, value in found.groupdict().items()
                }
                await route.app(scope, receive, send)
                return
        raise HTTPException(404)


def _last(path: str) -> str:
    return path.rpartition("/")[2]
