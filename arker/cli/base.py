"""What all commands have in common: options, output, and how a failure is told."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

import click

if TYPE_CHECKING:
    from arker.errors import ArkerError

F = TypeVar("F", bound=Callable[..., Any])

#: Columns that no table needs.
_UNBOUNDED: Final = 1_000_000


def as_json(command: F) -> F:
    """Give a command the option `--json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Answer in JSON; an error too, on standard error."
    )(command)


class Failure(click.ClickException):
    """What a command failed with, and what to do about it."""

    def __init__(self, message: str, *, code: str = "failed", status: int = 1) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.as_json = False


class Command(click.Command):
    """A command whose failures are one line, or one JSON object with `--json`."""

    #: Exit code of what failed while it ran.
    failed = 1

    def invoke(self, ctx: click.Context) -> Any:
        """Run it."""
        from arker.errors import ArkerError

        try:
            for param in self.params:
                self.check_text(param, ctx.params.get(param.name or ""))
            return super().invoke(ctx)
        except click.UsageError as error:
            failure = Failure(one_line(error), code="usage", status=2)
        except Failure as error:
            failure = error
        except ArkerError as error:
            failure = Failure(explain(error), code=error.code)
        except BrokenPipeError:
            raise
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            failure = Failure(f"{where}{error.strerror or error}", code="local_file")
        failure.as_json = bool(ctx.params.get("as_json"))
        if failure.status == 1:
            failure.status = self.failed
        raise failure from None

    def check_text(self, param: click.Parameter, value: object) -> None:
        """Refuse an argument that is not UTF-8."""
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and not is_utf8(text):
                raise click.BadParameter(f"{text!r} is not UTF-8", click.get_current_context(), param)


def is_utf8(text: str) -> bool:
    """Whether an argument is text: bytes that are not UTF-8 come as surrogates, which nothing can carry but
    the name of a file."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def report(error: click.ClickException) -> None:
    """Tell what went wrong, on standard error."""
    if isinstance(error, Failure) and error.as_json:
        text = json.dumps({"error": {"code": error.code, "message": error.message}}, ensure_ascii=False)
    else:
        text = f"arker: {printable(one_line(error))}"
    click.echo(text, err=True)


def one_line(error: click.ClickException) -> str:
    """The message of an error; of a wrong command line with where to read what is right."""
    message = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        message = f"{message[:1].lower()}{message[1:]}".rstrip(".")
        see = " See" if message.endswith("?") else "; see"
        return f"{message}{see} `{error.ctx.command_path} --help`"
    return message


def explain(error: ArkerError) -> str:
    """What went wrong and, where there is something, what to do about it."""
    cause = error.__cause__
    if error.code == "local_file" and isinstance(cause, OSError) and cause.filename and cause.strerror:
        return f"{os.fspath(cause.filename)}: {cause.strerror}"
    hint = {
        "unauthorized": "`arker config` shows which deployment and key are used",
        "vm_busy": "wait, or use another session: --session NAME",
        "network": "`arker config` shows which deployment is used; `arker serve` starts one here",
        "rate_limited": "wait a little, then try again",
        "quota_exceeded": "`arker rm` what you do not need",
        "conflict": "use the id; `arker ls` shows it",
    }.get(error.code)
    if error.status == 0 and error.processed == "maybe":
        hint = "it may have been done all the same"
    return f"{error}; {hint}" if hint else str(error)


def printable(text: str) -> str:
    """Text of a stranger's, without what would move the cursor or worse."""
    return "".join([c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text])


def write_bytes(stream: BinaryIO, data: bytes) -> None:
    """Write bytes, all of them: a stream without a buffer (`python -u`) may take a part at a time."""
    left = memoryview(data)
    while left:
        left = left[stream.write(left) :]
    stream.flush()


def show_json(value: object) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows: on a terminal a table, else lines of fields with tabs between, without a head."""
    clean = [[printable(cell) for cell in row] for row in rows]
    if not (sys.stdout.isatty() and _print_rich_table(head, clean)):
        for row in clean:
            click.echo("\t".join(row))


def iso(time: datetime | None) -> str | None:
    """A time as programs read it."""
    return None if time is None else time.isoformat().replace("+00:00", "Z")


def show_time(time: datetime | None) -> str:
    """A time for a table: people want to know how long ago it was, programs when."""
    if time is None or not sys.stdout.isatty():
        return iso(time) or ""
    return f"{age((datetime.now(UTC) - time).total_seconds())} ago"


def age(seconds: float) -> str:
    """How long ago, in its largest unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def _print_rich_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return False
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        table.add_column(name.upper(), no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    # As wide as it is: a narrow terminal wraps the lines by itself, and nothing of them is missing.
    Console(width=_UNBOUNDED).print(table)
    return True


def on_terminal() -> bool:
    """Whether somebody is there who can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
