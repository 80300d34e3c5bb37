"""doctor: whether this machine can run computers, and how to fix it if not."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import local, units
from .base import Command, Failure, as_json, printable, show_json
from .serve import check_installed, state_option

if TYPE_CHECKING:
    from arker.local.engine import Check


@click.command(cls=Command)
@state_option
@as_json
def doctor(state: Path | None, as_json: bool) -> None:
    """Check whether this machine can run computers.

    Checks what sandboxes need, then starts a deployment with a temporary state folder and runs a command in a
    computer there. Says how to fix what does not work.
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
            mend = f"; {check.mend}" if check.mend and not check.ok else ""
            click.echo(
                f"{click.style(f'{mark:8}', fg=colour)}{check.name:11}{printable(check.detail + mend)}"
            )
    limits = _limits(folder if running else None)
    held_by = _held_by()
    if as_json:
        url = running.url if running else None
        show_json(
            {
                "checks": [check._asdict() for check in checks],
                "state": str(folder),
                "running": url,
                "limits": limits,
                "held_by": held_by,
            }
        )
    else:
        click.echo(f"\ndeployment: {running.url if running else 'not running'} (state: {folder})")
        of = "limits of the deployment" if running else "default limits"
        click.echo(f"{of}: {' '.join(f'{name}={units.show(name, value)}' for name, value in limits.items())}")
        click.echo("\nheld by:")
        for what, how in held_by.items():
            click.echo(f"  {what:33}{how}")
    if not all(check.ok for check in checks if check.needed):
        raise Failure(
            "this machine cannot run computers yet; the failed checks say what to fix", code="unavailable"
        )


def _checks(state: Path) -> Iterator[Check]:
    from arker.local.engine import Check, diagnose

    try:
        check_installed()
    except Failure as error:
        yield Check("installed", False, error.message)
        return
    yield Check("installed", True, "the packages of arker[local]")
    yield from diagnose(state)
    yield _try_a_computer()


def _try_a_computer() -> Check:
    from arker import Arker
    from arker.errors import ArkerError
    from arker.local.engine import Check

    try:
        with Arker.local() as arker:
            began = time.perf_counter()
            with arker.vm("arkuntu").fork() as computer:
                computer.run("true", timeout=60).check()
                took = time.perf_counter() - began
    except ArkerError as error:
        return Check("computers", False, error.message)
    return Check("computers", True, f"one was forked and ran a command in {took * 1000:.0f} ms")


def _held_by() -> dict[str, str]:
    from arker.local.engine import expected_cgroups, means

    return means(expected_cgroups())


def _limits(state: Path | None) -> dict[str, float]:
    """The limits of the deployment that serves a state folder, which it wrote down there, or else the default ones."""
    from arker.local.engine import Limits
    from arker.local.process.folder import holder

    found = None if state is None else holder(state)
    return dataclasses.asdict(Limits()) | (found.options.get("limits", {}) if found else {})
