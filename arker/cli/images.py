"""images: what computers are forked from, on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from .base import Command, as_json, show_json, show_table
from .keys import open_state
from .serve import state_option


@click.group()
def images() -> None:
    """Base images of this machine's deployment."""


@images.command("list", cls=Command)
@state_option
@as_json
def list_images(state: Path | None, as_json: bool) -> None:
    """List the base images that computers can be forked from."""
    with open_state(state) as connection:
        rows = connection.execute("SELECT name, vm_id FROM vms WHERE kind = 'base' ORDER BY name").fetchall()
    if as_json:
        show_json([dict(row) for row in rows])
    else:
        show_table(["name", "id"], [(row["name"], row["vm_id"]) for row in rows])
