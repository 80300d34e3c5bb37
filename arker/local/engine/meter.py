"""The CPU time, the memory and the writes to disk of commands.

Where the sandbox has a cgroup, the kernel's own count is exact as long as a command has the sandbox to itself.
Elsewhere the time is that of the shell and of what it waited for, with samples of the rest. So are writes everywhere,
as a cgroup counts them only when the cache of files is written, long after the command. Memory is always sampled.
Reading any of these takes a good part of the time of a short command, so short commands are not measured: the shell is
first read a moment after the beginning, and the count of an idle sandbox when no command waits for it.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterable, Mapping

from arker.local.engine.cgroups import Group
from arker.local.engine.processes import Process, Processes
from arker.local.engine.protocol import Usage

#: Seconds after which a command is measured, and of idleness after which the count of a sandbox is read.
_MOMENT = 0.02
_NOT_MEASURED = Usage()


@dataclasses.dataclass(slots=True, eq=False)
class Measure:
    """The usage of one command, as far as it is known while it runs."""

    shell: int
    #: When the measurement starts, by the clock of the loop; None once it has.
    due: float | None = None
    #: CPU seconds of the shell and the children that it waited for by then; None for a short command.
    shell_before: float | None = None
    #: Bytes that the shell and those children had written; None where the kernel does not count them.
    written_before: int | None = None
    #: CPU seconds of the sandbox at the beginning; None when other commands contribute.
    group_before: float | None = None
    mark: int = 0
    cpu_seconds: float | None = None
    bytes_written: int | None = None
    peak_memory: int | None = None
    #: Samples that found processes of the command.
    samples: int = 0

    def sample(
        self,
        processes: Iterable[tuple[Process, int | None]],
        memory: Mapping[int, int],
        written: Callable[[int], int | None],
    ) -> None:
        """Take in what the processes of a sandbox, each with its mark, have used; `written` tells the bytes that one
        has written."""
        cpu, wrote, held, found = 0.0, 0, 0, False
        for process, mark in processes:
            if process.pid == self.shell:
                cpu += 0.0 if self.shell_before is None else process.cpu_seconds - self.shell_before
                if self.written_before is not None:
                    wrote += (written(process.pid) or 0) - self.written_before
            elif self.mark and mark == self.mark:
                cpu += process.cpu_seconds
                wrote += written(process.pid) or 0
                held += memory.get(process.pid, 0)
                found = True
        self.cpu_seconds = max(self.cpu_seconds or 0.0, cpu)
        if self.written_before is not None:
            self.bytes_written = max(self.bytes_written or 0, wrote)
        if found:
            self.peak_memory = max(self.peak_memory or 0, held)
            self.samples += 1


class Meter:
    """Measures the commands of one sandbox. `shells` returns how many shells it has."""

    def __init__(self, processes: Processes, group: Group | None, shells: Callable[[], int]) -> None:
        self._processes = processes
        self._group = group
        self._shells = shells
        self._loop = asyncio.get_running_loop()
        #: The measures of running commands.
        self.open: list[Measure] = []
        #: CPU seconds of the sandbox, while nothing but idle shells is left; and when they are to be read.
        self._quiet: float | None = None
        self._due: float | None = None
        #: Runs on when a short command ends, for the next one: timers for each would cost more than the rest.
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, shell: int) -> Measure:
        """Measure a command that is about to be given to a shell."""
        for other in self.open:
            other.group_before = None
        measure = Measure(shell, self._in_a_moment(), group_before=self._quiet)
        self._quiet = self._due = None
        self.open.append(measure)
        return measure

    def _in_a_moment(self) -> float:
        due = self._loop.time() + _MOMENT
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._on_time)
        return due

    def _on_time(self) -> None:
        """Do what is due."""
        now = self._loop.time()
        for measure in self.open:
            if measure.due is not None and measure.due <= now:
                measure.due = None
                measure.shell_before = self._processes.spent(measure.shell)
                measure.written_before = self._processes.written(measure.shell)
        if self._due is not None and self._due <= now:
            self._look()
        later = [due for due in (self._due, *(measure.due for measure in self.open)) if due is not None]
        self._timer = self._loop.call_at(min(later), self._on_time) if later else None

    def end(self, measure: Measure) -> Usage:
        """Return the usage of a command that is over."""
        self.open.remove(measure)
        if not self.open and self._group is not None:
            self._due = self._in_a_moment()
        if measure.shell_before is None:
            return _NOT_MEASURED
        # A single sample may be that of a program that has just started.
        peak = measure.peak_memory if measure.samples > 1 else None
        wrote = measure.bytes_written
        if (
            measure.written_before is not None
            and (count := self._processes.written(measure.shell)) is not None
        ):
            wrote = max(wrote or 0, count - measure.written_before)
        if measure.group_before is not None:
            self._look()
            if self._quiet is not None:
                return Usage(self._quiet - measure.group_before, peak, wrote, exact=True)
        cpu = measure.cpu_seconds
        if (now := self._processes.spent(measure.shell)) is not None:
            cpu = max(cpu or 0.0, now - measure.shell_before)
        return Usage(cpu, peak, wrote)

    def _look(self) -> None:
        """Read the count of the sandbox if nothing but idle shells is left; each has a process above it."""
        self._quiet = self._due = None
        if self._group is not None and self._processes.count() == 2 * self._shells():
            self._quiet = self._group.cpu_seconds
