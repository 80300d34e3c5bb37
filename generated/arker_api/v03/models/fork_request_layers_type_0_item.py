from __future__ import annotations

from typing import Literal

ForkRequestLayersType0Item = Literal["disk", "memory"]

FORK_REQUEST_LAYERS_TYPE_0_ITEM_VALUES: set[ForkRequestLayersType0Item] = {
    "disk",
    "memory",
}


def check_fork_request_layers_type_0_item(value: str) -> ForkRequestLayersType0Item:
    if value in FORK_REQUEST_LAYERS_TYPE_0_ITEM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {FORK_REQUEST_LAYERS_TYPE_0_ITEM_VALUES!r}")
