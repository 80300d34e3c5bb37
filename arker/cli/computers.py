"""fork, ls, rename, stop, rm, whoami."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

import click

from . import names
from .base import (
    Command,
    Failure,
    as_json,
    failure_of,
    iso,
    printable,
    report,
    show_json,
    show_table,
    show_time,
    warn,
)
from .deployments import connected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arker import Arker

    from .tree import Vm


@click.command(cls=Command)
@click.argument("source", metavar="[IMAGE|VM]", default="arkuntu", shell_complete=names.complete_source)
@click.option("--name", callback=names.check_new, help="The name of the new computer.")
@click.option(
    "--public", is_flag=True, help="Let other organizations fork it; they cannot run in, read or delete it."
)
@click.option("--region", help="The region to make it in.  [default: the parent's]")
@as_json
@connected
def fork(
    client: Arker, source: str, name: str | None, public: bool, region: str | None, as_json: bool
) -> None:
    """Make a computer from an image or from another computer.

    The new computer has the files and the idle shells of its parent; from then on, neither sees what the other
    does. Without an argument, it is made from the base image arkuntu. Prints the id.
    """
    from arker.errors import ArkerError
    from arker.ids import is_vm_id

    try:
        child = names.source(client, source).fork(name=name, is_public=public, region=region)
    except ArkerError as error:
        if error.code == "not_found" and not is_vm_id(source):
            raise names.no_source(client, source) from error
        raise
    if name is not None:
        _warn_of_namesakes(client, name)
    if as_json:
        show_json({"vm_id": child.id, "name": name})
    else:
        click.echo(child.id)


def _warn_of_namesakes(client: Arker, name: str) -> None:
    from arker.errors import ArkerError

    # The fork is made; a list that fails does not change that.
    with contextlib.suppress(ArkerError):
        same = sum(vm.name == name for vm in client.iter_vms(q=name))
        if same > 1:
            warn(f"{same} computers are named {name!r} now; commands need an id to tell them apart")


@click.command(cls=Command)
@click.argument("text", required=False)
@click.option("--tree", is_flag=True, help="Show which computer was forked from which.")
@click.option("-r", "--recursive", is_flag=True, help="List the files of the folders below, too.")
@click.option("-q", "--quiet", is_flag=True, help="Print only ids, or names of files.")
@as_json
@connected
def ls(client: Arker, text: str | None, tree: bool, recursive: bool, quiet: bool, as_json: bool) -> None:
    """List computers, or the files of a folder: arker ls VM:src

    Lists computers newest first; with TEXT, those whose name contains it. With VM:PATH, lists the files of that folder.
    """
    if quiet and (tree or as_json):
        raise click.UsageError("--quiet prints ids only: leave out --tree and --json")
    if text is not None and ":" in text:
        from .files import list_files

        list_files(client, text, recursive=recursive, quiet=quiet, as_json=as_json)
        return
    if recursive:
        raise click.UsageError("--recursive is for the files of a computer: VM:PATH")
    if tree:
        _show_tree(client, text, as_json=as_json)
        return
    vms = client.iter_vms(q=text)
    if as_json:
        show_json(
            [
                {
                    "vm_id": vm.vm_id,
                    "name": vm.name,
                    "base_image": vm.base_image,
                    "region": vm.region,
                    "created_at": iso(vm.created_at),
                }
                for vm in vms
            ]
        )
    elif quiet:
        for vm in vms:
            click.echo(vm.vm_id)
    else:
        show_table(
            ["id", "name", "image", "region", "created"],
            [(vm.vm_id, vm.name or "", vm.base_image, vm.region, show_time(vm.created_at)) for vm in vms],
            shorten="name",
        )


def _show_tree(client: Arker, text: str | None, *, as_json: bool) -> None:
    from .tree import forest, lines, to_json

    trees = forest(_with_parents(client, text))
    if as_json:
        show_json(to_json(trees))
        return
    for indent, node in lines(trees):
        vm_id = click.style(f"  {node.vm.vm_id}", dim=True) if node.vm and node.vm.name else ""
        click.echo(f"{click.style(indent, dim=True)}{printable(node.label)}{vm_id}")


def _with_parents(client: Arker, text: str | None) -> Iterator[Vm]:
    """All computers, oldest first, each with the id of its parent, which only the low-level call returns."""
    from arker_api.control.api.computers import list_vms
    from arker_api.control.models import VmSort
    from arker_api.control.types import UNSET

    from arker.errors import NotFoundError

    from .tree import Vm

    sort: VmSort = "created_at"
    offset, total = 0, 1
    while offset < total:
        try:
            page = client.call(list_vms, limit=100, offset=offset, q=text or UNSET, sort=sort)
        except NotFoundError:
            # Contract 0.3 has the parent of one computer at a time, if at all.
            for vm in client.iter_vms(q=text, sort=sort):
                info = client.vm(vm).info()
                yield Vm(vm.vm_id, vm.name, vm.base_image, info.parent_id)
            return
        for item in page.items:
            yield Vm(item.vm_id, item.name or None, item.base_image or "", item.parent_vm_id or None)
        offset, total = offset + max(1, len(page.items)), page.total


@click.command(cls=Command)
@click.argument("vm", shell_complete=names.complete)
@click.argument("name", callback=names.check_new)
@connected
def rename(client: Arker, vm: str, name: str) -> None:
    """Change the name of a computer: arker rename VM NAME"""
    names.computer(client, vm).rename(name)


@click.command(cls=Command)
@click.argument("vms", metavar="VM...", nargs=-1, required=True, shell_complete=names.complete)
@connected
def stop(client: Arker, vms: tuple[str, ...]) -> None:
    """Stop computers: end everything that runs in them.

    Their files and idle sessions stay; the next use starts them again.
    """
    for vm in vms:
        names.computer(client, vm).stop()


@click.command(cls=Command)
@click.argument("vms", metavar="VM...", nargs=-1, required=True, shell_complete=names.complete)
@click.option("--force", "-f", is_flag=True, help="Ignore computers that do not exist.")
@as_json
@connected
def rm(client: Arker, vms: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Delete computers.

    Ends everything that runs in them and removes their files. Computers that were forked from them stay.
    """
    from arker.errors import ArkerError

    deleted: list[str] = []
    failures: list[Failure] = []
    for vm in vms:
        try:
            computer = names.computer(client, vm)
            computer.delete()
            deleted.append(computer.id)
        except (ArkerError, Failure) as error:
            if not (force and error.code == "not_found"):
                failures.append(failure_of(error) if isinstance(error, ArkerError) else error)
    if as_json:
        show_json({"deleted": deleted})
    else:
        for vm_id in deleted:
            click.echo(vm_id)
    for failure in failures[:-1]:
        failure.as_json = as_json
        report(failure)
    if failures:
        raise failures[-1]


@click.command(cls=Command)
@as_json
@connected
def whoami(client: Arker, as_json: bool) -> None:
    """Show the organization of the key in use, and the deployment."""
    from arker_api.control.api.service import whoami as operation

    who = client.call(operation)
    config = client._pipeline.config
    fields: dict[str, Any] = {
        "org_id": who.org_id,
        "org_name": who.org_name or None,
        "base_url": str(config.regional),
        "global_url": str(config.control),
    }
    if as_json:
        show_json(fields)
        return
    for name, value in fields.items():
        click.echo(
            f"{name}\t{printable(str(value or ''))}"
            if not sys.stdout.isatty()
            else f"{name:11} {printable(str(value or ''))}"
        )
