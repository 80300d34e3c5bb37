"""The tree of commands, and how every command ends."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

import click

from .base import Failure, Group, report

#: Commands in the order of the help, and the module of each. A module is imported when its command is named, and
#: imports what is slow when the command runs, so that `arker --help` answers at once.
_COMMANDS: Final = {
    "fork": "computers",
    "ls": "computers",
    "run": "runs",
    "start": "runs",
    "ps": "runs",
    "logs": "runs",
    "attach": "runs",
    "kill": "runs",
    "sessions": "sessions",
    "shell": "terminal",
    "port": "ports",
    "top": "top",
    "cp": "copy",
    "cat": "files",
    "edit": "files",
    "sync": "files",
    "rename": "computers",
    "stop": "computers",
    "rm": "computers",
    "whoami": "computers",
    "config": "config",
    "serve": "serve",
    "doctor": "doctor",
    "keys": "keys",
    "images": "images",
    "completion": "completion",
}

#: Further names, which the list of commands leaves out: the module and the variable of each.
_UNLISTED: Final = {
    "exec": ("runs", "run"),
    "help": ("about", "show_help"),
    "version": ("about", "show_version"),
}

#: Names of these commands in other tools.
_ELSEWHERE: Final = {
    **dict.fromkeys(["create", "new", "clone", "branch"], "fork"),
    "list": "ls",
    **dict.fromkeys(["delete", "remove"], "rm"),
    **dict.fromkeys(["ssh", "sh", "terminal"], "shell"),
    **dict.fromkeys(["copy", "scp", "upload", "download"], "cp"),
    **dict.fromkeys(["push", "rsync"], "sync"),
    **dict.fromkeys(["login", "auth", "profile"], "config"),
    **dict.fromkeys(["up", "server"], "serve"),
    "down": "serve --stop",
    **dict.fromkeys(["image", "build"], "images"),
    **dict.fromkeys(["key"], "keys"),
}

_EPILOG: Final = """\b
Exit codes:
  0    done
  1    it failed; one line on standard error says why
  2    the command line or the configuration is wrong; nothing was done
  130  interrupted (Ctrl-C)
`arker run` ends with the exit code of the command that it ran, with 124 when
the command's timeout ended it, and with 125 where other commands end with 1.

\b
VM is a computer: its name, its id, or any unique prefix of its id.
`arker help COMMAND` explains a command.
"""


class _App(Group):
    synonyms: Mapping[str, str] = _ELSEWHERE

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, "help"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _COMMANDS:
            place = (_COMMANDS[cmd_name], cmd_name)
        elif cmd_name in _UNLISTED:
            place = _UNLISTED[cmd_name]
        else:
            return None
        command = getattr(importlib.import_module(f".{place[0]}", __package__), place[1])
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Like click's, which prints an empty line for these two and exits with 1."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _die_of_interrupt()
        except BrokenPipeError:
            # The reader of our output has closed it: 128 + SIGPIPE, which Windows does not have.
            ctx.exit(141)

    def main(  # type: ignore[override]  # one form for the two that click has
        self, args: Sequence[str] | None = None, *, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        """Like click's, but errors are one line, and Ctrl-C ends the process by the signal itself."""
        if not standalone_mode:
            return super().main(args, standalone_mode=False, **extra)
        try:
            # A command that ends by ctx.exit(code) returns the code here.
            outcome = super().main(args, standalone_mode=False, **extra)
            _end(outcome if isinstance(outcome, int) else 0)
        except click.exceptions.NoArgsIsHelpError as error:
            # A group without a command: print its help unchanged.
            click.echo(error.format_message(), err=True)
            _end(error.exit_code)
        except click.ClickException as error:
            report(error)
            _end(error.status if isinstance(error, Failure) else error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            _die_of_interrupt()
        except OSError as error:
            report(Failure(error.strerror or str(error)))
            _end(1)
        except Exception as error:
            if os.environ.get("ARKER_DEBUG"):
                raise
            what = f"{type(error).__name__}: {error}"
            report(
                Failure(f"internal error: {what}; run it again with ARKER_DEBUG=1 and report the traceback")
            )
            _end(1)


def _end(code: int) -> NoReturn:
    """Exit. Output that could not be written is still buffered; Python would try again and print its own message."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _die_of_interrupt() -> NoReturn:
    """End by the signal itself, so that a shell's loop around this command stops; an exit code would not stop it."""
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    sys.stderr.flush()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.raise_signal(signal.SIGINT)
    raise AssertionError("unreachable")


@click.group(cls=_App, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="arker")
@click.pass_context
def app(ctx: click.Context) -> None:
    """Isolated Linux computers for programs and AI agents: fork, run, read, write."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        ctx.color = False
