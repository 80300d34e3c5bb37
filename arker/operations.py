"""The generated operations, as the transport sees them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar
from urllib.parse import urlencode

if TYPE_CHECKING:
    from arker_api.control.models import ErrorEnvelope as ControlError
    from arker_api.regional.models import ErrorEnvelope as RegionalError

__all__ = ["Operation"]

P = ParamSpec("P")
T_co = TypeVar("T_co", covariant=True)


class Operation(Protocol[P, T_co]):
    """A module of `arker_api.regional.api` or `arker_api.control.api`, such as
    `arker_api.control.api.service.whoami`: what it takes, and what it answers."""

    @property
    def __name__(self) -> str: ...

    def _get_kwargs(self, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]: ...

    def _parse_response(self, *, client: Any, response: Any) -> T_co | RegionalError | ControlError: ...


def is_control(operation: Operation[..., Any]) -> bool:
    """Whether it belongs to the global API rather than to the regional one."""
    return operation.__name__.startswith("arker_api.control.")


_SEGMENT = re.compile(r"/vms/[0-9A-Z]{26}[^/]*|/(?:runs|sessions)/[^/]+")


def route(path: str) -> str:
    """The template of a path, without what names one computer, run or session."""
    return _SEGMENT.sub(_template, path)


def _template(match: re.Match[str]) -> str:
    kind = match[0].split("/")[1]
    return f"/{kind}/{{{'vm_id' if kind == 'vms' else kind[:-1] + '_id'}}}"


def target(path: str, params: Mapping[str, Any]) -> str:
    """A path with its query."""
    pairs = {name: str(value).lower() if isinstance(value, bool) else value for name, value in params.items()}
    return f"{path}?{urlencode(pairs, doseq=True)}" if pairs else path
