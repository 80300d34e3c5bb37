"""Contains all the data models used in inputs/outputs"""

from __future__ import annotations

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
