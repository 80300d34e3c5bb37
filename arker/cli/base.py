"""What all commands share: options, output, and how a failure is reported."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

import click

if TYPE_CHECKING:
    from arker.errors import ArkerError

F = TypeVar("F", bound=Callable[..., Any])

#: Columns, more than any table needs.
_UNBOUNDED: Final = 1_000_000


def as_json(command: F) -> F:
    """Give a command the option `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON; errors too, on standard error.")(
        command
    )


class Failure(click.ClickException):
    """Why a command failed, and what to do about it.

    Args:
        message: One line, without the code.
        code: What went wrong, for programs.
        status: Exit code of the process.
        show_code: Whether people see the code before the message, too.
    """

    def __init__(
        self, message: str, *, code: str = "failed", status: int = 1, show_code: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.show_code = show_code
        self.as_json = False

    def format_message(self) -> str:
        """The line that people see."""
        return f"{self.code}: {self.message}" if self.show_code else self.message


class Command(click.Command):
    """A command whose failures are one line, or one JSON object with `--json`."""

    #: Exit code when it fails while it runs.
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
            failure = failure_of(error)
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


class RunCommand(Command):
    """A command about one that runs in a computer. Exit codes below 125 are those of the latter, as with `docker run`,
    `timeout` and `env`."""

    failed = 125


class Group(click.Group):
    """A group of commands that answers a name it does not know with the one that was probably meant."""

    #: Names of these commands in other tools.
    synonyms: Mapping[str, str] = {}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names."""
        name = args[0]
        if ctx.resilient_parsing or name.startswith("-") or self.get_command(ctx, name) is not None:
            return super().resolve_command(ctx, args)
        known = self.list_commands(ctx)
        near = self.synonyms.get(name) or next(iter(difflib.get_close_matches(name, known, n=1)), None)
        hint = f"; did you mean `{ctx.command_path} {near}`?" if near else ""
        raise click.UsageError(f"there is no command {name!r}{hint}", ctx)


@contextlib.contextmanager
def handling(handler: Callable[[int, object], None], *names: str) -> Iterator[None]:
    """Call `handler` for signals. Ignored signals, such as SIGHUP under `nohup`, stay ignored; those that the system
    does not have, such as SIGHUP on Windows, are left out."""
    signals = [getattr(signal, name) for name in names if hasattr(signal, name)]
    ours = [number for number in signals if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in ours}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def is_utf8(text: str) -> bool:
    """Whether an argument is text. Bytes that are not UTF-8 arrive as surrogates, which only names of files can
    hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def warn(text: str) -> None:
    """Print a line on standard error that does not make the command fail."""
    click.echo(f"arker: {printable(text)}", err=True)


def report(error: click.ClickException) -> None:
    """Print what went wrong on standard error."""
    if isinstance(error, Failure) and error.as_json:
        text = json.dumps({"error": {"code": error.code, "message": error.message}}, ensure_ascii=False)
    else:
        text = f"arker: {printable(one_line(error))}"
    click.echo(text, err=True)


def one_line(error: click.ClickException) -> str:
    """The message of an error; for a wrong command line also where to read more."""
    message = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        message = f"{message[:1].lower()}{message[1:]}".rstrip(".")
        see = " See" if message.endswith("?") else "; see"
        return f"{message}{see} `{error.ctx.command_path} --help`"
    return message


def failure_of(error: ArkerError) -> Failure:
    """What went wrong and, where something helps, what to do about it."""
    cause = error.__cause__
    if error.code == "local_file" and isinstance(cause, OSError) and cause.filename and cause.strerror:
        return Failure(f"{os.fspath(cause.filename)}: {cause.strerror}", code=error.code)
    hint = {
        "unauthorized": "`arker config` shows which deployment and key are used",
        "vm_busy": "wait, end it with `arker kill VM RUN`, or use another session: --session NAME",
        "network": "`arker config` shows which deployment is used; `arker serve` starts one here",
        "rate_limited": "wait a little, then try again",
        "quota_exceeded": "`arker rm` what you do not need",
        "conflict": "use the id; `arker ls` shows it",
    }.get(error.code)
    if error.status == 0 and error.processed == "maybe":
        hint = "it may have been carried out"
    message = f"{error.message}; {hint}" if hint else error.message
    # The code `not_found` would only repeat the message.
    return Failure(message, code=error.code, show_code=error.code != "not_found")


def printable(text: str) -> str:
    """Untrusted text; control characters are replaced."""
    return "".join([c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text])


def write_bytes(stream: BinaryIO, data: bytes) -> None:
    """Write all bytes; an unbuffered stream (`python -u`) may take a part at a time."""
    left = memoryview(data)
    while left:
        left = left[stream.write(left) :]
    stream.flush()


def show_json(value: object) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, shorten: str | None = None) -> None:
    """Print rows: on a terminal as a table, else as lines of fields with tabs between them, without a head.

    Args:
        head: Names of the columns.
        rows: Their cells.
        shorten: Column whose long cells end with an ellipsis where a table would not fit the terminal.
    """
    clean = [[printable(cell) for cell in row] for row in rows]
    if not (sys.stdout.isatty() and _print_rich_table(head, clean, shorten)):
        for row in clean:
            click.echo("\t".join(row))


def iso(time: datetime | None) -> str | None:
    """A time as programs read it."""
    return None if time is None else time.isoformat().replace("+00:00", "Z")


def show_time(time: datetime | None) -> str:
    """A time for a table: how long ago or ahead on a terminal, else the time itself."""
    if time is None or not sys.stdout.isatty():
        return iso(time) or ""
    seconds = (datetime.now(UTC) - time).total_seconds()
    return f"{age(seconds)} ago" if seconds >= 0 else f"in {age(-seconds)}"


def age(seconds: float) -> str:
    """How long ago, in its largest unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


#: Width that a shortened column keeps.
_SHORTEST: Final = 12


def _print_rich_table(head: Sequence[str], rows: Sequence[Sequence[str]], shorten: str | None) -> bool:
    try:
        from rich.cells import cell_len
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return False
    table = Table(box=None, pad_edge=False, header_style="bold")
    widths = [max(cell_len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    # Two columns of space between neighbours.
    over = sum(widths) + 2 * len(widths) - 2 - shutil.get_terminal_size().columns
    for name, width in zip(head, widths, strict=True):
        fitted = max(_SHORTEST, width - over) if name == shorten and over > 0 else None
        table.add_column(name.upper(), no_wrap=True, max_width=fitted, overflow="ellipsis")
    for row in rows:
        table.add_row(*map(Text, row))
    # Not the terminal's own width: where a table is still too wide, the terminal wraps it and nothing is lost.
    Console(width=_UNBOUNDED).print(table)
    return True


def on_terminal() -> bool:
    """Whether a person is there who can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
