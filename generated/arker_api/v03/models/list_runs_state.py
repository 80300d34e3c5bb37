from __future__ import annotations

from typing import Literal

ListRunsState = Literal["cancelled", "completed", "failed", "pending", "running"]

LIST_RUNS_STATE_VALUES: set[ListRunsState] = {
    "cancelled",
    "completed",
    "failed",
    "pending",
    "running",
}


def check_list_runs_state(value: str) -> ListRunsState:
    if value in LIST_RUNS_STATE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {LIST_RUNS_STATE_VALUES!r}")
