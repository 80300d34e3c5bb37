from __future__ import annotations

from typing import Literal

VmSort = Literal["-created_at", "-region", "created_at", "region"]

VM_SORT_VALUES: set[VmSort] = {
    "-created_at",
    "-region",
    "created_at",
    "region",
}


def check_vm_sort(value: str) -> VmSort:
    if value in VM_SORT_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {VM_SORT_VALUES!r}")
