"""Where a deployment keeps what lasts, and who has such a folder. Imports nothing heavy: the command line asks each
time."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple


class Holder(NamedTuple):
    """What a deployment wrote into the lock of its state folder.

    Attributes:
        stopping: it takes no requests any more.
        launched: a program started it for itself; else somebody did, with `arker serve`.
        options: what it serves with, by the names of `Settings`; limits with their defaults.
    """

    pid: int
    url: str
    stopping: bool
    launched: bool
    options: dict[str, Any]


def lock_file(state: Path) -> Path:
    """The file that a deployment holds while it has a state folder."""
    return state / "lock"


def holder(state: Path) -> Holder | None:
    """The last deployment that said that it serves a state folder. It may be dead by now, if nobody holds the lock;
    if somebody does, it may be starting, and say nothing yet."""
    try:
        said = json.loads(lock_file(state).read_bytes())
        return Holder(
            int(said["pid"]),
            str(said["url"]),
            "stopping" in said,
            bool(said.get("launched")),
            dict(said.get("options", {})),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def default_state() -> Path:
    """`/var/lib/arker` for root, else `$XDG_STATE_HOME/arker` or `~/.local/state/arker`."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/arker")
    given = os.environ.get("XDG_STATE_HOME", "")
    return (Path(given) if given.startswith("/") else Path.home() / ".local" / "state") / "arker"
