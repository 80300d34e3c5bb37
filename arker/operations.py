"""The generated operations, as the transport sees them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, ParamSpec, Protocol, TypeVar
from urllib.parse import urlencode

__all__ = ["Operation"]

P = ParamSpec("P")
T_co = TypeVar("T_co", covariant=True)


class Operation(Protocol[P, T_co]):
    """A module of `arker_api.regional.api` or `arker_api.control.api`, such as
    `arker_api.control.api.service.whoami`: what it takes, and what it answers."""

    @property
    def HOST(self) -> Literal["regional", "global"]:  # noqa: N802  # a constant of the module
        """The host that answers it."""
        ...

    def build(self, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        """The request, as arguments of `httpx.Client.request`.

        Args:
            args: What the operation takes.
            kwargs: What the operation takes by name.

        Raises:
            AttributeError: for a body that is no object of its schema.
        """
        ...

    def parse(self, body: Any) -> T_co:
        """The answer of a success, out of its decoded JSON.

        Raises:
            LookupError, TypeError, ValueError, AttributeError: for a body that is not what the contract says.
        """
        ...


_SEGMENT = re.compile(r"/vms/[0-9A-Z]{26}[^/]*|/(?:runs|sessions)/[^/]+")


def route(path: str) -> str:
    """The template of a path, without what names one computer, run or session."""
    return _SEGMENT.sub(_template, path)


def _template(match: re.Match[str]) -> str:
    kind = match[0].split("/")[1]
    return f"/{kind}/{{{'vm_id' if kind == 'vms' else kind[:-1] + '_id'}}}"


def full(path: str) -> str:
    """The path of an operation below the URL of a host. Contract 0.3 has `/api` in the URLs of its hosts, and no
    path of it begins with that; here no URL of a host ends with it."""
    return f"/api{path}" if path.startswith("/v1/") else path


def target(path: str, params: Mapping[str, Any]) -> str:
    """A path with its query."""
    pairs = {name: str(value).lower() if isinstance(value, bool) else value for name, value in params.items()}
    return f"{path}?{urlencode(pairs, doseq=True)}" if pairs else path
