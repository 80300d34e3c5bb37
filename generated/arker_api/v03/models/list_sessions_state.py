from __future__ import annotations

from typing import Literal

ListSessionsState = Literal["idle", "pending", "running"]

LIST_SESSIONS_STATE_VALUES: set[ListSessionsState] = {
    "idle",
    "pending",
    "running",
}


def check_list_sessions_state(value: str) -> ListSessionsState:
    if value in LIST_SESSIONS_STATE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {LIST_SESSIONS_STATE_VALUES!r}")
