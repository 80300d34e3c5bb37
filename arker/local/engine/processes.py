"""The processes of a sandbox: everything in its pid namespace, seen from outside through its own /proc.

The namespace defines the set, because no process can leave it. What a process can set itself (its name, its
environment, its session) is not used, nor is the state of its main thread, which may end before the others.

The processes of a command are identified by a mark: a resource limit without any effect on today's kernels, which is
inherited by children and which a guest can lower but never raise. Each command gets a mark lower than all before, so a
process has the mark of the command that started it, however often it forked, changed its session or lost its parents.
Marks are random, so that a guest that lowers its mark does not hit that of another command, unless it reads the mark of
a process that another command left behind: it then counts as started by that command.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import secrets
import signal
import stat
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor
from typing import NamedTuple, TypeVar

from arker.local.engine import small_files
from arker.local.engine.cgroups import Group
from arker.local.engine.protocol import ComputerBusy

_T = TypeVar("_T")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
#: Maximum bytes read from one file.
_MOST = 1 << 26
_FREEZE_SECONDS = 2.0
#: How long a thread may be in the kernel before it is looked at more closely.
_KERNEL_SECONDS = 0.1
#: States of a thread that does not run: stopped, traced, ended.
_STILL, _ENDED = "TtZX", "ZX"
#: The flag of a thread that ends.
_PF_EXITING = 0x4
#: The calls, by number of x86_64 and aarch64, in which a thread waits for a child that is about to execute a program.
_WAITS_FOR_CHILD = (b"56", b"58", b"220")
#: RLIMIT_LOCKS: kernels since 2.4.25 store it and do not use it.
_MARK = 10
_HIGHEST = 1 << 62
#: Maximum difference between two successive marks, and how many marks are remembered before unused ones are dropped.
_STEP = 1 << 40
_REMEMBERED = 4096

#: A generation that no process is newer than.
ALL = -1


class Process(NamedTuple):
    """A process of a sandbox, numbered as inside. `state` is that of its main thread; `started` counts clock ticks
    since boot, `cpu_seconds` is the CPU time of it and of the children that it waited for."""

    pid: int
    parent: int
    session: int
    state: str
    started: int
    threads: int
    cpu_seconds: float


def parse_stat(line: bytes) -> Process | None:
    """Parse `/proc/<pid>/stat`; return None if no thread of the process is left. Pure. Raises ValueError,
    IndexError."""
    # The name of the program is in parentheses and may hold anything, parentheses too.
    fields = line[line.rindex(b")") + 2 :].split()
    state, threads = fields[0].decode(), int(fields[17])
    # An ended main thread stays, and counts, until the last other one has ended.
    if state in _ENDED and threads <= 1:
        return None
    cpu_seconds = sum(map(int, fields[11:15])) / _TICKS
    return Process(
        int(line[: line.index(b" ")]),
        int(fields[1]),
        int(fields[3]),
        state,
        int(fields[19]),
        threads,
        cpu_seconds,
    )


def parents_first(processes: Collection[Process]) -> list[Process]:
    """Return processes in the order to signal them in, each before those that it started: a shell whose child ends
    first would go on with its next command. Pure."""
    started: dict[int, list[Process]] = {}
    for process in processes:
        started.setdefault(process.parent, []).append(process)
    numbers = {process.pid for process in processes}
    order = [process for process in processes if process.parent not in numbers]
    for process in order:
        order += started.pop(process.pid, ())
    # They are read one after the other: what was read may contradict itself.
    return order + [process for parent in started.keys() & numbers for process in started[parent]]


def mapped_without_name(maps: bytes) -> Iterator[tuple[tuple[int, int], int]]:
    """Files of a `/proc/<pid>/maps` that have no name: device and inode, and where the mapped part ends in the file.
    Pure."""
    for line in maps.splitlines():
        if line.endswith(b" (deleted)"):
            addresses, _, offset, device, inode, _ = line.split(None, 5)
            begin, end = (int(address, 16) for address in addresses.split(b"-"))
            major, minor = (int(part, 16) for part in device.split(b":"))
            yield (os.makedev(major, minor), int(inode)), int(offset, 16) + end - begin


class Nameless(NamedTuple):
    """Files that processes hold and that no folder names, by device and inode: the bytes that each takes, and the
    number of a process that holds it. Of one that is only mapped, all up to the last mapped byte counts.

    `in_flight` is the number of descriptors that were sent through sockets and are not received yet, and of processes
    that run a program which they may not read, as the kernel then shows their descriptors to nobody.
    """

    files: dict[tuple[int, int], tuple[int, int]]
    in_flight: int = 0

    def on(self, devices: Collection[int]) -> int:
        """Return the bytes of the files on some devices; pure."""
        return sum(size for (device, _), (size, _) in self.files.items() if device in devices)


class Processes:
    """The processes of one sandbox; `proc` is a descriptor of its /proc, `first` its process 1 as numbered outside,
    `group` the cgroup that it is in, if there is one."""

    def __init__(self, proc: int, first: int, group: Group | None = None) -> None:
        self._proc = proc
        self._group = group
        #: Threads that use the descriptor, which stays open for them.
        self._readers = 0
        self._ended = False
        self._first = first
        hard = resource.getrlimit(_MARK)[1]
        self._highest = self._lowest = _HIGHEST if hard == resource.RLIM_INFINITY else hard
        self._given: set[int] = set()
        #: The pids, as numbered outside, of marked processes.
        self._outside: dict[int, int] = {}

    def close(self) -> None:
        """Close the descriptor, once the sandbox has ended."""
        self._ended = True
        if self._proc >= 0 and not self._readers:
            os.close(self._proc)
            self._proc = -1

    async def aside(self, threads: Executor, read: Callable[[], _T]) -> _T:
        """Call `read`, which inspects all processes, in a thread."""
        self._readers += 1
        done = asyncio.get_running_loop().run_in_executor(threads, read)
        done.add_done_callback(self._was_read)
        return await asyncio.shield(done)

    def _was_read(self, _: object) -> None:
        self._readers -= 1
        if self._ended:
            self.close()

    def _open(self, name: str, flags: int = 0) -> int:
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC | flags, dir_fd=self._proc)

    def _read(self, name: str) -> bytes:
        """Return the content of a file that the kernel returns in one piece."""
        fd = self._open(name)
        try:
            return os.read(fd, 1 << 16)
        finally:
            os.close(fd)

    def _read_whole(self, name: str) -> bytes:
        data = bytearray()
        fd = self._open(name)
        try:
            while len(data) < _MOST and (part := os.read(fd, 1 << 16)):
                data += part
        finally:
            os.close(fd)
        return bytes(data)

    # Listing

    def alive(self, pid: int) -> bool:
        """Return whether a process exists."""
        if self._proc < 0:
            return False
        try:
            os.stat(str(pid), dir_fd=self._proc)
        except OSError:
            return False
        return True

    def all(self) -> list[Process]:
        """Return all processes with a live thread, except process 1."""
        found = []
        for name in self._numbers():
            process = self._process(name)
            if process is not None:
                found.append(process)
        return found

    def _process(self, name: str) -> Process | None:
        """Return a process with a live thread; None if it is gone."""
        try:
            return parse_stat(self._read(f"{name}/stat"))
        except (OSError, ValueError, IndexError):
            return None

    def count(self) -> int:
        """Return the number of processes except process 1, including zombies; fast."""
        return len(self._numbers())

    def _numbers(self) -> list[str]:
        if self._proc < 0:
            return []
        # The descriptor itself has one position, for all threads that list it.
        return [name for name in self._list(".") if name.isdigit() and name != "1"]

    def threads(self, process: Process) -> list[int]:
        """Return the live threads of a process."""
        if process.threads == 1:
            return [process.pid]
        return [tid for tid, state in self._states(process) if state not in _ENDED]

    def _states(self, process: Process) -> list[tuple[int, str]]:
        if process.threads == 1:
            return [(process.pid, process.state)]
        try:
            tids = self._list(f"{process.pid}/task")
        except OSError:
            return []
        states = []
        for tid in tids:
            with contextlib.suppress(OSError, ValueError, IndexError):
                line = self._read(f"{process.pid}/task/{tid}/stat")
                states.append((int(tid), line[line.rindex(b")") + 2 : line.rindex(b")") + 3].decode()))
        return states

    def memory(self) -> dict[int, int]:
        """Return the private memory of each process in bytes, except process 1."""
        return {int(name): self._own(name) or self._own_of_others(name) for name in self._numbers()}

    def _own_of_others(self, name: str) -> int:
        # A main thread that ended has given its view of the memory back; the others have it.
        process = self._process(name)
        if process is None or process.threads == 1:
            return 0
        return max((self._own(f"{name}/task/{tid}") for tid in self.threads(process)), default=0)

    def _own(self, folder: str) -> int:
        try:
            fields = self._read(f"{folder}/statm").split()
            return (int(fields[1]) - int(fields[2])) * _PAGE
        except (OSError, IndexError):
            return 0

    def descriptors(self) -> dict[int, int]:
        """Return the number of descriptors of each process, except process 1."""
        counts = {}
        for name in self._numbers():
            if (folder := self._descriptor_folder(name)) is not None:
                with contextlib.suppress(OSError):
                    # Since 6.2, the kernel returns it as the size of the folder.
                    counts[int(name)] = os.stat(folder, dir_fd=self._proc).st_size or len(self._list(folder))
        return counts

    def opened_by(self, pid: int) -> set[int]:
        """The numbers of the descriptors that a process holds."""
        try:
            return {int(name) for name in self._list(f"{pid}/fd")}
        except OSError:
            return set()

    def _descriptor_folder(self, name: str) -> str | None:
        """The folder of the descriptors of a process, that of another thread when the main one has ended."""
        process = self._process(name)
        if process is None:
            return None
        if process.state not in _ENDED:
            return f"{name}/fd"
        return next((f"{name}/task/{tid}/fd" for tid in self.threads(process)), None)

    def _list(self, folder: str) -> list[str]:
        fd = self._open(folder, os.O_DIRECTORY)
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)

    def epoll_watches(self, pid: int) -> int:
        """How many descriptors a process watches by epoll; the maximum possible if that cannot be read."""
        folder = self._descriptor_folder(str(pid))
        if folder is None:
            return 0
        found = 0
        try:
            names = self._list(folder)
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    if os.readlink(f"{folder}/{name}", dir_fd=self._proc) == "anon_inode:[eventpoll]":
                        found += self._read_whole(f"{folder}info/{name}").count(b"\ntfd:")
        except OSError:
            with contextlib.suppress(OSError):
                return (os.stat(folder, dir_fd=self._proc).st_size // 2) ** 2
        return found

    def sockets(self) -> int:
        """Return the number of sockets in the network namespace, also of those that no process holds by a descriptor
        (in flight, not accepted)."""
        try:
            words = self._read("1/net/sockstat").split(None, 3)
            return int(words[2])
        except (OSError, ValueError, IndexError):
            return 0

    def locks(self, most: int) -> int:
        """Return the number of locks on files, exact as far as it is not above `most`. For this the kernel lists the
        locks of the whole host, and no process gets a lock meanwhile."""
        listed = of_files = 0
        with contextlib.suppress(OSError):
            fd = self._open("locks")
            try:
                while listed - of_files <= most and (lines := os.read(fd, 1 << 16)):
                    listed += lines.count(b"\n")
                    # Locks of open files are listed in every namespace.
                    of_files += lines.count(b"OFDLCK")
            finally:
                os.close(fd)
        return max(listed - of_files, self.locks_of_descriptors()) if listed > most else listed

    def locks_of_descriptors(self) -> int:
        """Return the number of locks on files, but for those of programs that cannot be read."""
        found = 0
        for name in self._numbers():
            with contextlib.suppress(OSError):
                if (folder := self._descriptor_folder(name)) is not None:
                    for number in self._list(folder):
                        with contextlib.suppress(OSError):
                            found += self._read_whole(f"{folder}info/{number}").count(b"\nlock:")
        return found

    def parent(self, pid: int) -> int | None:
        """Return the parent of a process; None if it is gone."""
        process = self._process(str(pid))
        return None if process is None else process.parent

    def spent(self, pid: int) -> float | None:
        """CPU seconds of a process and of the children that it waited for; None if it is gone."""
        process = self._process(str(pid))
        return None if process is None else process.cpu_seconds

    def written(self, pid: int) -> int | None:
        """Bytes that a process, and the children that it waited for, wrote to disks or will when the cache of files is
        written; None if it is gone, or the kernel does not count them."""
        try:
            return int(self._read(f"{pid}/io").partition(b"\nwrite_bytes: ")[2].split(None, 1)[0])
        except (OSError, ValueError, IndexError):
            return None

    def waits_in(self, pid: int) -> bytes:
        """The system call that a process waits in: its number and arguments; empty when it runs or is gone."""
        try:
            return self._read(f"{pid}/syscall")
        except OSError:
            return b""

    def nameless(self) -> Nameless:
        """Return what processes hold that has no name."""
        found: dict[tuple[int, int], tuple[int, int]] = {}
        mapped: dict[tuple[int, int], tuple[int, int]] = {}
        sockets: dict[int, int] = {}
        closed = 0
        for name in self._numbers():
            if (folder := self._descriptor_folder(name)) is None:
                continue
            numbers: list[str] = []
            try:
                numbers = self._list(folder)
            except PermissionError:
                # Of our own processes above the shells, too, which no command started; and of one that ends, for as
                # long as the kernel takes its memory back.
                closed += self.mark_of(name) is not None and not self.ending(folder.removesuffix("/fd"))
            except OSError:
                continue
            for number in numbers:
                with contextlib.suppress(OSError):
                    info = os.stat(f"{folder}/{number}", dir_fd=self._proc)
                    if stat.S_ISREG(info.st_mode) and info.st_nlink == 0:
                        found[info.st_dev, info.st_ino] = info.st_blocks * 512, int(name)
                    elif stat.S_ISSOCK(info.st_mode) and info.st_ino not in sockets:
                        sockets[info.st_ino] = self._in_flight(f"{folder}info/{number}")
            with contextlib.suppress(OSError):
                for file, size in mapped_without_name(self._read_whole(folder.removesuffix("fd") + "maps")):
                    mapped[file] = max(mapped.get(file, (0, 0)), (size, int(name)))
        return Nameless(mapped | found, sum(sockets.values()) + closed)

    def ending(self, thread: str) -> bool:
        """Whether a thread, given by its folder, ends or is gone: it opens nothing any more, and closes all it has."""
        try:
            line = self._read(f"{thread}/stat")
            return bool(int(line[line.rindex(b")") + 2 :].split()[6]) & _PF_EXITING)
        except (OSError, ValueError, IndexError):
            return True

    def _in_flight(self, name: str) -> int:
        words = self._read(name).partition(b"scm_fds:")[2].split(None, 1)
        return int(words[0]) if words else 0

    # Ancestry

    def mark(self, pid: int) -> int:
        """Give a process a new mark, which its future children inherit; return 0 if that is impossible."""
        outside = self._outside.get(pid) or self._find_outside(pid)
        mark = self._lowest - 1 - secrets.randbelow(_STEP)
        if outside is None or mark <= 0:
            return 0
        try:
            resource.prlimit(outside, _MARK, (mark, mark))
        except (OSError, ValueError):
            self._outside.pop(pid, None)
            return 0
        self._lowest = mark
        if len(self._given) >= _REMEMBERED:
            self._given.intersection_update([self.mark_of(process.pid) or 0 for process in self.all()])
        self._given.add(mark)
        return mark

    def _find_outside(self, pid: int) -> int | None:
        wanted = str(pid)
        level = [str(self._first)]
        while level:
            below: list[str] = []
            for outside in level:
                with contextlib.suppress(OSError):
                    below += small_files.read(f"/proc/{outside}/task/{outside}/children").split()
            for outside in reversed(below):
                with contextlib.suppress(OSError):
                    status = small_files.read(f"/proc/{outside}/status")
                    numbers = status.partition("\nNSpid:")[2].partition("\n")[0].split()
                    if numbers and numbers[-1] == wanted:
                        self._outside[pid] = int(outside)
                        return int(outside)
            level = below
        return None

    def started_by(self, shell: int, mark: int) -> list[Process]:
        """Return what `shell` and its descendants have started since it got `mark`, without itself and its parent.

        A process that lowered its mark itself is among them, whatever command it is from. A shell that could not be
        marked, because a guest lowered its mark, may have had the same one for earlier commands; what those started is
        then among them. Where nothing can be marked, descent tells.
        """
        processes = self.all()
        spared = {shell, *(p.parent for p in processes if p.pid == shell)}
        family: set[int] = set()
        if not mark:
            family = {shell}
            while more := {p.pid for p in processes if p.parent in family} - family:
                family |= more
            mark = next((self.mark_of(p.pid) for p in processes if p.pid == shell), None) or 0
        others = self._given - {mark}
        return [
            p
            for p in processes
            if p.pid not in spared and (p.pid in family or self.mark_of(p.pid) not in (None, *others))
        ]

    def marks(self) -> set[int]:
        """The marks of all processes that have one."""
        return {mark for process in self.all() if (mark := self.mark_of(process.pid)) is not None}

    def with_marks(self) -> list[tuple[Process, int | None]]:
        """All processes, each with its mark."""
        return [(process, self.mark_of(process.pid)) for process in self.all()]

    def marked(self, marks: Collection[int]) -> list[Process]:
        """Return the processes started by the commands with these marks."""
        return [process for process in self.all() if self.mark_of(process.pid) in marks]

    def marks_of(self, pids: Collection[int]) -> set[int] | None:
        """The marks of the commands that started these processes; None if one of them lowered its mark itself."""
        marks = {mark for pid in pids if (mark := self.mark_of(pid)) is not None}
        return marks if marks <= self._given else None

    @property
    def generation(self) -> int:
        """The current generation, for `is_newer`."""
        return self._lowest

    def is_newer(self, pid: int, generation: int) -> bool:
        """Whether a process is of a command that began after a generation."""
        mark = self.mark_of(pid)
        return mark is not None and mark < generation and mark in self._given

    def mark_of(self, pid: int | str) -> int | None:
        """The mark of a process; None without, or when it is gone."""
        try:
            limits = self._read(f"{pid}/limits")
        except OSError:
            return None
        words = limits.partition(b"Max file locks")[2].split(None, 2)
        if len(words) < 2 or not words[1].isdigit() or int(words[1]) >= self._highest:
            return None
        return int(words[1])

    # Signals

    def send_to_new(self, found: Collection[Process], number: signal.Signals, sent: set[int]) -> bool:
        """Send a signal to processes that are not in `sent`, parents first, and add them to it; return whether there
        were any."""
        new = [process.pid for process in parents_first(found) if process.pid not in sent]
        for pid in new:
            self.send(pid, number)
        sent.update(new)
        return bool(new)

    def send(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to a process; ignored if it is gone."""
        if self._proc < 0:
            return
        try:
            # A folder of /proc stands for its process as a pidfd does, in a namespace whose numbers are not ours too.
            folder = self._open(str(pid), os.O_DIRECTORY)
        except OSError:
            return
        try:
            signal.pidfd_send_signal(folder, number)
        except OSError as error:
            if error.errno != errno.ESRCH:
                raise
        finally:
            os.close(folder)

    def awake(self, *, patient: bool = True) -> list[int]:
        """Processes of which a thread may still do something, process 1 left out. Unless `patient`, a thread that waits
        in the kernel until its child, which stands still, executes a program counts as still."""
        if self._group is not None and self._group.frozen:
            return []
        return [
            process.pid
            for process in self.all()
            if not all(
                state in _STILL or (state == "D" and not patient and self._waits_for_child(process, tid))
                for tid, state in self._states(process)
            )
        ]

    def _waits_for_child(self, process: Process, tid: int) -> bool:
        try:
            return self._read(f"{process.pid}/task/{tid}/syscall").split(b" ", 1)[0] in _WAITS_FOR_CHILD
        except OSError:
            return False

    async def freeze(self) -> set[int]:
        """Stop every thread of every process; return the pids that were running, for `thaw`. Raises ComputerBusy."""
        stopped: set[int] = set()
        if self._group is not None:
            await self._group.freeze()
            return stopped
        began = time.monotonic()
        still = 0
        try:
            # One look may miss what was started during it by a process that it saw stopped.
            while still < 2:
                now = time.monotonic()
                awake = self.awake(patient=now < began + _KERNEL_SECONDS)
                if not awake:
                    still += 1
                    continue
                still = 0
                if now > began + _FREEZE_SECONDS:
                    raise ComputerBusy("the processes of the computer did not stop for the fork; try again")
                stopped.update(awake)
                for pid in awake:
                    self.send(pid, signal.SIGSTOP)
                await asyncio.sleep(0.0005)
        except BaseException:
            self.thaw(stopped)
            raise
        return stopped

    def thaw(self, stopped: set[int]) -> None:
        """Resume stopped processes."""
        if self._group is not None:
            self._group.thaw()
        for pid in stopped:
            self.send(pid, signal.SIGCONT)
