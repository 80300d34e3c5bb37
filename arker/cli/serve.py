"""serve: run the embedded deployment, in the foreground or in the background."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from . import local, units
from .base import Command, F, Failure, as_json, show_json, warn

if TYPE_CHECKING:
    from arker.local.process.server import Ready
    from arker.local.process.settings import Settings

#: Size in bytes above which the next start truncates the log of a deployment in the background.
_MAX_LOG: Final = 10 * 1024 * 1024
#: Seconds after which a stop prints what it waits for.
_SILENCE: Final = 3.0


def state_option(command: F) -> F:
    """Give a command the option `--state`."""
    return click.option(
        "--state", envvar="ARKER_STATE", type=click.Path(path_type=Path, file_okay=False), default=None,
        help="State folder: computers, images, keys.  [default: ~/.local/state/arker; for root /var/lib/arker]",
    )(command)  # fmt: skip


@click.command(cls=Command)
@click.option(
    "--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to listen on."
)
@click.option(
    "--port",
    envvar="ARKER_PORT",
    default=8720,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 for any free one.",
)
@state_option
@click.option("--detach", "-d", is_flag=True, help="Serve in the background, until --stop.")
@click.option("--stop", is_flag=True, help="Stop the deployment that serves the state folder.")
@click.option(
    "--api-key",
    envvar="ARKER_API_KEY",
    metavar="KEY",
    help="A key to make valid. Other users can see arguments: prefer the variable ARKER_API_KEY.",
)
@click.option(
    "--api-key-file", type=click.File(), help="A file that holds a key to make valid; - for standard input."
)
@click.option(
    "--public-url", metavar="URL", help="The URL that clients use, where a proxy (with TLS) is in front."
)
@click.option(
    "--network",
    is_flag=True,
    help="Let computers use the network of this machine, its local services included.  [default: no network]",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=VALUE",
    help="A limit of each computer, such as memory=2GiB or run=10min; may be repeated. `arker doctor` lists limits.",
)
@click.option(
    "--rate-limit",
    default=0.0,
    metavar="NUMBER",
    help="Most requests per second of an organization.  [default: no limit]",
)
@click.option(
    "--max-vms", default=0, metavar="NUMBER", help="Most computers of an organization.  [default: no limit]"
)
@click.option(
    "--contract",
    type=click.Choice(["both", "0.1", "0.3"]),
    default="both",
    help="The contract to speak; one alone is for tests of clients.  [default: both]",
)
@click.option(
    "--grace",
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for requests in progress when it is stopped.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="What to log; info logs every request.  [default: info; in the background warning]",
)
@as_json
def serve(
    detach: bool,
    stop: bool,
    api_key_file: Any,
    limits: tuple[str, ...],
    state: Path | None,
    log_level: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Run a deployment on this machine.

    Its computers are sandboxes of this machine. Prints the variables to export for clients; the `arker`
    command finds it without them. Ctrl-C stops it when the requests in progress are answered; a second Ctrl-C
    stops it at once.
    """
    from arker.config import is_loopback

    folder = local.state_folder(state)
    if stop:
        _stop(folder)
        return
    if api_key_file is not None:
        options["api_key"] = api_key_file.read().strip()
    options |= {
        "state": folder,
        "limits": dict(_pair(text) for text in limits),
        "log_level": log_level or ("warning" if detach else "info"),
    }
    settings = _settings(options)
    given = settings.api_key is not None
    if not is_loopback(settings.host):
        warn(
            f"--host {settings.host} lets other machines connect, and API keys and files travel in clear; put a "
            "proxy with TLS in front and give its address as --public-url"
        )
    running = local.running(folder)
    if running is not None:
        already = (
            f"a deployment serves {folder} already, at {running.url} (pid {running.pid}); `arker serve --stop` "
            "stops it"
        )
        if not detach:
            raise Failure(already, code="conflict")
        # It runs already, perhaps with other options.
        warn(already)
        said = {"url": running.url, "state": str(folder), "pid": running.pid, "new_key": None}
        _announce(_with_key(said, given=given), given=given, as_json=as_json)
        return
    if detach:
        _announce(_with_key(_detach(settings), given=given), given=given, as_json=as_json)
        return

    def ready(what: Ready) -> None:
        said = {"url": what.url, "state": str(what.state), "pid": os.getpid(), "new_key": what.new_key}
        _announce(said, given=given, as_json=as_json)

    _run(settings, ready)


def start_detached() -> local.Running:
    """Serve this machine's state folder in the background, on any free port: the user did not choose one.

    Raises:
        Failure: it did not start; the message says why.
    """
    said = _detach(_settings({"state": local.state_folder(), "port": 0, "log_level": "warning"}))
    return local.Running(said["url"], said["pid"], Path(said["state"]))


def _settings(options: dict[str, Any]) -> Settings:
    check_installed()
    from pydantic import ValidationError

    from arker.local.process.server import limits_of
    from arker.local.process.settings import Settings, explain
    from arker.local.service.keys import StateError

    try:
        settings = Settings(**options)
        limits_of(settings.limits)
    except ValidationError as error:
        raise click.UsageError(explain(error)) from None
    except StateError as error:
        raise click.BadParameter(str(error), param_hint="--limit") from None
    return settings


def check_installed() -> None:
    """Refuse a command that needs the embedded deployment where it cannot run."""
    from arker.local.process import launcher

    try:
        launcher.check_installed()
    except launcher.LaunchError as error:
        raise Failure(str(error), code="unavailable") from None


def _run(settings: Settings, ready: Callable[[Ready], None]) -> None:
    from arker.local.engine import SandboxUnavailable
    from arker.local.process.server import configure_logging
    from arker.local.process.server import serve as run
    from arker.local.service.keys import StateError

    configure_logging(settings.log_level)
    try:
        run(settings, on_ready=ready)
    except (StateError, SandboxUnavailable) as error:
        raise Failure(str(error), code="unavailable") from None


# --- In the background


def _detach(settings: Settings) -> dict[str, Any]:
    """Serve in another process; returns what it reports when it is ready."""
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = settings.state / "deployment.log"
    reader, writer = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _serve_in_background(settings, log, writer)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as lines:
            said = json.loads(lines.read() or b"{}")
    except (KeyboardInterrupt, SystemExit):
        os.kill(pid, signal.SIGTERM)
        raise
    if "url" in said:
        return dict(said)
    os.waitpid(pid, 0)
    raise Failure(said.get("error") or f"the deployment ended at once; see {log}", code="unavailable")


def _serve_in_background(settings: Settings, log: Path, writer: int) -> NoReturn:
    """In the child process: leave the terminal, serve, and exit."""

    def tell(said: dict[str, Any]) -> None:
        os.write(writer, json.dumps(said).encode())
        os.close(writer)

    def ready(what: Ready) -> None:
        tell({"url": what.url, "state": str(what.state), "pid": os.getpid(), "new_key": what.new_key})

    try:
        os.setsid()
        fresh = not log.exists() or log.stat().st_size > _MAX_LOG
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if fresh else os.O_APPEND)
        for fd, target in ((os.open(os.devnull, os.O_RDONLY), (0,)), (os.open(log, flags, 0o600), (1, 2))):
            for number in target:
                os.dup2(fd, number)
            os.close(fd)
        _run(settings, ready)
    except Failure as error:
        tell({"error": error.message})
    except OSError as error:
        tell({"error": str(error)})
    except Exception:
        logging.getLogger("arker.cli").exception("the deployment failed")
    finally:
        logging.shutdown()
        os._exit(0)


def _stop(state: Path) -> None:
    running = local.running(state, stopping=True)
    if running is None:
        raise Failure(f"no deployment serves {state}", code="not_found")
    with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
        process = os.pidfd_open(running.pid)
        try:
            signal.pidfd_send_signal(process, signal.SIGTERM)
            waiting = select.poll()
            waiting.register(process, select.POLLIN)
            if not waiting.poll(_SILENCE * 1000):
                click.echo(
                    f"waiting for the deployment (pid {running.pid}), which still answers requests; another `arker "
                    "serve --stop` stops it at once",
                    err=True,
                )
                waiting.poll()
                click.echo("it has stopped", err=True)
        finally:
            os.close(process)


# --- What is said


def _with_key(said: dict[str, Any], *, given: bool) -> dict[str, Any]:
    """With a key to export: the one that this user's commands use, where none was made or given."""
    if given or said["new_key"] is not None:
        return said
    from .deployments import key_of

    return {**said, "key": key_of(local.Running(said["url"], said["pid"], Path(said["state"])))}


def _announce(said: dict[str, Any], *, given: bool, as_json: bool) -> None:
    if as_json:
        show_json(said)
        sys.stdout.flush()
        return
    url, key = said["url"], said["new_key"]
    if key is not None:
        last = f"export ARKER_API_KEY={key}   # shown this once"
    elif "key" in said:
        last = f"export ARKER_API_KEY={said['key']}   # the key of the arker command"
    elif given:
        last = "# ARKER_API_KEY: the key that you gave"
    else:
        last = "# ARKER_API_KEY: a key that you have; `arker keys create` makes another"
    click.echo(
        f"Arker serves at {url} (state: {said['state']}, pid {said['pid']})\n\n"
        f"export ARKER_BASE_URL={url}\nexport ARKER_GLOBAL_URL={url}\n"
        # For the published SDK of contract 0.3.
        f"export ARKER_CONTROL_BASE_URL={url}\n{last}\n"
    )
    sys.stdout.flush()


def _pair(text: str) -> tuple[str, float]:
    name, found, value = text.partition("=")
    try:
        if not found:
            raise ValueError("expected NAME=VALUE")
        return name, units.parse(name, value)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint="--limit") from None
