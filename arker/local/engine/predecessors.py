"""Ends sandboxes of an earlier deployment on the same store, before any computer is used.

The kernel ends them with their deployment. This module verifies it: it checks every process that
has mounted the store or is about to.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from arker.local.engine.protocol import EngineError
from arker.local.engine.sandbox import CONTROL, FIRST

_SECONDS = 20.0


def end_predecessors(run: Path) -> None:
    """Kill remaining processes of sandboxes whose control folders are in `run`, and wait until they are gone. Blocking.

    Raises EngineError if they do not end.
    """
    # A control folder is there before its sandbox starts, and goes after the last process of the sandbox.
    controls = list(run.iterdir())
    if not controls:
        return
    firsts = set()
    for control in controls:
        with contextlib.suppress(OSError):
            info = (control / FIRST).stat(follow_symlinks=False)
            firsts.add((info.st_dev, info.st_ino))
    until = time.monotonic() + _SECONDS
    while left := [pid for pid in _numbers() if _belongs(pid, run, firsts)]:
        if time.monotonic() > until:
            raise EngineError(
                f"processes of an earlier deployment on {run.parent} do not end: {', '.join(map(str, left))}"
            )
        for pid in left:
            with contextlib.suppress(OSError):
                process = os.pidfd_open(pid)
                try:
                    if _belongs(pid, run, firsts):  # the pid may have been reused
                        signal.pidfd_send_signal(process, signal.SIGKILL)
                finally:
                    os.close(process)
        time.sleep(0.01)


def _numbers() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _belongs(pid: int, run: Path, firsts: set[tuple[int, int]]) -> bool:
    """Return whether a process sees a control folder of this store, or is a bwrap that will mount one."""
    with contextlib.suppress(OSError):
        info = Path(f"/proc/{pid}/root{CONTROL}/{FIRST}").stat(follow_symlinks=False)
        if (info.st_dev, info.st_ino) in firsts:
            return True
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return words[0].endswith(b"bwrap") and any(word.startswith(os.fsencode(run) + b"/") for word in words)
    return False
