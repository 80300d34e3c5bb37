"""Which deployment a command talks to."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from . import local, profiles
from .base import Failure, on_terminal

if TYPE_CHECKING:
    from arker import Arker
    from arker.config import Config

F = TypeVar("F", bound=Callable[..., Any])

NOTHING = (
    "no deployment is configured: set ARKER_API_KEY, or run `arker config add NAME`, or start one on this "
    "machine with `arker serve --detach`"
)


@dataclass(frozen=True, slots=True)
class Deployment:
    """The URLs and the key of a deployment, and the profile that named it."""

    profile: str
    base_url: str
    global_url: str
    api_key: str = field(repr=False)
    allow_http: bool = False

    @contextlib.contextmanager
    def connect(self, **options: Any) -> Iterator[Arker]:
        """A client of it."""
        from arker import Arker

        with Arker(
            self.api_key, self.base_url, global_url=self.global_url, allow_http=self.allow_http, **options
        ) as client:
            yield client


def find(asked: str | None, *, ask: bool = True) -> Deployment:
    """The deployment of the profile that was asked for; else of the environment; else of the current profile; else
    the one that runs on this machine. Where there is none, offer to start one.

    Args:
        asked: Name of a profile, or None.
        ask: Whether to ask the user.

    Raises:
        Failure, ArkerError: no deployment was found, or its settings are not complete.
    """
    where = profiles.folder(os.environ)
    known = profiles.load(where)
    name = profiles.choose(asked, os.environ, known)
    if name == profiles.ENVIRONMENT:
        return _of_environment()
    if name is not None and name != profiles.LOCAL:
        profile = profiles.named(known, name)
        key = profiles.find_key(where, name, profile.key_in)
        if key is None:
            raise Failure(
                f"the key of {name} is not kept here any more; add it again: arker config add {name}"
            )
        return Deployment(name, profile.base_url, profile.global_url, key, profile.allow_http)
    state = local.state_folder()
    running = local.running(state)
    if running is None:
        running = _start(name, ask=ask)
    return _of_machine(running)


def _of_environment() -> Deployment:
    if not os.environ.get("ARKER_API_KEY"):
        though = ", but ARKER_BASE_URL is" if os.environ.get("ARKER_BASE_URL") else ""
        message = f"ARKER_API_KEY is not set{though}; see `arker config --help`"
        raise Failure(message, code="unconfigured", status=2)
    config = resolve(None, None, None, environ=os.environ)
    if config.mixed:
        raise Failure(
            "ARKER_BASE_URL is set to a deployment of your own, but ARKER_GLOBAL_URL is not: `arker ls` "
            f"would send its key to {config.control}. Set ARKER_GLOBAL_URL={config.regional}",
            code="unconfigured",
            status=2,
        )
    return Deployment(profiles.ENVIRONMENT, str(config.regional), str(config.control), config.api_key)


def resolve(
    api_key: str | None,
    base_url: str | None,
    global_url: str | None,
    *,
    environ: Mapping[str, str] | None = None,
    allow_http: bool = False,
) -> Config:
    """Like `arker.config.resolve`, with messages for the command line.

    Raises:
        Failure: the key or a URL is not valid.
    """
    from arker import config
    from arker.errors import ArkerError

    try:
        return config.resolve(api_key, base_url, global_url, environ or {}, allow_http=allow_http)
    except ArkerError as error:
        message = error.message.replace("_url:", "-url:", 1)
        message = message.replace("allow_http=True", "`arker config add NAME --allow-http`")
        raise Failure(message, code="usage", status=2) from None


def _of_machine(running: local.Running) -> Deployment:
    return Deployment(profiles.LOCAL, running.url, running.url, key_of(running))


def key_of(running: local.Running) -> str:
    """The key of this user's commands to a deployment of this machine, made if there is none.

    Raises:
        Failure: it cannot be made or kept.
    """
    from arker.local.service.keys import StateError, generate

    kept = profiles.find_key(profiles.folder(os.environ), _name_of(running), "file")
    if kept is None:
        # Keep it before it is made valid, so that commands do not make one key after another where none can be kept.
        kept = generate()
        _keep(kept, running)
    try:
        key = local.a_key(running.state, kept)
    except StateError as error:
        raise Failure(
            f"a deployment runs at {running.url}, but a key to it cannot be made here ({error}); "
            "set ARKER_BASE_URL, ARKER_GLOBAL_URL and ARKER_API_KEY"
        ) from None
    if key != kept:
        _keep(key, running)
    return key


def _name_of(running: local.Running) -> str:
    return f"{profiles.LOCAL}:{running.state}"


def _keep(key: str, running: local.Running) -> None:
    where = profiles.folder(os.environ)
    try:
        # Not in a keyring, which may ask for its password: users who can read this file can use the state folder, too.
        profiles.keep_key(where, _name_of(running), key, keyring=False)
    except OSError as error:
        raise Failure(
            f"a key to the deployment at {running.url} cannot be kept in {where} ({error.strerror}); let "
            "XDG_CONFIG_HOME name a folder of yours, or set ARKER_BASE_URL, ARKER_GLOBAL_URL and ARKER_API_KEY"
        ) from None


def _start(name: str | None, *, ask: bool) -> local.Running:
    """Ask whether to start a deployment, and start it."""
    from .serve import check_installed, start_detached

    nothing = (
        NOTHING if name is None else "no deployment runs on this machine; start one: arker serve --detach"
    )
    try:
        check_installed()
    except Failure as error:
        raise Failure(f"{nothing} ({error.message})", code="unconfigured", status=2) from None
    if not (ask and on_terminal()):
        raise Failure(nothing, code="unconfigured", status=2)
    lacking = "No deployment is configured." if name is None else "No deployment runs on this machine."
    if not click.confirm(f"{lacking} Start one here, in the background?", default=True, err=True):
        raise Failure(nothing, code="unconfigured", status=2)
    started = start_detached()
    click.echo(f"It serves at {started.url}; `arker serve --stop` ends it.", err=True)
    return started


def connected(function: F) -> F:
    """Give a command the option `--profile`, and pass it a client as its first argument."""

    @click.option(
        "--profile",
        envvar="ARKER_PROFILE",
        metavar="NAME",
        shell_complete=complete_profile,
        help="The deployment to talk to; see `arker config`.",
    )
    @functools.wraps(function)
    def wrapper(*args: Any, profile: str | None, **kwargs: Any) -> Any:
        with find(profile).connect() as client:
            return function(client, *args, **kwargs)

    return wrapper  # type: ignore[return-value]  # the same signature without the client


def complete_profile(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of deployments for the completion of a shell."""
    try:
        known = profiles.load(profiles.folder(os.environ)).named
    except Failure:
        return []
    return [name for name in [*known, profiles.LOCAL, profiles.ENVIRONMENT] if name.startswith(incomplete)]
