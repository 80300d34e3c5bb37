"""doctor: whether this machine can serve, and what mends it if not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from . import local
from .base import Command, Failure, as_json, printable, show_json
from .serve import check_installed, state_option


@click.command(cls=Command)
@state_option
@as_json
def doctor(state: Path | None, as_json: bool) -> None:
    """Check this machine: what is missing?

    Tries whether computers can run here, and says how to mend what is wrong.
    """
    check_installed()
    from arker.local.engine import Limits, probe

    checks = probe()
    running = local.running(local.state_folder(state))
    limits = dataclasses.asdict(Limits())
    if as_json:
        show_json(
            {
                "checks": [dataclasses.asdict(check) for check in checks],
                "running": running.url if running else None,
                "state": str(local.state_folder(state)),
                "limits": limits,
            }
        )
    else:
        for check in checks:
            mark = click.style("ok     ", fg="green") if check.ok else click.style("missing", fg="red")
            click.echo(f"{mark}  {check.name}" + ("" if check.ok else f": {printable(check.wrong)}"))
            if not check.ok:
                click.echo(f"         {printable(check.mend)}")
        click.echo(
            f"\ndeployment: {running.url if running else 'not running'} (state: {local.state_folder(state)})"
        )
        click.echo(f"limits: {' '.join(f'{name}={value:g}' for name, value in limits.items())}")
    if not all(check.ok for check in checks):
        raise Failure("this machine cannot run computers yet; mend what is missing", code="unavailable")
