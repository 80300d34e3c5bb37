"""The deployment of this machine: whether it runs, where, and a key to it. Costs next to nothing."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Running:
    """A deployment that serves on this machine."""

    url: str
    pid: int
    state: Path


def state_folder(given: str | os.PathLike[str] | None = None) -> Path:
    """Where the deployment of this machine keeps what lasts: as given, `ARKER_STATE`, or the default."""
    if given is None:
        given = os.environ.get("ARKER_STATE") or None
    if given is None:
        if os.geteuid() == 0:
            return Path("/var/lib/arker")
        base = os.environ.get("XDG_STATE_HOME", "")
        given = (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "arker"
    return Path(given).expanduser().absolute()


def running(state: Path) -> Running | None:
    """The deployment that serves a state folder, if one does."""
    if sys.platform != "linux":
        return None
    lock = state / "lock"
    try:
        if not _is_locked(lock):
            # What it says was left by a deployment that was killed; its port may be anybody's by now.
            return None
        said = json.loads(lock.read_bytes())
        return Running(str(said["url"]), int(said["pid"]), state)
    except (OSError, ValueError, KeyError):
        return None


def _is_locked(file: Path) -> bool:
    """Whether somebody holds a lock on a file. To try for it would hinder a deployment that starts."""
    status = file.stat()
    name = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    return any(name in line.split() for line in Path("/proc/locks").read_text().splitlines())


def a_key(state: Path, kept: str | None) -> str:
    """A key that is valid in a state folder: the one that was kept, if it is valid still, else a new one.
    Whoever can write the folder can make one.

    Raises:
        arker.local.database.StateError: the folder cannot be used.
    """
    from arker.local import keys
    from arker.local.database import open_database

    name = f"the command line of {_user()}"
    with contextlib.closing(open_database(state / "arker.db")) as connection:
        if kept is not None:
            with contextlib.suppress(ValueError):
                keys.register(connection, kept, name=name)
                return kept
        key = keys.generate()
        keys.register(connection, key, name=name)
        return key


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"user {os.getuid()}"
