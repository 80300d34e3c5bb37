"""config: which deployment commands talk to."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from . import local, profiles
from .base import Command, Failure, Group, as_json, show_json, show_table
from .deployments import complete_profile, resolve
from .profiles import ENVIRONMENT, LOCAL, Profile


def _folder() -> Path:
    return profiles.folder(os.environ)


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def config(ctx: click.Context) -> None:
    """Choose the deployment to use, and keep its key.

    A profile is a name for a deployment: its URLs and a key. Commands use the profile that --profile or
    ARKER_PROFILE names; without one, ARKER_API_KEY and ARKER_BASE_URL; without these, the current profile;
    without one, the deployment that runs on this machine. Keys are kept in the system's keyring (with
    `pip install keyring`), or else in a file that only you can read.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_profiles, as_json=False)


@config.command("list", cls=Command)
@as_json
def list_profiles(as_json: bool) -> None:
    """List the profiles; a star marks the one in use."""
    known = profiles.load(_folder())
    chosen = profiles.choose(os.environ.get("ARKER_PROFILE"), os.environ, known)
    running = local.running(local.state_folder())
    rows: list[dict[str, Any]] = []
    if chosen == ENVIRONMENT:
        from arker.config import BASE_URL, GLOBAL_URL

        rows.append(
            {
                "name": ENVIRONMENT,
                "base_url": os.environ.get("ARKER_BASE_URL") or BASE_URL,
                "global_url": os.environ.get("ARKER_GLOBAL_URL") or GLOBAL_URL,
                "key_in": "ARKER_API_KEY" if os.environ.get("ARKER_API_KEY") else None,
            }
        )
    rows += [
        {"name": name, "base_url": one.base_url, "global_url": one.global_url, "key_in": one.key_in}
        for name, one in known.named.items()
    ]
    url = running.url if running else None
    rows.append({"name": LOCAL, "base_url": url, "global_url": url, "key_in": "file" if running else None})
    for row in rows:
        row["used"] = row["name"] == (chosen or LOCAL)
    if not any(row["used"] for row in rows):
        click.echo(f"arker: ARKER_PROFILE names {chosen}, which does not exist", err=True)
    if as_json:
        show_json(rows)
        return
    show_table(
        ["profile", "used", "url", "global url", "key in"],
        [
            (
                row["name"],
                "*" if row["used"] else "",
                row["base_url"] or "(not running: arker serve)",
                "" if row["global_url"] == row["base_url"] else row["global_url"],
                row["key_in"] or "",
            )
            for row in rows
        ],
    )


@config.command("add", cls=Command)
@click.argument("name")
@click.option("--base-url", help="URL of its regional API.  [default: Arker's cloud]")
@click.option(
    "--global-url",
    help="URL of its global API.  [default: for Arker's cloud its global host, else the base URL]",
)
@click.option(
    "--allow-http", is_flag=True, help="Allow http:// to another machine, which sends the key in clear."
)
@click.option("--no-keyring", is_flag=True, help="Keep the key in a file, even where there is a keyring.")
@click.option("--no-check", is_flag=True, help="Do not ask the deployment whether the key is valid.")
@as_json
def add(
    name: str,
    base_url: str | None,
    global_url: str | None,
    allow_http: bool,
    no_keyring: bool,
    no_check: bool,
    as_json: bool,
) -> None:
    """Add a profile, or replace one.

    Asks for the key; without a terminal, reads it from standard input. A key is never an argument, because
    other users can see arguments.
    """
    from arker.config import BASE_URL, global_url_of

    profiles.check_name(name)
    base_url = base_url or BASE_URL
    global_url = global_url or global_url_of(base_url)
    # Refuse wrong URLs before asking for a key.
    resolve("any", base_url, global_url, allow_http=allow_http)
    key = _read_key()
    where = resolve(key, base_url, global_url, allow_http=allow_http)
    if not no_check:
        _check(key, str(where.regional), str(where.control), allow_http=allow_http)
    folder = _folder()
    known = profiles.load(folder)
    old = known.named.get(name)
    key_in = profiles.keep_key(folder, name, key, keyring=not no_keyring)
    if old is not None and old.key_in != key_in:
        profiles.forget_key(folder, name, old.key_in)
    before = known.current
    made = Profile(str(where.regional), str(where.control), key_in, allow_http)
    known = profiles.with_profile(known, name, made)
    profiles.save(folder, known)
    if as_json:
        show_json({"name": name, "base_url": made.base_url, "global_url": made.global_url, "key_in": key_in})
    else:
        place = "the system's keyring" if key_in == "keyring" else folder / "keys.json"
        used = f"; to use it: arker config use {name}"
        if known.current == name:
            chosen = profiles.choose(os.environ.get("ARKER_PROFILE"), os.environ, known)
            how = "in use" if chosen == name else "the current profile"
            used = "" if before == name else f"; {name} is now {how}"
        click.echo(f"{name} is {made.base_url}, its key is in {place}{used}", err=True)


def _read_key() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("API key", hide_input=True, err=True)).strip()
    key = sys.stdin.readline().strip()
    if not key:
        raise Failure("no API key came from standard input", code="usage", status=2)
    return key


def _check(key: str, base_url: str, global_url: str, *, allow_http: bool) -> None:
    from arker_api.control.api.service import whoami

    from arker import Arker

    with Arker(key, base_url, global_url=global_url, allow_http=allow_http, timeout=10) as client:
        client.call(whoami)


@config.command("use", cls=Command)
@click.argument("name", shell_complete=complete_profile)
def use(name: str) -> None:
    """Make a profile the current one.

    `local` is the deployment of this machine.
    """
    known = profiles.load(_folder())
    if name != LOCAL:
        profiles.named(known, name)
    known = profiles.with_current(known, name)
    profiles.save(_folder(), known)
    used = profiles.choose(os.environ.get("ARKER_PROFILE"), os.environ, known)
    if used != name:
        what = "ARKER_API_KEY or ARKER_BASE_URL" if used == ENVIRONMENT else "ARKER_PROFILE"
        click.echo(f"arker: {what} is set and takes precedence over {name}", err=True)


@config.command("remove", cls=Command)
@click.argument("name", shell_complete=complete_profile)
def remove(name: str) -> None:
    """Remove a profile and its key."""
    known = profiles.load(_folder())
    profiles.forget_key(_folder(), name, profiles.named(known, name).key_in)
    profiles.save(_folder(), profiles.without_profile(known, name))
