"""Kernel resources that all users of a machine share, or all processes of one user, and what keeps a computer's part.

| resource | kept by |
|---|---|
| inotify instances and watches, System V and POSIX queues, segments and semaphores | sysctls of the namespaces |
| contexts of asynchronous I/O, leases, keys, user namespaces | the system call filter refuses them |
| pending signals and timers, bytes in POSIX queues, processes | resource limits |
| open files, terminals, epoll watches, files in /dev/shm | the watch: it counts them, and ends what runs |
| the order in which processes die when memory runs out, sysctls | /proc is read-only inside |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from arker.local.engine.limits import Limits

_PAGE = 4096
#: A computer's part of what a user may have: one of so many.
_PART = 8


def bounds(limits: Limits, inotify_instances: int, inotify_watches: int) -> Mapping[str, str]:
    """Sysctls for the namespaces of a computer, on a machine that allows a user so much; pure."""
    return {
        "user/max_inotify_instances": str(max(8, inotify_instances // _PART)),
        "user/max_inotify_watches": str(max(1024, inotify_watches // _PART)),
        "kernel/shmall": str(max(1, limits.shared_memory // _PAGE)),
        "kernel/shmmni": "1024",
        "kernel/msgmni": "64",
        "kernel/sem": "250 8000 32 256",
        "fs/mqueue/queues_max": "64",
    }


def read_sysctl(name: str, default: int) -> int:
    """A number below /proc/sys, or `default` where there is none."""
    try:
        return int(Path("/proc/sys", name).read_text())
    except (OSError, ValueError):
        return default


@dataclass(frozen=True, slots=True)
class Held:
    """What a computer holds of the resources that only a watch can bound."""

    files: int = 0
    terminals: int = 0
    epoll_watches: int = 0
    shared_files: int = 0


@dataclass(frozen=True, slots=True)
class Most:
    """The most that a computer may hold of them."""

    files: int
    epoll_watches: int
    terminals: int = 256
    shared_files: int = 65536

    @classmethod
    def here(cls) -> Most:
        """On this machine."""
        return cls(
            files=min(1 << 17, read_sysctl("fs/file-max", 1 << 20) // _PART),
            epoll_watches=read_sysctl("fs/epoll/max_user_watches", 1 << 20) // _PART,
        )

    def exceeded_by(self, held: Held) -> str | None:
        """What there is too much of, in words; pure."""
        if held.files > self.files:
            return f"the computer held more than {self.files} open files"
        if held.terminals > self.terminals:
            return f"the computer held more than {self.terminals} terminals"
        if held.epoll_watches > self.epoll_watches:
            return f"the computer held more than {self.epoll_watches} watches of epoll"
        if held.shared_files > self.shared_files:
            return f"the computer held more than {self.shared_files} files in /dev/shm"
        return None
