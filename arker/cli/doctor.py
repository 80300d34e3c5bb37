"""doctor: whether this machine can serve, and what mends it if not."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from . import local
from .base import Command, Failure, as_json, printable, show_json
from .serve import check_installed, state_option

#: Programs of this machine that computers see, as its /usr is theirs; and what is amiss without them.
_PROGRAMS: Final = {
    "python3": "no Python in computers; install it on this machine",
    "git": "no git in computers; install it on this machine, if they are to have it",
    "node": "no Node in computers; install it on this machine, if they are to have it",
}
#: Free bytes of the state folder's disk below which its first files may not fit.
_LITTLE: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried: what came out and, if it is not `ok`, what mends it. One may do without what is
    not `needed`."""

    name: str
    ok: bool
    detail: str
    needed: bool = True


@click.command(cls=Command)
@state_option
@as_json
def doctor(state: Path | None, as_json: bool) -> None:
    """Check this machine: what is missing?

    Starts a deployment with a temporary state folder, and runs a command in a computer there; says how to
    mend what does not work.
    """
    folder = local.state_folder(state)
    running = local.running(folder)
    checks: list[Check] = []
    for check in _checks(folder):
        checks.append(check)
        if not as_json:
            mark, colour = (
                ("ok", "green") if check.ok else ("fails", "red") if check.needed else ("absent", "yellow")
            )
            click.echo(f"{click.style(f'{mark:8}', fg=colour)}{check.name:10}{printable(check.detail)}")
    limits = _limits()
    if as_json:
        url = running.url if running else None
        show_json(
            {
                "checks": list(map(dataclasses.asdict, checks)),
                "state": str(folder),
                "running": url,
                "limits": limits,
            }
        )
    else:
        click.echo(f"\ndeployment: {running.url if running else 'not running'} (state: {folder})")
        click.echo(f"limits: {' '.join(f'{name}={value:.15g}' for name, value in limits.items())}")
    if not all(check.ok for check in checks if check.needed):
        raise Failure("this machine cannot run computers as it is; mend what is missing", code="unavailable")


def _checks(state: Path) -> Iterator[Check]:
    try:
        check_installed()
    except Failure as error:
        yield Check("installed", False, error.message)
        return
    yield Check("installed", True, "all that the embedded deployment needs")
    yield from _try_a_computer()
    existing = next(path for path in (state, *state.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    yield Check("disk", free >= _LITTLE, f"{free / 2**30:.1f} GiB free at {existing}")


def _try_a_computer() -> Iterator[Check]:
    from arker import Arker
    from arker.errors import ArkerError

    try:
        with Arker.local() as arker, arker.vm("arkuntu").fork() as computer:
            result = computer.run(f"command -v {' '.join(_PROGRAMS)}; true", timeout=60).check()
    except ArkerError as error:
        yield Check("computers", False, error.message)
        return
    yield Check("computers", True, f"one was forked and ran a command in {result.duration_ms:.0f} ms")
    found = {Path(line).name: line for line in result.text.splitlines()}
    for name, lacking in _PROGRAMS.items():
        yield Check(name, name in found, found.get(name, lacking), needed=name == "python3")


def _limits() -> dict[str, float]:
    from arker.local.engine import Limits

    return dataclasses.asdict(Limits())
