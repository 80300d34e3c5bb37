"""sessions: the persistent shells of a computer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import names
from .base import Command, as_json, show_json, show_table
from .deployments import connected

if TYPE_CHECKING:
    from arker import Arker


@click.command(cls=Command)
@click.argument("vm", shell_complete=names.complete)
@click.option(
    "--reset",
    metavar="NAME",
    help="End what runs in this session, and forget its folder, variables and functions.",
)
@click.option("--rm", metavar="NAME", help="End this session.")
@as_json
@connected
def sessions(client: Arker, vm: str, reset: str | None, rm: str | None, as_json: bool) -> None:
    """List the sessions of a computer, reset one, or end one.

    A session is a shell that keeps its folder, variables and functions; 0 is the one of `arker run`.
    """
    computer = names.computer(client, vm)
    if reset is not None:
        computer.get_session(reset).reset()
    if rm is not None:
        computer.get_session(rm).close()
    if reset is not None or rm is not None:
        return
    found = [session.info for session in computer.sessions()]
    if as_json:
        show_json([{"session_id": one.session_id, "state": one.state, "cwd": one.cwd} for one in found])
    else:
        show_table(["session", "state", "folder"], [(one.session_id, one.state, one.cwd) for one in found])
