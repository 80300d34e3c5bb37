"""start, ps, logs, attach, kill: runs in the background; and how `run --follow` follows one."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import click

from . import names
from .base import (
    Command,
    Failure,
    as_json,
    handling,
    iso,
    show_json,
    show_table,
    show_time,
    warn,
    write_bytes,
)
from .computers import _Run, _whole_seconds, for_one_command, show_ending
from .deployments import connected

if TYPE_CHECKING:
    from arker import Arker, Computer, Run

#: Bytes of standard input that are passed on at a time.
_READ: Final = 65536
_SESSION_HELP: Final = "The session to run it in, which is busy meanwhile.  [default: one of its own]"


@click.command(cls=_Run)
@click.argument("vm", shell_complete=names.complete)
@click.argument("command", nargs=-1, required=True)
@click.option("--session", "-s", metavar="NAME", help=_SESSION_HELP)
@click.option(
    "--timeout", "-t", type=float, metavar="SECONDS", callback=_whole_seconds,
    help="End the command after this time.  [default: no timeout]",
)  # fmt: skip
@for_one_command
@click.option("--stdin", is_flag=True, help="Let `arker attach` give it input; else its input is empty.")
@as_json
@connected
def start(
    client: Arker,
    vm: str,
    command: tuple[str, ...],
    session: str | None,
    timeout: int | None,
    cwd: str | None,
    env: dict[str, str] | None,
    stdin: bool,
    as_json: bool,
) -> None:
    """Start a command in the background: arker start VM -- COMMAND

    Prints the id of the run and returns at once. The run continues until it ends or `arker kill` ends it; `arker logs`
    shows its output. It begins with the folder, variables and functions of session 0.
    """
    line = command[0] if len(command) == 1 else shlex.join(command)
    run = names.computer(client, vm).start(
        line, session_id=session, timeout=timeout, cwd=cwd, env=env, stdin=stdin
    )
    if as_json:
        show_json(_fields(run))
    else:
        click.echo(run.id)


@click.command(cls=Command)
@click.argument("vm", shell_complete=names.complete)
@click.option("--all", "-a", "every", is_flag=True, help="Show runs that ended, too.")
@click.option("--quiet", "-q", is_flag=True, help="Print only ids.")
@as_json
@connected
def ps(client: Arker, vm: str, every: bool, quiet: bool, as_json: bool) -> None:
    """List the current runs of a computer, newest first."""
    runs = names.computer(client, vm).runs(running=None if every else True, limit=1000)
    if as_json:
        show_json([_fields(run) for run in runs])
    elif quiet:
        for run in runs:
            click.echo(run.id)
    else:
        show_table(
            ["run", "state", "exit", "started", "command"],
            [
                (
                    run.id,
                    run.info.state,
                    "" if run.info.exit_code is None else str(run.info.exit_code),
                    show_time(run.info.started_at),
                    run.info.command,
                )
                for run in runs
            ],
            shorten="command",
        )


@click.command(cls=Command)
@click.argument("vm", shell_complete=names.complete)
@click.argument("run")
@click.option(
    "--follow", "-f", is_flag=True, help="Follow until the run ends; Ctrl-C stops following, not the run."
)
@connected
def logs(client: Arker, vm: str, run: str, follow: bool) -> None:
    """Show what a run wrote: standard output and standard error, each to its own.

    RUN is the id or its beginning; `arker ps` shows it.
    """
    found = _find(client, vm, run)
    if follow:
        with found.stream() as stream:
            for event in stream:
                _show(event)
    else:
        stdout, stderr = found.output()
        write_bytes(sys.stdout.buffer, stdout)
        write_bytes(sys.stderr.buffer, stderr)


@click.command(cls=_Run)
@click.argument("vm", shell_complete=names.complete)
@click.argument("run")
@connected
def attach(client: Arker, vm: str, run: str) -> None:
    """Follow a run as if it had been started here: its output, input (after `arker start --stdin`), Ctrl-C, exit code.

    Ctrl-C interrupts the command; a second one ends it. RUN is the id or its beginning.
    """
    found = _find(client, vm, run)
    click.get_current_context().exit(follow(found, stdin=found.info.takes_input))


@click.command(cls=Command)
@click.argument("vm", shell_complete=names.complete)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--signal", "-s", "name", metavar="NAME", help="Send this signal instead, such as INT or HUP.")
@connected
def kill(client: Arker, vm: str, runs: tuple[str, ...], name: str | None) -> None:
    """End runs and all processes that they started.

    RUN is the id or its beginning; `arker ps` shows it.
    """
    for found in [_find(client, vm, run) for run in runs]:
        if name is None:
            found.cancel()
        else:
            found.send_signal(name.upper())


class _Signalled(KeyboardInterrupt):
    """Another signal than that of Ctrl-C, to be passed on."""

    def __init__(self, number: int) -> None:
        self.number = number


def _signalled(number: int, _: object) -> None:
    raise _Signalled(number)


def start_with_input(computer: Computer, line: str, **options: Any) -> Run:
    """Start a command that gets input, or warn where it gets none and start it without."""
    from arker import ArkerError

    try:
        return computer.start(line, stdin=True, **options)
    except ArkerError as error:
        if error.code != "unsupported_operation":
            raise
        if sys.stdin is not None and not sys.stdin.isatty():
            warn("this deployment gives a command no input: it is empty")
        return computer.start(line, **options)


def follow(run: Run, *, stdin: bool, ours: bool = False) -> int:
    """Show what a run writes until its end, and pass Ctrl-C and, with `stdin`, input on; its exit code. A run that is
    `ours` also gets SIGTERM and SIGHUP, and ends when nobody reads its output any more."""
    if stdin:
        # Of a process in the background of a terminal, a read fails then, and does not stop the process.
        if hasattr(signal, "SIGTTIN"):
            signal.signal(signal.SIGTTIN, signal.SIG_IGN)
        threading.Thread(target=_pass_input, args=(run,), daemon=True).start()
    with handling(_signalled, *(("SIGTERM", "SIGHUP") if ours else ())):
        _show_all(run, ours)
    info = run.info
    show_ending(info.exit_code, info.reason)
    if info.exit_code is None:
        # Otherwise its standard error has them.
        for note in info.notes:
            warn(note)
        return 125
    return info.exit_code


def _show_all(run: Run, ours: bool) -> None:
    interrupted = False
    offset = 0
    while True:
        try:
            with run.stream(offset) as stream:
                for event in stream:
                    _show(event)
                    offset = event.offset + len(getattr(event, "data", b""))
            return
        except KeyboardInterrupt as stop:
            if interrupted:
                run.cancel()
                raise
            interrupted = True
            run.send_signal(stop.number if isinstance(stop, _Signalled) else signal.SIGINT)
        except OSError:
            if ours:
                run.cancel()
            raise


def _pass_input(run: Run) -> None:
    from arker import ArkerError

    with contextlib.suppress(ArkerError):  # the run takes no input, or is over, which its end tells
        with contextlib.suppress(OSError, ValueError):  # there is no input, or no more
            while sys.stdin is not None and (data := os.read(sys.stdin.fileno(), _READ)):
                run.write(data)
        run.close_stdin()


def _show(event: Any) -> None:
    from arker import RunOutput

    if isinstance(event, RunOutput):
        write_bytes(sys.stdout.buffer if event.stream == "stdout" else sys.stderr.buffer, event.data)
    else:
        warn("the run wrote more than the deployment keeps; the rest is missing")


def _find(client: Arker, vm: str, text: str) -> Run:
    computer = names.computer(client, vm)
    found = [run for run in computer.runs(limit=1000) if run.id.startswith(text)]
    exact = [run for run in found if run.id == text]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if not found:
        raise Failure(f"there is no run {text!r}; see `arker ps --all {vm}`", code="not_found")
    raise Failure(f"{len(found)} runs begin with {text!r}; give more of the id", code="conflict")


def _fields(run: Run) -> dict[str, Any]:
    info = run.info
    return {
        "run_id": info.run_id,
        "session_id": info.session_id,
        "command": info.command,
        "state": info.state,
        "started_at": iso(info.started_at),
        "exit_code": info.exit_code,
        "reason": info.reason,
        "duration_ms": info.duration_ms,
    }
