from __future__ import annotations

from typing import Literal

ListVmsState = Literal["idle", "running"]

LIST_VMS_STATE_VALUES: set[ListVmsState] = {
    "idle",
    "running",
}


def check_list_vms_state(value: str) -> ListVmsState:
    if value in LIST_VMS_STATE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {LIST_VMS_STATE_VALUES!r}")
