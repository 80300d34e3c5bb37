"""The state folder of a deployment, and which deployment holds it. Imports nothing heavy, because every call of the
command line uses it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple


class Holder(NamedTuple):
    """What a deployment writes into the lock file of its state folder.

    Attributes:
        stopping: whether it has stopped accepting requests.
        launched: whether a program started it with `launch`; otherwise `arker serve` did.
        options: the values of its `Settings`, by name; limits include their defaults.
    """

    pid: int
    url: str
    stopping: bool
    launched: bool
    options: dict[str, Any]


def lock_file(state: Path) -> Path:
    """Return the path of the file that a deployment locks while it uses the state folder."""
    return state / "lock"


def holder(state: Path) -> Holder | None:
    """Return what the last deployment wrote that served the state folder. If the lock is free, that deployment may
    have died; if it is held, a deployment may still be starting and have written nothing."""
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
    """Return `/var/lib/arker` for root, else `$XDG_STATE_HOME/arker` or `~/.local/state/arker`."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/arker")
    given = os.environ.get("XDG_STATE_HOME", "")
    return (Path(given) if given.startswith("/") else Path.home() / ".local" / "state") / "arker"
