"""Supervises live computers: finds vanished shells, idle sandboxes and exceeded limits.

Each computer is checked in a thread of its own, so that none delays the check of another. How often depends on the cost
of the checks: together they take a small part of a processor, however many processes sleep in the computers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arker.local.engine.computer import Computer
from arker.local.engine.kernel import Held, Most, exceeded_together, room_for_all
from arker.local.engine.limits import Limits
from arker.local.engine.meminfo import host_meminfo, kib
from arker.local.engine.processes import ALL, Processes
from arker.local.engine.protocol import Reason
from arker.local.engine.sandbox import FILE_BYTES

log: logging.Logger = logging.getLogger("arker.engine")

_TICK_SECONDS = 0.25
#: The part of a processor that all checks together take, normally and while the host's memory shrinks.
_SHARE, _SHARE_IN_NEED = 0.02, 0.2
_MOST_SECONDS = 10.0
#: A computer is measured anew each time the disk filled by this much, and after this time at the earliest.
_MEASURE_BYTES = 32 << 20
_MEASURE_SECONDS = 10.0
#: Bytes by which earlier writes may still grow a file system.
_AFTERWARDS = 1 << 20
#: Listing the locks takes longer than this only on a host with many.
_LONG_LIST_SECONDS = 0.002
#: Seconds after which descriptors in flight count as parked in a socket.
_FLIGHT_SECONDS = 0.1
#: All computers are checked when the host's free memory has shrunk by this much.
_MEMORY_STEP = 64 << 20


#: Processes with fewer descriptors have few pairs of them to watch.
_FEW = 64


@dataclass(slots=True)
class _Hiding:
    """When descriptors of a computer were first seen in flight, how much of the disk was filled then, and what each
    live computer had written."""

    at: float
    filled: int
    sizes: dict[Computer, int]


@dataclass(slots=True)
class _Look:
    """The last look at a computer: when it began, what it cost, how much memory the host had."""

    at: float = 0.0
    cost: float = 0.0
    available: int = 0
    under_way: bool = False
    #: Bytes of the computer's shared memory without a name, and the host's shared memory then, or now if it is less.
    shared: int = 0
    shared_at: int = 0
    #: Whether descriptors were in flight, and the bytes that they may hide.
    in_flight: bool = False
    hidden: int = 0
    #: The kernel resources of the computer.
    held: Held = field(default_factory=Held)
    #: While it has descriptors in flight: the state before.
    hiding: _Hiding | None = None


def interval(cost: float, *, in_need: bool) -> float:
    """Seconds from one look at a computer to the next, when one look at each computer takes `cost` seconds; pure."""
    return min(max(_TICK_SECONDS, cost / (_SHARE_IN_NEED if in_need else _SHARE)), _MOST_SECONDS)


def grown(before: int, now: int, explained: int) -> int:
    """Bytes by which something grew beyond what a computer is known to have added to it; pure."""
    return max(0, now - before - max(0, explained))


def _held(processes: Processes, root: int, locks: int, *, network: bool) -> Held:
    """Return the kernel resources of a sandbox with these processes, this root folder and so many locks. Blocking."""
    descriptors = processes.descriptors()
    many = [pid for pid, count in descriptors.items() if count > _FEW]
    shared = terminals = 0
    with contextlib.suppress(OSError):
        terminals = len(_names(root, "dev/pts")) - 1  # `ptmx`
    with contextlib.suppress(OSError):
        folder = os.open("dev/shm", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
        try:
            room = os.statvfs(folder)
            shared = room.f_files - room.f_ffree
        finally:
            os.close(folder)
    return Held(
        files=sum(descriptors.values()),
        # With the host's network they are the host's.
        sockets=0 if network else processes.sockets(),
        locks=locks,
        terminals=terminals,
        epoll_watches=sum(map(processes.epoll_watches, many)),
        shared_files=shared,
    )


def _names(root: int, path: str) -> list[str]:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    try:
        return os.listdir(folder)
    finally:
        os.close(folder)


def _shared_memory_device() -> int:
    """The device of shared memory without a name, which is the same one for all."""
    fd = os.memfd_create("device")
    try:
        return os.fstat(fd).st_dev
    finally:
        os.close(fd)


@contextlib.contextmanager
def _trouble_of_one(computer: Computer) -> Iterator[None]:
    """Log errors, which must not end the supervision of other computers."""
    try:
        yield
    except Exception:
        log.exception("computer %s could not be supervised", computer.id)


class Supervisor:
    """Holds live computers to their limits. `computers` lists all; `spawn` runs work beside the supervisor."""

    def __init__(
        self,
        store: Path,
        limits: Limits,
        computers: Callable[[], Iterable[Computer]],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._store = store
        self._limits = limits
        self._computers = computers
        self._spawn = spawn
        self._most = Most.here(limits)
        self._room = room_for_all()
        self._threads = ThreadPoolExecutor(2, "arker-supervisor")
        self._shared_memory = _shared_memory_device()
        self._looks: dict[Computer, _Look] = {}
        #: When the locks of the host may be listed again.
        self._list_locks_at = 0.0
        #: Computers whose disk is being measured.
        self._measuring: set[Computer] = set()

    async def run(self) -> None:
        """Supervise until cancelled."""
        try:
            while True:
                await asyncio.sleep(_TICK_SECONDS)
                self._tick()
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _tick(self) -> None:
        live = [computer for computer in self._computers() if computer.running]
        self._looks = {computer: self._looks.get(computer) or _Look() for computer in live}
        if not live:
            return
        cost = sum(look.cost for look in self._looks.values())
        host = host_meminfo()
        available, shared = kib(host, "MemAvailable") << 10, kib(host, "Shmem") << 10
        for computer, look in self._looks.items():
            with _trouble_of_one(computer):
                look.shared_at = min(look.shared_at, shared)
                self._visit(computer, look, cost, available)

    def _visit(self, computer: Computer, look: _Look, cost: float, available: int) -> None:
        """Notice shells that vanished, and check a computer in a thread if it is time."""
        for session in computer.sessions.values():
            if session.shell is not None:
                session.shell.lost()
        now = time.monotonic()
        if not computer.watched:
            look.cost, look.held = 0.0, Held()
            if now - computer.used <= self._limits.idle:
                return
        in_need = available < look.available - max(_MEMORY_STEP, self._limits.memory // 64)
        if not look.under_way and now >= look.at + interval(cost, in_need=in_need):
            look.at, look.available, look.under_way = now, available, True
            self._spawn(self._look_at(computer, look))

    async def _look_at(self, computer: Computer, look: _Look) -> None:
        try:
            with _trouble_of_one(computer):
                if computer.watched:
                    await self._hold_memory(computer, look)
                    computer.watched = not computer.at_rest
                    if computer.watched:
                        computer.used = time.monotonic()
                    if computer not in self._measuring:
                        self._measuring.add(computer)
                        self._spawn(self._hold_disk(computer, look))
                elif time.monotonic() - computer.used > self._limits.idle and computer.gate.idle:
                    async with computer.gate.exclusive():
                        if computer.at_rest:
                            await computer.stop()
        finally:
            look.under_way = False

    async def _hold_memory(self, computer: Computer, look: _Look) -> None:
        """Enforce the limits on a computer's memory and kernel resources."""
        sandbox = computer.sandbox
        if sandbox is None or sandbox.stopping:
            return
        processes, root = sandbox.processes, os.dup(sandbox.root)
        generation = processes.generation
        measures = list(computer.meter.open) if computer.meter is not None else []

        def read() -> tuple[dict[int, int], Held, str]:
            began = time.thread_time()
            try:
                memory = processes.memory()
                held = _held(processes, root, self.locks(processes), network=computer.host.network)
                host = host_meminfo()
                if self._most.exceeded_by(held) is None:
                    # Otherwise it would take long, and the processes are about to be ended.
                    self._add_shared(processes, memory, look, kib(host, "Shmem") << 10)
                if measures:
                    marked = processes.with_marks()
                    for measure in measures:
                        measure.sample(marked, memory, processes.written)
                return memory, held, host
            finally:
                os.close(root)
                look.cost = time.thread_time() - began

        used, held, host = await processes.aside(self._threads, read)
        if computer.sandbox is not sandbox:
            return
        look.held = held
        computer.look_for_kernel_kills()
        computer.tell_memory(sum(used.values()), host)
        over = sum(used.values()) + look.hidden - self._limits.memory
        largest = sorted(used, key=lambda pid: used[pid])
        killed = []
        while over > 0 and largest:
            killed.append(largest.pop())
            over -= used[killed[-1]]
        if killed:
            computer.kill(killed, Reason.OUT_OF_MEMORY, computer.too_much_memory)
        elif (excess := self._excess(look)) is not None:
            await computer.kill_all(generation, Reason.OUT_OF_MEMORY, excess)

    def locks(self, processes: Processes) -> int:
        """Return the number of locks of a sandbox. A list that takes long to make, with the locks of the whole host, is
        read rarely; meanwhile locks of programs that cannot be read are missing. Blocking."""
        began = time.monotonic()
        if began < self._list_locks_at:
            return processes.locks_of_descriptors()
        found = processes.locks(self._most.locks)
        took = time.monotonic() - began
        if took > _LONG_LIST_SECONDS:
            self._list_locks_at = began + took / _SHARE
        return found

    def _excess(self, look: _Look) -> str | None:
        """Say which limit a computer exceeds, alone or together with others."""
        by_all = [each.held for each in self._looks.values()]
        return self._most.exceeded_by(look.held) or exceeded_together(look.held, by_all, self._room)

    def _add_shared(self, processes: Processes, memory: dict[int, int], look: _Look, host: int) -> None:
        """Add shared memory without a name, which belongs to no single process, to the memory of one that holds it.
        `host` is all shared memory of the host in bytes; if it has not grown, and there was none before, do nothing."""
        if (
            not look.shared
            and not look.hidden
            and host < look.shared_at + min(_MEMORY_STEP, self._limits.memory // 8)
        ):
            return
        nameless = processes.nameless()
        before, look.shared = look.shared, 0
        # A mapping may be larger than its memory.
        for (device, _), (size, pid) in nameless.files.items():
            if device == self._shared_memory and pid in memory:
                memory[pid] += min(size, host)
                look.shared += min(size, host)
        in_flight, look.in_flight = look.in_flight, nameless.in_flight > 0
        if not look.in_flight:
            look.hidden = 0
        elif in_flight:
            look.hidden += grown(look.shared_at, host, look.shared - before)
        else:
            return  # most arrive in a moment; the next check shows
        look.shared_at = host

    async def _hold_disk(self, computer: Computer, look: _Look) -> None:
        try:
            with _trouble_of_one(computer):
                filled = self._filled()
                if self._is_to_be_measured(computer, filled):
                    await self._measure(computer, look, filled)
        finally:
            self._measuring.discard(computer)

    def _filled(self) -> int:
        disk = os.statvfs(self._store)
        return (disk.f_blocks - disk.f_bfree) * disk.f_frsize + (disk.f_files - disk.f_ffree) * FILE_BYTES

    def _is_to_be_measured(self, computer: Computer, filled: int) -> bool:
        if computer.measured_at is None:
            return True
        # While it writes, others may delete.
        computer.measured_at = min(computer.measured_at, filled)
        if filled >= computer.measured_at + max(_MEASURE_BYTES, self._limits.disk // 64):
            return True
        cost = sum(other.measured_for for other in self._looks)
        if computer.size + computer.hidden > self._limits.disk:
            pause = cost / _SHARE_IN_NEED
        else:
            pause = max(_MEASURE_SECONDS, cost / _SHARE)
        return time.monotonic() > computer.measured + pause

    async def _measure(self, computer: Computer, look: _Look, filled: int) -> None:
        began = time.monotonic()
        sandbox = computer.sandbox
        generation = 0 if sandbox is None else sandbox.processes.generation
        await computer.measure()
        computer.measured, computer.measured_for = began, time.monotonic() - began
        if computer.in_flight:
            await asyncio.sleep(_FLIGHT_SECONDS)
            await computer.measure()
        if not computer.in_flight:
            computer.hidden, look.hiding = 0, None
        elif look.hiding is None:
            look.hiding = _Hiding(began, self._filled(), {each: each.size for each in self._looks})
        else:
            computer.hidden = self._hidden(computer, look.hiding, filled)
            if computer.hidden and computer.size + computer.hidden > self._limits.disk:
                # Writes of others since they were measured must not count against this one.
                for other in self._used_since(look.hiding) - {computer}:
                    with contextlib.suppress(OSError):  # it is just ending
                        await other.measure()
                computer.hidden = self._hidden(computer, look.hiding, min(filled, self._filled()))
        computer.measured_at = filled
        if computer.sandbox is sandbox:
            await self._judge(computer, generation)

    async def _judge(self, computer: Computer, generation: int) -> None:
        """Kill the processes that existed when a measurement began that found too much on the disk. These bytes do not
        count against later processes, which may be there to make room."""
        size = computer.size + computer.hidden
        if size <= self._limits.disk:
            computer.tolerated, computer.escaped = 0, False
        elif size <= computer.tolerated:
            computer.tolerated = min(computer.tolerated, size + _AFTERWARDS)
        else:
            why = f"the computer wrote more than its {self._limits.disk} bytes of disk"
            killed = await computer.kill_all(generation, Reason.DISK_FULL, why)
            if computer.escaped and not killed:
                killed = await computer.kill_all(ALL, Reason.DISK_FULL, why)
            computer.escaped = not killed
            if killed:
                await computer.measure()
            computer.tolerated = computer.size + computer.hidden + _AFTERWARDS

    def _used_since(self, hiding: _Hiding) -> set[Computer]:
        return {
            each
            for each in self._computers()
            if each.running or each in hiding.sizes or each.used >= hiding.at
        }

    def _hidden(self, computer: Computer, hiding: _Hiding, filled: int) -> int:
        """Bytes by which the disk filled since then, and that no computer is known to have written."""
        others = {*hiding.sizes, *self._used_since(hiding)} - {computer}
        # Some may have removed files before, and were measured only since.
        theirs = sum(max(0, other.size - hiding.sizes.get(other, 0)) for other in others)
        return max(0, filled - hiding.filled - (computer.size - hiding.sizes.get(computer, 0)) - theirs)
