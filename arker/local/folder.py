"""Where a deployment keeps what lasts, unless it is told. Imports nothing heavy: the command line asks each time."""

from __future__ import annotations

import os
from pathlib import Path


def default_state() -> Path:
    """`/var/lib/arker` for root, else `$XDG_STATE_HOME/arker` or `~/.local/state/arker`."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/arker")
    given = os.environ.get("XDG_STATE_HOME", "")
    return (Path(given) if given.startswith("/") else Path.home() / ".local" / "state") / "arker"
