from __future__ import annotations

from typing import Literal

ListOrgRunsEndpoint = Literal["fork", "run", "sync"]

LIST_ORG_RUNS_ENDPOINT_VALUES: set[ListOrgRunsEndpoint] = {
    "fork",
    "run",
    "sync",
}


def check_list_org_runs_endpoint(value: str) -> ListOrgRunsEndpoint:
    if value in LIST_ORG_RUNS_ENDPOINT_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {LIST_ORG_RUNS_ENDPOINT_VALUES!r}")
