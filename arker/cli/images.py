"""images: base images, and computers that are published as images."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import local, names
from .base import Command, Failure, Group, as_json, show_json, show_table
from .deployments import connected
from .keys import state_errors
from .serve import check_installed, state_option

if TYPE_CHECKING:
    from arker import Arker


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def images(context: click.Context) -> None:
    """List, build, publish and remove images. Without a command, lists them."""
    if context.invoked_subcommand is None:
        context.invoke(list_images, state=None, as_json=False)


@images.command("list", cls=Command)
@state_option
@as_json
def list_images(state: Path | None, as_json: bool) -> None:
    """List base images and published computers."""
    from arker.local.service.images import public

    with state_errors(state) as folder:
        rows = public(folder)
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        kind = "published" if row.kind == "computer" else "base"
        found[row.vm_id] = {"name": row.name, "vm_id": row.vm_id, "kind": kind, "suite": None}
    known = {image["name"]: image for image in found.values() if image["kind"] == "base"}
    for name, about in _built(local.state_folder(state)):
        # The deployment gives a new image its id when it is first used.
        image = known.get(name) or found.setdefault(name, {"name": name, "vm_id": None, "kind": "base"})
        image["suite"] = about.get("suite")
    if as_json:
        show_json(list(found.values()))
    else:
        show_table(
            ["name", "kind", "suite", "id"],
            [(i["name"], i["kind"], i["suite"] or "", i["vm_id"] or "") for i in found.values()],
        )


def _built(state: Path) -> list[tuple[str, dict[str, Any]]]:
    """The images that were built here, each with its notes."""
    with contextlib.suppress(OSError):
        return [
            (note.parent.name, json.loads(note.read_text())) for note in _folder(state).glob("*/image.json")
        ]
    return []


def _folder(state: Path) -> Path:
    return state / "engine" / "images"


@images.command("build", cls=Command)
@click.argument("name", default="debian")
@click.option("--suite", default="bookworm", show_default=True, help="The release of Debian.")
@click.option("--include", metavar="PACKAGES", default="", help="More packages, separated by commas.")
@click.option(
    "--mirror", metavar="URL", help="Where packages come from.  [default: http://deb.debian.org/debian]"
)
@state_option
@as_json
def build(name: str, suite: str, include: str, mirror: str | None, state: Path | None, as_json: bool) -> None:
    """Build a Debian image with a writable root.

    In its computers, `apt install` and `pip install` work, and what they install stays, also in forks. A build
    takes about half a minute and 200 MB. It needs apt on this machine, but neither root nor a stopped deployment.
    """
    check_installed()
    from arker.local.engine import EngineError, debian, drop_privileges

    words = include.replace(",", " ").split()
    folder = local.state_folder(state)
    place = _folder(folder)
    try:
        recipe = debian.Recipe(suite, tuple(words), mirror or debian.MIRROR)
        debian.check_name(place, name)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            drop_privileges(place, folder.stat().st_uid or None)
        debian.build(place, name, recipe, lambda doing: click.echo(doing, err=True))
    except EngineError as error:
        raise Failure(str(error), code="image") from None
    if as_json:
        show_json({"name": name, "suite": suite})
    else:
        click.echo(f"built {name}; fork it: arker fork {name}", err=True)


@images.command("publish", cls=Command)
@click.argument("vm", shell_complete=names.complete)
@click.argument("name", callback=names.check_new)
@as_json
@connected
def publish(client: Arker, vm: str, name: str, as_json: bool) -> None:
    """Publish a computer as an image that all organizations can fork.

    The image is a fork of VM as it is now; later changes to VM do not change it. Other organizations can fork it by
    NAME, but not run commands in it, read or delete it. `arker rm NAME` withdraws it; its forks stay.
    """
    taken = [found for found in client.iter_vms(q=name) if found.name == name]
    if taken:
        raise Failure(
            f"there is a computer named {name!r} already: {taken[0].vm_id}; choose another name, or remove it",
            code="conflict",
        )
    image = names.computer(client, vm).fork(name=name, is_public=True)
    if as_json:
        show_json({"vm_id": image.id, "name": name})
    else:
        click.echo(image.id)
        click.echo(f"published; fork it: arker fork {name}", err=True)


@images.command("rm", cls=Command)
@click.argument("name")
@state_option
@as_json
def remove(name: str, state: Path | None, as_json: bool) -> None:
    """Remove an image that was built here.

    Refused while computers exist that were forked from it, directly or through other forks: they use its files.
    The deployment may keep running. A published image is a computer; remove it with `arker rm`.
    """
    check_installed()
    from arker.local.engine import drop_privileges, images, trees
    from arker.local.service.images import ImageInUse, removing

    with state_errors(state) as folder:
        place = _folder(folder)
        if name not in images.built(place):
            raise Failure(
                f"no image {name!r} was built here; see `arker images list`, and for one that was published "
                f"`arker rm {name}`",
                code="not_found",
            )
        try:
            with removing(folder, name):
                if os.geteuid() == 0:
                    drop_privileges(place, folder.stat().st_uid or None)
                left = images.remove(place, name)
        except ImageInUse as error:
            ids = ", ".join(error.vm_ids[:5]) + (", ..." if len(error.vm_ids) > 5 else "")
            count = len(error.vm_ids)
            raise Failure(
                f"{count} computers were forked from {name}; delete them first: {ids}", code="conflict"
            ) from None
        except OSError as error:
            raise Failure(f"{name} cannot be removed: {error.strerror}") from None
    trees.remove_tree(left)
    if as_json:
        show_json({"removed": name})
    else:
        click.echo(f"removed {name}")
