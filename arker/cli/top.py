"""top: what computers use, live."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import click

from .base import Command, as_json, printable, show_json
from .deployments import connected

if TYPE_CHECKING:
    from arker import Arker, ComputerUsage

#: Seconds between the two readings of `--once`.
_ONCE: Final = 0.5
_UNITS: Final = ("B", "K", "M", "G", "T")
#: Columns of everything but the name.
_BESIDE_NAME: Final = 40
#: Goes to the upper left corner and clears the rest; the other screen, and back.
_HOME, _CLEAR_LINE, _CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


class Row:
    """A computer in the table; `cpu` is how many processors it has used between two readings, in percent of one."""

    def __init__(self, usage: ComputerUsage, cpu: float) -> None:
        self.usage = usage
        self.cpu = cpu

    @property
    def name(self) -> str:
        """The name, or the id."""
        return self.usage.name or self.usage.vm_id


_ORDERS: Final[dict[str, Callable[[Row], tuple[object, ...]]]] = {
    "cpu": lambda row: (-row.cpu, -row.usage.memory, row.name),
    "memory": lambda row: (-row.usage.memory, row.name),
    "disk": lambda row: (-(row.usage.disk or 0), row.name),
    "name": lambda row: (row.name,),
}


@click.command(cls=Command)
@click.option("--once", is_flag=True, help="Print the table once, from two readings half a second apart.")
@click.option(
    "--sort",
    type=click.Choice(sorted(_ORDERS)),
    default="cpu",
    show_default=True,
    help="The column to sort by.",
)
@click.option("--all", "-a", "every", is_flag=True, help="Show computers at rest, too.")
@click.option(
    "--interval", "-i", type=click.FloatRange(0.2, 3600), default=2.0, show_default=True, metavar="SECONDS",
    help="Time between two readings.",
)  # fmt: skip
@as_json
@connected
def top(client: Arker, once: bool, sort: str, every: bool, interval: float, as_json: bool) -> None:
    """Show what computers use: processors, memory, processes, disk.

    CPU is in percent of one processor. Disks are measured from time to time. Without a terminal, and with --json,
    the table is printed once.
    """
    readings = _Readings(client)
    if once or as_json or not sys.stdout.isatty():
        readings.read()
        time.sleep(_ONCE)
        rows = _selected(readings.read(), sort, every)
        if as_json:
            show_json([_fields(row) for row in rows])
        else:
            click.echo("\n".join(table(rows, 80)))
        return
    click.echo(_ENTER, nl=False)
    try:
        while True:
            screen = shutil.get_terminal_size()
            lines = table(_selected(readings.read(), sort, every), screen.columns)[: screen.lines - 1]
            click.echo(_HOME + "".join(f"{line}{_CLEAR_LINE}\n" for line in lines) + _CLEAR_REST, nl=False)
            sys.stdout.flush()
            time.sleep(interval)
    finally:
        click.echo(_LEAVE, nl=False)


class _Readings:
    """Turns successive readings of used time into load."""

    def __init__(self, client: Arker) -> None:
        self._client = client
        self._before: dict[str, float] = {}
        self._at = 0.0

    def read(self) -> list[Row]:
        """The computers now; the first reading knows no load."""
        found, now = self._client.usage(), time.monotonic()
        passed = now - self._at
        rows = [
            Row(
                usage,
                max(0.0, usage.cpu_seconds - self._before.get(usage.vm_id, usage.cpu_seconds)) / passed * 100,
            )
            for usage in found
        ]
        self._before, self._at = {usage.vm_id: usage.cpu_seconds for usage in found}, now
        return rows


def _selected(rows: Sequence[Row], sort: str, every: bool) -> list[Row]:
    return sorted((row for row in rows if every or row.usage.state == "running"), key=_ORDERS[sort])


def table(rows: Sequence[Row], columns: int) -> list[str]:
    """The lines of the table: of all columns but that of names, the width is the same."""
    room = max(8, columns - _BESIDE_NAME)
    lines = [f"{'NAME':<{room}}  {'STATE':<7}  {'CPU%':>6}  {'MEMORY':>6}  {'PROCS':>5}  {'DISK':>6}"]
    for row in rows:
        usage, name = row.usage, printable(row.name)
        if len(name) > room:
            name = f"{name[: room - 1]}\N{HORIZONTAL ELLIPSIS}"
        memory, disk = size(usage.memory), "" if usage.disk is None else size(usage.disk)
        numbers = f"{row.cpu:>6.1f}  {memory:>6}  {usage.processes:>5}  {disk:>6}"
        lines.append(f"{name:<{room}}  {usage.state:<7}  {numbers}")
    return lines


def size(count: int) -> str:
    """A number of bytes in at most five characters."""
    value, unit = float(count), _UNITS[0]
    for larger in _UNITS[1:]:
        if value < 999.5:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f}{unit}" if unit == "B" or value >= 99.5 else f"{value:.1f}{unit}"


def _fields(row: Row) -> dict[str, object]:
    usage = row.usage
    return {
        "vm_id": usage.vm_id,
        "name": usage.name,
        "state": usage.state,
        "cpu_percent": round(row.cpu, 1),
        "memory_bytes": usage.memory,
        "processes": usage.processes,
        "disk_bytes": usage.disk,
    }
