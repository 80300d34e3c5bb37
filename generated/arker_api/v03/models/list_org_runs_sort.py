from __future__ import annotations

from typing import Literal

ListOrgRunsSort = Literal["path", "queue", "runtime", "status", "total", "when", "your_code"]

LIST_ORG_RUNS_SORT_VALUES: set[ListOrgRunsSort] = {
    "path",
    "queue",
    "runtime",
    "status",
    "total",
    "when",
    "your_code",
}


def check_list_org_runs_sort(value: str) -> ListOrgRunsSort:
    if value in LIST_ORG_RUNS_SORT_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {LIST_ORG_RUNS_SORT_VALUES!r}")
