from __future__ import annotations

from typing import Literal

RunRequestSignalType0 = Literal["SIGHUP", "SIGINT", "SIGKILL", "SIGTERM"]

RUN_REQUEST_SIGNAL_TYPE_0_VALUES: set[RunRequestSignalType0] = {
    "SIGHUP",
    "SIGINT",
    "SIGKILL",
    "SIGTERM",
}


def check_run_request_signal_type_0(value: str) -> RunRequestSignalType0:
    if value in RUN_REQUEST_SIGNAL_TYPE_0_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {RUN_REQUEST_SIGNAL_TYPE_0_VALUES!r}")
