"""The commands that run and look after a deployment: serve, keys, images, doctor. `arker` has them among its
own."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import sqlite3

    from .server import Ready

_state = click.option(
    "--state", envvar="ARKER_STATE", type=click.Path(path_type=Path, file_okay=False), default=None,
    help="Folder for everything that lasts.  [default: ~/.local/state/arker; for root /var/lib/arker]",
)  # fmt: skip


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8720, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 for any free one."
)
@_state
@click.option(
    "--api-key",
    envvar="ARKER_API_KEY",
    help="A key to make valid. Others see arguments: better use ARKER_API_KEY.",
)
@click.option(
    "--api-key-file", type=click.File(), help="A file with a key to make valid; - for standard input."
)
@click.option(
    "--public-url", help="Where clients reach this, if not where they say they do (behind a proxy with TLS)."
)
@click.option("--network", is_flag=True, help="Let computers reach the network.")
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a limit of computers; see `arker doctor`.",
)
@click.option(
    "--rate-limit", default=0.0, help="Requests a second that an organization may make; 0 for no limit."
)
@click.option("--max-vms", default=0, help="Computers that an organization may have; 0 for no limit.")
@click.option(
    "--grace", default=10.0, show_default=True, help="Seconds that a stop waits for requests under way."
)
@click.option(
    "--log-level", default="info", show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="What to log; info has a line for every request.",
)  # fmt: skip
def serve(api_key_file: Any, limits: tuple[str, ...], state: Path | None, **options: Any) -> None:
    """Serve both APIs on this machine, with real computers in sandboxes.

    Prints the lines to export for clients. Stops on Ctrl-C when the requests under way are answered; a second
    one stops it at once.
    """
    from pydantic import ValidationError

    from .database import StateError
    from .engine import SandboxUnavailable
    from .server import configure_logging
    from .server import serve as run
    from .settings import Settings, explain

    if api_key_file is not None:
        options["api_key"] = api_key_file.read().strip()
    if state is not None:
        options["state"] = state
    try:
        settings = Settings(limits=dict(_pair(text) for text in limits), **options)
    except ValidationError as error:
        raise click.UsageError(explain(error)) from None
    configure_logging(settings.log_level)
    try:
        run(settings, on_ready=lambda ready: _announce(ready, given=settings.api_key is not None))
    except (StateError, SandboxUnavailable, OSError) as error:
        raise click.ClickException(str(error)) from None


def _announce(ready: Ready, *, given: bool) -> None:
    click.echo(f"Arker serves at {ready.url} (state: {ready.state}, pid {os.getpid()})\n")
    click.echo(f"export ARKER_BASE_URL={ready.url}\nexport ARKER_GLOBAL_URL={ready.url}")
    if ready.new_key is not None:
        click.echo(f"export ARKER_API_KEY={ready.new_key}   # shown this once\n")
    else:
        known = (
            "the key that you gave" if given else "a key that you have; or make one with `arker keys create`"
        )
        click.echo(f"export ARKER_API_KEY=...   # {known}\n")
    sys.stdout.flush()


def _pair(text: str) -> tuple[str, float]:
    name, found, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        expected = "a number" if found else "NAME=VALUE"
        raise click.BadParameter(f"{text!r}: expected {expected}", param_hint="--limit") from None


@click.group()
def keys() -> None:
    """API keys of the deployment on this machine. Changes hold at once, also while it runs."""


@keys.command("create")
@_state
@click.option("--name", default="", help="What it is for.")
@click.option(
    "--org", default=None, help="The organization that it belongs to; made if missing.  [default: Local]"
)
def create_key(state: Path | None, name: str, org: str | None) -> None:
    """Make a key and print it; it is not shown again."""
    from . import keys as store

    key = store.generate()
    with _database(state) as connection:
        try:
            key_id = store.register(connection, key, name=name, org=org)
        except ValueError as error:
            raise click.ClickException(str(error)) from None
    click.echo(key)
    click.echo(f"Its id is {key_id}; to revoke it: arker keys revoke {key_id}", err=True)


@keys.command("list")
@_state
def list_keys(state: Path | None) -> None:
    """List all keys, with what is known of them; the keys themselves are not kept."""
    from . import keys as store

    with _database(state) as connection:
        rows = store.listed(connection)
    for key in rows:
        status = (
            f"revoked {_day(key.revoked_ms)}" if key.revoked_ms else f"last used {_day(key.last_used_ms)}"
        )
        click.echo(
            f"{key.key_id}  {key.org_name}  created {_day(key.created_ms)}  {status}  {key.name}".rstrip()
        )


@keys.command("revoke")
@_state
@click.argument("key_id")
def revoke_key(state: Path | None, key_id: str) -> None:
    """Make a key invalid for good, at once."""
    from . import keys as store

    with _database(state) as connection:
        if not store.revoke(connection, key_id):
            raise click.ClickException(f"there is no valid key with the id {key_id}; see `arker keys list`")
    click.echo(f"revoked {key_id}")


@contextlib.contextmanager
def _database(state: Path | None) -> Iterator[sqlite3.Connection]:
    from .database import StateError, open_database
    from .settings import default_state

    folder = state or default_state()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        connection = open_database(folder / "arker.db")
    except (OSError, StateError) as error:
        raise click.ClickException(str(error)) from None
    with contextlib.closing(connection):
        yield connection


def _day(ms: int | None) -> str:
    return "never" if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
