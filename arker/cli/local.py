"""The deployment of this machine: whether it runs, where, and a key to it. Imports nothing heavy."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

#: How often the list of locks is read before a lock counts as not held.
_LOOKS = 5


@dataclass(frozen=True, slots=True)
class Running:
    """A deployment that serves on this machine."""

    url: str
    pid: int
    state: Path


def state_folder(given: str | os.PathLike[str] | None = None) -> Path:
    """The state folder of this machine's deployment: as given, `ARKER_STATE`, or the default."""
    if given is None:
        given = os.environ.get("ARKER_STATE") or None
    if given is None:
        from arker.local.process.folder import default_state

        given = default_state()
    return Path(given).expanduser().absolute()


def running(state: Path, *, stopping: bool = False) -> Running | None:
    """The deployment that serves a state folder, or None; with `stopping`, also one that accepts no more requests."""
    if sys.platform != "linux":
        return None
    from arker.local.process.folder import holder, lock_file

    found = holder(state)
    # A lock that nobody holds was left by a deployment that was killed; its port may belong to another program now.
    if found is None or (found.stopping and not stopping) or not _is_held(lock_file(state), found.pid):
        return None
    return Running(found.url, found.pid, state)


def _is_held(file: Path, pid: int) -> bool:
    """Whether a process holds the lock of a file. Trying to lock it would disturb a deployment that starts."""
    # The kernel lists locks in pieces, so a list may miss a lock while others are released.
    return any(_is_listed(file, pid) for _ in range(_LOOKS))


def _is_listed(file: Path, pid: int) -> bool:
    try:
        # Do not compare devices: some file systems report different numbers here and there.
        inode = f":{file.stat().st_ino}"
        lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        return False
    return any(
        len(line) > 5 and line[1] == "FLOCK" and line[4] == str(pid) and line[5].endswith(inode)
        for line in lines
    )


def a_key(state: Path, kept: str | None) -> str:
    """A key that is valid in a state folder: the kept one if it is still valid, else a new one. Any user who can
    write the folder can make one.

    Raises:
        arker.local.service.keys.StateError: the folder cannot be used.
    """
    from arker.local.service.keys import generate, open_keys

    name = f"the command line of {_user()}"
    with open_keys(state) as keys:
        if kept is not None:
            with contextlib.suppress(ValueError):
                keys.register(kept, name=name)
                return kept
        key = generate()
        keys.register(key, name=name)
        return key


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"user {os.getuid()}"
