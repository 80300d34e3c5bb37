from __future__ import annotations

from typing import Literal

ListOrgRunsDir = Literal["asc", "desc"]

LIST_ORG_RUNS_DIR_VALUES: set[ListOrgRunsDir] = {
    "asc",
    "desc",
}


def check_list_org_runs_dir(value: str) -> ListOrgRunsDir:
    if value in LIST_ORG_RUNS_DIR_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {LIST_ORG_RUNS_DIR_VALUES!r}")
