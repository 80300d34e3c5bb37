"""keys: API keys of the deployment of this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import local, units
from .base import Command, Failure, Group, as_json, iso, show_json, show_table, show_time
from .serve import state_option

if TYPE_CHECKING:
    from arker.local.service.keys import Keys


@click.group(cls=Group)
def keys() -> None:
    """Create, list and revoke API keys.

    They are those of the deployment on this machine. Changes take effect at once, also while it runs.
    """


@keys.command("create", cls=Command)
@state_option
@click.option("--name", default="", help="A note for the list: who uses it, or where.")
@click.option("--org", help="The organization of the key, created if it does not exist.  [default: Local]")
@click.option(
    "--expires", metavar="TIME", help="How long the key is valid, such as 12h or 30d.  [default: forever]"
)
@click.option(
    "--vm",
    "vms",
    metavar="VM",
    multiple=True,
    help="Limit the key to this computer of the organization; may be repeated. Such a key cannot fork or manage keys.",
)
@as_json
def create(
    state: Path | None, name: str, org: str | None, expires: str | None, vms: tuple[str, ...], as_json: bool
) -> None:
    """Create a key and print it; it is not shown again."""
    from arker.local.service.keys import generate

    try:
        expires_in = None if expires is None else units.seconds(expires)
    except ValueError as error:
        raise click.BadParameter(f"{expires!r}: {error}", param_hint="--expires") from None
    key = generate()
    with open_state(state) as store:
        try:
            key_id = store.register(key, name=name, org=org, expires_in=expires_in, vms=vms)
        except ValueError as error:
            raise Failure(str(error)) from None
    if as_json:
        show_json({"key": key, "key_id": key_id})
        return
    click.echo(key)
    click.echo(f"Its id is {key_id}; to revoke it: arker keys revoke {key_id}", err=True)


@keys.command("list", cls=Command)
@state_option
@as_json
def list_keys(state: Path | None, as_json: bool) -> None:
    """List keys by id.

    Shows when each was used last, the computers that it is limited to, and the key that made it.
    """
    with open_state(state) as store:
        found = store.listed()
    if as_json:
        show_json(
            [
                {
                    "key_id": key.key_id,
                    "org_id": key.org_id,
                    "org_name": key.org_name,
                    "name": key.name,
                    "created_at": iso(_time(key.created_ms)),
                    "last_used_at": iso(_time(key.last_used_ms)),
                    "revoked_at": iso(_time(key.revoked_ms)),
                    "expires_at": iso(_time(key.expires_ms)),
                    "vm_ids": key.vm_ids,
                    "made_by": key.maker,
                }
                for key in found
            ]
        )
        return
    show_table(
        ["id", "organization", "name", "created", "last used", "revoked", "expires", "computers", "made by"],
        [
            (
                key.key_id,
                key.org_name,
                key.name,
                *(
                    show_time(_time(ms))
                    for ms in (key.created_ms, key.last_used_ms, key.revoked_ms, key.expires_ms)
                ),
                "all" if key.vm_ids is None else " ".join(key.vm_ids),
                key.maker or "",
            )
            for key in found
        ],
    )


@keys.command("revoke", cls=Command)
@state_option
@click.argument("key_id")
@click.option(
    "-r",
    "--recursive",
    is_flag=True,
    help="Also revoke the keys that were made with it, and those made with these.",
)
@as_json
def revoke(state: Path | None, key_id: str, recursive: bool, as_json: bool) -> None:
    """Revoke a key; it is refused at once."""
    with open_state(state) as store:
        revoked = store.revoke(key_id, recursive=recursive)
    if not revoked:
        raise Failure(f"there is no valid key with the id {key_id}; see `arker keys list`", code="not_found")
    if as_json:
        show_json({"revoked": revoked})
    else:
        for one in revoked:
            click.echo(f"revoked {one}")


@contextlib.contextmanager
def open_state(state: Path | None) -> Iterator[Keys]:
    """The keys of a state folder, whether or not a deployment serves it."""
    from arker.local.service.keys import open_keys

    with state_errors(state) as folder, open_keys(folder) as keys:
        yield keys


@contextlib.contextmanager
def state_errors(state: Path | None) -> Iterator[Path]:
    """The state folder, made if missing. That it cannot be used is a `Failure`."""
    from arker.local.service.keys import StateError

    folder = local.state_folder(state)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield folder
    except StateError as error:
        raise Failure(str(error), code="unavailable") from None


def _time(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms // 1000, UTC)
