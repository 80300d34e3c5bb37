"""Limits on kernel resources that are shared by all users of a machine or by all processes of one user.

| resource | limited by |
|---|---|
| inotify instances and watches, System V and POSIX queues, segments and semaphores | sysctls of the namespaces |
| contexts of asynchronous I/O, leases, keys, huge pages, user namespaces | the system call filter refuses them |
| buffers of a socket | the filter keeps the default; of a TCP connection, a sysctl of the namespace |
| programs that the host starts when a process crashes | RLIMIT_CORE of 1, which the filter keeps |
| pending signals and timers, bytes in POSIX queues, processes | resource limits |
| open files, sockets, locks, terminals, epoll watches, files in /dev/shm | the supervisor ends who has too many |
| the order in which processes die when memory runs out, sysctls | /proc is read-only inside |
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from arker.local.engine import small_files
from arker.local.engine.limits import Limits

_PAGE = 4096
#: A computer gets one of this many parts of a user's limit.
_PART = 8
#: Maximum size of a buffer of a TCP connection. There is room for little more in all buffers of the host together.
_TCP_BUFFER = 1 << 18


def bounds(
    limits: Limits, inotify_instances: int, inotify_watches: int, *, network: bool = False
) -> Mapping[str, str]:
    """Return the sysctls for the namespaces of a computer, given the limits of a user on the machine; pure. With
    `network`, that namespace is the host's."""
    buffers = {f"net/ipv4/tcp_{name}": f"4096 131072 {_TCP_BUFFER}" for name in ("rmem", "wmem")}
    return {
        **({} if network else buffers),
        "user/max_inotify_instances": str(max(8, inotify_instances // _PART)),
        "user/max_inotify_watches": str(max(1024, inotify_watches // _PART)),
        "kernel/shmall": str(max(1, limits.shared_memory // _PAGE)),
        "kernel/shmmni": "1024",
        "kernel/msgmni": "64",
        "kernel/sem": "250 8000 32 256",
        "fs/mqueue/queues_max": "64",
    }


def read_sysctl(name: str, default: int) -> int:
    """Return a number below /proc/sys, or `default` if it does not exist."""
    try:
        return int(small_files.read(f"/proc/sys/{name}"))
    except (OSError, ValueError):
        return default


class Held(NamedTuple):
    """The resources of a computer that only the supervisor can limit."""

    files: int = 0
    sockets: int = 0
    locks: int = 0
    terminals: int = 0
    epoll_watches: int = 0
    shared_files: int = 0


_NAMES = {
    "files": "open files",
    "sockets": "sockets",
    "locks": "locks on files",
    "terminals": "terminals",
    "epoll_watches": "watches of epoll",
    "shared_files": "files in /dev/shm",
}


def room_for_all() -> Mapping[str, int]:
    """Return how much of what the host has for all, by the names in `Held`, all computers together may have."""
    terminals = read_sysctl("kernel/pty/max", 4096) - read_sysctl("kernel/pty/reserve", 1024)
    has = {
        "files": read_sysctl("fs/file-max", 1 << 20),
        "terminals": terminals,
        "epoll_watches": read_sysctl("fs/epoll/max_user_watches", 1 << 20),
    }
    return {name: most * 3 // 4 for name, most in has.items()}


def exceeded_together(held: Held, by_all: Collection[Held], most: Mapping[str, int]) -> str | None:
    """Return a description of what all computers hold too much of, if none of them holds more than this one; pure."""
    for name, room in most.items():
        values = [getattr(each, name) for each in by_all]
        if sum(values) > room and getattr(held, name) == max(values):
            return f"all computers held more than {room} {_NAMES[name]}, and this one the most"
    return None


class Most(NamedTuple):
    """The maximum of these resources for a computer."""

    files: int
    epoll_watches: int
    sockets: int
    locks: int = 16384
    terminals: int = 256
    shared_files: int = 65536

    @classmethod
    def here(cls, limits: Limits) -> Most:
        """Return the maximum on this machine."""
        return cls(
            files=min(1 << 17, read_sysctl("fs/file-max", 1 << 20) // _PART),
            # Full ones take no more than the processes may.
            sockets=max(256, limits.memory // read_sysctl("net/core/wmem_default", 212992)),
            epoll_watches=read_sysctl("fs/epoll/max_user_watches", 1 << 20) // _PART,
        )

    def exceeded_by(self, held: Held) -> str | None:
        """Return a description of the resource that exceeds its maximum, if one does; pure."""
        for name, words in _NAMES.items():
            if getattr(held, name) > (most := getattr(self, name)):
                return f"the computer held more than {most} {words}"
        return None
