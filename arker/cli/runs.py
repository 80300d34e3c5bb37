"""run, start, ps, logs, attach, kill."""

from __future__ import annotations

import contextlib
import math
import os
import shlex
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from . import names
from .base import (
    Command,
    Failure,
    RunCommand,
    as_json,
    handling,
    iso,
    show_json,
    show_table,
    show_time,
    warn,
    write_bytes,
)
from .deployments import connected

if TYPE_CHECKING:
    from collections.abc import Callable

    from arker import Arker, Computer, Run

F = TypeVar("F", bound="Callable[..., Any]")

#: Seconds to wait for a command without a timeout. Deployments have their own limits.
_LONGEST: Final = 24 * 3600
_YEAR: Final = 365 * 24 * 3600
#: Bytes of standard input that are passed on at a time.
_READ: Final = 65536


def _whole_seconds(ctx: click.Context, param: click.Parameter, value: float | None) -> int | None:
    if value is None:
        return None
    if not 0 < value <= _YEAR:  # also false for NaN
        raise click.BadParameter(f"{value:g} is not above 0 and at most {_YEAR} seconds", ctx, param)
    return math.ceil(value)


def _variables(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str] | None:
    for value in values:
        if "=" not in value:
            # What was given instead may be a secret.
            raise click.BadParameter("expected NAME=VALUE", ctx, param)
    return dict(value.split("=", 1) for value in values) or None


def _for_one_command(command: F) -> F:
    """Give a command the arguments VM and COMMAND and the options `--timeout`, `--cwd` and `--env`."""
    for parameter in (
        click.option(
            "--env", "-e", metavar="NAME=VALUE", multiple=True, callback=_variables,
            help="A variable of its environment; may be repeated.",
        ),
        click.option("--cwd", metavar="PATH", help="The folder to run it in; relative to the home folder."),
        click.option(
            "--timeout", "-t", type=float, metavar="SECONDS", callback=_whole_seconds,
            help="End the command after this time; fractions are rounded up.  [default: no timeout]",
        ),
        click.argument("command", nargs=-1, required=True),
        click.argument("vm", shell_complete=names.complete),
    ):  # fmt: skip
        command = parameter(command)
    return command


def _line(command: tuple[str, ...]) -> str:
    """One argument is a line for the shell; of several, each stays one word."""
    return command[0] if len(command) == 1 else shlex.join(command)


class _Starting(RunCommand):
    """Takes a command to run after `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Like click's, but an unknown option may belong to the command to run: say where to put `--`."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            near = f"did you mean {error.possibilities[0]}? " if error.possibilities else ""
            hint = f"{near}an option of the command to run goes after --: {ctx.command_path} VM -- COMMAND"
            raise click.UsageError(f"no such option {error.option_name!r} ({hint})", ctx) from None


@click.command(cls=_Starting)
@click.option(
    "--session", "-s", metavar="NAME",
    help="The session (a persistent shell) to run it in, created on first use.  [default: 0]",
)  # fmt: skip
@_for_one_command
@click.option(
    "--follow",
    "-f",
    is_flag=True,
    help="Print output as it comes, and give the command the standard input of arker.",
)
@as_json
@connected
def run(
    client: Arker,
    vm: str,
    command: tuple[str, ...],
    session: str | None,
    timeout: int | None,
    cwd: str | None,
    env: dict[str, str] | None,
    follow: bool,
    as_json: bool,
) -> None:
    """Run a command: arker run VM -- COMMAND

    A single argument is a line for the shell, such as 'cd src && make'; of several arguments, each stays one
    word. A session keeps its folder, variables and functions for its next command. The output is printed
    unchanged when the command has ended, or with --follow as it comes, and its exit code becomes that of arker
    run. Standard input of the command is empty without --follow, and Ctrl-C, SIGTERM and SIGHUP end the command.
    With --follow they are sent to it; the second one ends it.
    """
    from arker import Timeouts

    line = _line(command)
    if follow:
        if as_json:
            raise click.UsageError("--follow prints the output as it comes: leave out --json")
        started = start_with_input(
            names.computer(client, vm), line, session_id=session or 0, timeout=timeout, cwd=cwd, env=env
        )
        click.get_current_context().exit(_follow(started, stdin=started.info.takes_input, ours=True))
    patient = client.with_options(timeout=Timeouts(run=_LONGEST))
    # The client ends the command of a call that is interrupted.
    result = names.computer(patient, vm).run(line, session_id=session, timeout=timeout, cwd=cwd, env=env)
    if as_json:
        show_json(result.to_dict())
    else:
        write_bytes(sys.stdout.buffer, result.stdout)
        write_bytes(sys.stderr.buffer, result.stderr)
        _show_ending(result.exit_code, result.reason if result.completed else result.reason or "timed_out")
        if result.truncated:
            warn("the output was over the deployment's limit; its end is missing")
    click.get_current_context().exit(result.exit_code)


@click.command(cls=_Starting)
@click.option(
    "--session", "-s", metavar="NAME",
    help="The session to run it in, which is busy meanwhile.  [default: one of its own]",
)  # fmt: skip
@_for_one_command
@click.option(
    "--stdin", is_flag=True, help="Take input from `arker attach`. Without this option, its input is empty."
)
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
    run = names.computer(client, vm).start(
        _line(command), session_id=session, timeout=timeout, cwd=cwd, env=env, stdin=stdin
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
    """List the runs of a computer that have not ended, newest first."""
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
    "--follow",
    "-f",
    is_flag=True,
    help="Print output as it comes, until the run ends or Ctrl-C, which does not end the run.",
)
@connected
def logs(client: Arker, vm: str, run: str, follow: bool) -> None:
    """Show the output of a run.

    Prints its standard output on standard output, and its standard error on standard error. RUN is the id or its
    beginning; `arker ps` shows it.
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


@click.command(cls=RunCommand)
@click.argument("vm", shell_complete=names.complete)
@click.argument("run")
@connected
def attach(client: Arker, vm: str, run: str) -> None:
    """Follow a run until it ends.

    Prints its output, gives it the standard input of arker (if it was started with --stdin), and ends with its exit
    code. Ctrl-C interrupts the command; a second one ends it. RUN is the id or its beginning; `arker ps` shows it.
    """
    found = _find(client, vm, run)
    click.get_current_context().exit(_follow(found, stdin=found.info.takes_input))


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


def _follow(run: Run, *, stdin: bool, ours: bool = False) -> int:
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
    _show_ending(info.exit_code, info.reason)
    if info.exit_code is None:
        # Otherwise its standard error has them.
        for note in info.notes:
            warn(note)
        return 125
    return info.exit_code


def _show_ending(exit_code: int | None, reason: str | None) -> None:
    """Say why a command ended, unless it ended by itself."""
    from arker.events import ending

    if reason not in ("exited", None):
        warn(f"the command was {ending(exit_code, reason)}")


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
