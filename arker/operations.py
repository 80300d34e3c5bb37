"""The generated operations, in the form that the transport uses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, ParamSpec, Protocol, TypeVar
from urllib.parse import urlencode

__all__ = ["Operation", "same", "with_local_fields"]

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Operation(Protocol[P, T_co]):
    """A module of `arker_api.regional.api` or `arker_api.control.api`, such as
    `arker_api.control.api.service.whoami`: its arguments, and its answer."""

    @property
    def HOST(self) -> Literal["regional", "global"]:  # noqa: N802  # a constant of the module
        """The host that serves it."""
        ...

    def build(self, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        """Build the request, as arguments of `httpx.Client.request`.

        Args:
            args: Arguments of the operation.
            kwargs: Keyword arguments of the operation.

        Raises:
            AttributeError: for a body that is not an object of its schema.
        """
        ...

    def parse(self, body: Any) -> T_co:
        """Convert the decoded JSON of a successful answer.

        Raises:
            LookupError, TypeError, ValueError, AttributeError: for a body that violates the contract.
        """
        ...


_SEGMENT = re.compile(r"/vms/[0-9A-Z]{26}[^/]*|/(?:runs|sessions)/[^/]+")


def route(path: str) -> str:
    """The template of a path, without the ids of a computer, run or session."""
    return _SEGMENT.sub(_template, path)


def _template(match: re.Match[str]) -> str:
    kind = match[0].split("/")[1]
    return f"/{kind}/{{{'vm_id' if kind == 'vms' else kind[:-1] + '_id'}}}"


def full(path: str) -> str:
    """The path of an operation below the URL of a host. Contract 0.3 includes `/api` in the URLs of its hosts, and its
    paths do not start with it; here, host URLs never end with `/api`."""
    return f"/api{path}" if path.startswith("/v1/") else path


def target(path: str, params: Mapping[str, Any]) -> str:
    """A path with its query."""
    pairs = {name: str(value).lower() if isinstance(value, bool) else value for name, value in params.items()}
    return f"{path}?{urlencode(pairs, doseq=True)}" if pairs else path


def with_local_fields(parts: dict[str, Any]) -> dict[str, Any]:
    """Ask for the fields of the answer that only an embedded deployment has; others ignore the header.

    Args:
        parts: A request, as `Operation.build` makes it; it is changed.
    """
    parts.setdefault("headers", {})["Arker-Local"] = "1"
    return parts


def same(answer: T) -> T:
    """Return an answer as it is, where an operation's answer is not converted."""
    return answer
