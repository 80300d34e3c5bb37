"""Contains all the data models used in inputs/outputs"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .error_detail import ErrorDetail
    from .error_envelope import ErrorEnvelope
    from .fork_by_name_request import ForkByNameRequest
    from .fork_response import ForkResponse
    from .organization import Organization
    from .region import Region
    from .region_list import RegionList
    from .vm_page import VmPage
    from .vm_sort import VmSort
    from .vm_summary import VmSummary

__all__ = (
    "ErrorDetail",
    "ErrorEnvelope",
    "ForkByNameRequest",
    "ForkResponse",
    "Organization",
    "Region",
    "RegionList",
    "VmPage",
    "VmSort",
    "VmSummary",
)

_MODULES = {
    "ErrorDetail": ".error_detail",
    "ErrorEnvelope": ".error_envelope",
    "ForkByNameRequest": ".fork_by_name_request",
    "ForkResponse": ".fork_response",
    "Organization": ".organization",
    "Region": ".region",
    "RegionList": ".region_list",
    "VmPage": ".vm_page",
    "VmSort": ".vm_sort",
    "VmSummary": ".vm_summary",
}


def __getattr__(name: str) -> Any:
    # Each is a class that attrs makes, in a millisecond; a program uses a few of them.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name], __name__), name)
    globals()[name] = value
    return value
