"""The deployment's part of the cgroup v2 tree, if there is one, with a group for each sandbox.

    <ours>/deployment     this process: a group that delegates controllers may not have processes itself
    <ours>/<sandbox>      everything in one sandbox

Root creates such a part before it drops its privileges; a systemd service with `Delegate=yes` has one. Otherwise there
is none, and signals, resource limits and the supervisor are used instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from pathlib import Path
from typing import NamedTuple

from arker.local.engine import small_files
from arker.local.engine.limits import Limits
from arker.local.engine.protocol import ComputerBusy

_DEPLOYMENT = "deployment"
_PREFIX = "arker-"
_CONTROLLERS = ("cpu", "memory", "pids")
_FREEZE_SECONDS = 2.0
_YOUNG_SECONDS = 60.0
#: Processes of a sandbox that its limit does not count: process 1, and those of the shells.
_MORE_PROCESSES = 8


class Usage(NamedTuple):
    """What a sandbox has used since it started. None where no controller measures it."""

    cpu_seconds: float | None
    peak_memory: int | None


def mount_point(mounts: str) -> Path | None:
    """Return where the cgroup v2 tree is mounted, according to `/proc/self/mounts`; pure."""
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) > 2 and fields[2] == "cgroup2":
            return Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[1]))
    return None


def own_group(membership: str) -> str | None:
    """Return the path of a process's v2 group, according to `/proc/self/cgroup`; pure."""
    for line in membership.splitlines():
        if line.startswith("0::/"):
            return line.removeprefix("0::/")
    return None


def _own() -> Path | None:
    with contextlib.suppress(OSError):
        mounted = mount_point(Path("/proc/self/mounts").read_text())
        group = own_group(Path("/proc/self/cgroup").read_text())
        if mounted is not None and group is not None and (mounted / group).is_dir():
            return mounted / group
    return None


def _pass_on(group: Path) -> None:
    """Enable the available controllers for the groups below; missing controllers are replaced by other means."""
    for name in _CONTROLLERS:
        with contextlib.suppress(OSError):
            (group / "cgroup.subtree_control").write_text(f"+{name}")


def make_part(uid: int) -> None:
    """As root, create a part of the tree for this process and give it to a user; do nothing if that fails."""
    own = _own()
    if own is None:
        return
    if own.name == _DEPLOYMENT:
        own = own.parent.parent
    for name in os.listdir(own):
        if name.startswith(_PREFIX):
            _remove(f"{own}/{name}")
    part = own / f"{_PREFIX}{os.getpid()}"
    try:
        part.mkdir()
        (part / _DEPLOYMENT).mkdir()
        _pass_on(own)
        _pass_on(part)
        for group in (part, part / _DEPLOYMENT):
            for path in (
                group,
                *(group / f"cgroup.{name}" for name in ("procs", "threads", "subtree_control")),
            ):
                os.chown(path, uid, uid)
        (part / _DEPLOYMENT / "cgroup.procs").write_text("0")
    except OSError:
        for group in (part / _DEPLOYMENT, part):
            with contextlib.suppress(OSError):
                group.rmdir()


def _remove(part: str) -> None:
    """Remove a part whose deployment is gone, with the groups left in it. A new one may be about to be used."""
    with contextlib.suppress(OSError):
        young = time.time() - os.stat(part).st_mtime < _YOUNG_SECONDS
        if young or small_files.read(f"{part}/{_DEPLOYMENT}/cgroup.procs"):
            return
        small_files.write(f"{part}/cgroup.kill", b"1")
        for group in Path(part).iterdir():
            if group.is_dir():
                group.rmdir()
        os.rmdir(part)


def find_part() -> Path | None:
    """Return the part of the tree that this process may use; None if there is none."""
    own = _own()
    if own is None or not os.access(own, os.W_OK):
        return None
    if own.name == _DEPLOYMENT:
        return own.parent if os.access(own.parent, os.W_OK) else None
    try:
        (own / _DEPLOYMENT).mkdir(exist_ok=True)
        (own / _DEPLOYMENT / "cgroup.procs").write_text("0")
    except OSError:
        return None
    _pass_on(own)
    return own


def expected() -> set[str]:
    """Return the controllers that sandboxes would have if this process started a deployment; changes nothing."""
    own = _own()
    if own is None or not os.access(own, os.W_OK):
        return set()
    found = {"freeze"}
    with contextlib.suppress(OSError):
        found.update(set((own / "cgroup.controllers").read_text().split()) & set(_CONTROLLERS))
    return found


class Group:
    """The cgroup of one sandbox."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def make(cls, part: Path, name: str, process: int, limits: Limits) -> Group | None:
        """Create a group for a process and its future children; return None if that fails."""
        group = cls(part / name)
        try:
            group._path.mkdir()
            small_files.write(f"{group._path}/cgroup.procs", b"%d" % process)
        except OSError:
            group.remove()
            return None
        settings = {
            "memory.max": limits.memory,
            "pids.max": limits.processes + _MORE_PROCESSES,
            "cpu.weight": 100,
        }
        for file, value in settings.items():
            with contextlib.suppress(OSError):  # the file exists only if its controller is enabled
                small_files.write(f"{group._path}/{file}", b"%d" % value)
        return group

    async def freeze(self) -> None:
        """Pause all processes in the group, which they cannot notice. Raises ComputerBusy."""
        until = time.monotonic() + _FREEZE_SECONDS
        self._set_frozen(1)
        try:
            while not self.frozen:
                if time.monotonic() > until:
                    raise ComputerBusy("the processes of the computer did not stop for the fork; try again")
                await asyncio.sleep(0.0005)
        except BaseException:
            self.thaw()
            raise

    def thaw(self) -> None:
        """Resume all processes in the group."""
        with contextlib.suppress(OSError):
            self._set_frozen(0)

    def _set_frozen(self, value: int) -> None:
        (self._path / "cgroup.freeze").write_text(str(value))

    @property
    def frozen(self) -> bool:
        """Return whether all processes in the group are paused."""
        return "frozen 1" in self._read("cgroup.events")

    @property
    def killed(self) -> int:
        """Return how many processes the kernel killed because of the memory limit."""
        return self._number("memory.events", "oom_kill ") or 0

    @property
    def cpu_seconds(self) -> float | None:
        """Return the CPU seconds that its processes have used so far."""
        cpu = self._number("cpu.stat", "usage_usec ")
        return None if cpu is None else cpu / 1e6

    def usage(self) -> Usage:
        """Return the resources used so far."""
        return Usage(self.cpu_seconds, self._number("memory.peak", ""))

    def _read(self, file: str) -> str:
        try:
            return small_files.read(f"{self._path}/{file}")
        except OSError:
            return ""

    def _number(self, file: str, key: str) -> int | None:
        for line in self._read(file).splitlines():
            if line.startswith(key) and line.removeprefix(key).isdigit():
                return int(line.removeprefix(key))
        return None

    def remove(self) -> None:
        """Remove the group, once it is empty."""
        with contextlib.suppress(OSError):
            self._path.rmdir()
