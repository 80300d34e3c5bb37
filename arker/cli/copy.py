"""cp: copy files into a computer and out of it."""

from __future__ import annotations

import contextlib
import posixpath
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from . import names
from .base import Command, Failure, as_json, is_utf8, show_json, warn, write_bytes
from .deployments import connected

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from arker import Arker
    from arker.errors import ArkerError

_HOME: Final = "/home/user"

#: Seconds after which a transfer shows a progress bar.
_PATIENCE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Remote:
    """A file or folder in a computer; `path` is absolute, and that of a folder ends with a slash."""

    vm: str
    path: str


def parse(text: str) -> Remote | None:
    """`VM:PATH`, where a relative path is below /home/user; None for a local path, which has no colon, or a slash
    before its first colon."""
    vm, colon, path = text.partition(":")
    if not colon or not vm or "/" in vm:
        return None
    path = posixpath.join(_HOME, path)
    return Remote(vm, f"{_HOME}/" if path == _HOME else path)


def target_in(folder_or_file: str, source: str) -> str:
    """The path of a copy: in a folder (which ends with a slash) under the name of the source, else as given."""
    return folder_or_file + posixpath.basename(source) if folder_or_file.endswith("/") else folder_or_file


def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Local files, and computers with a colon behind them."""
    from click.shell_completion import CompletionItem

    if ":" in incomplete or "/" in incomplete or incomplete.startswith("."):
        return [CompletionItem(incomplete, type="file")]
    vms = [
        CompletionItem(f"{item.value}:", help=item.help) for item in names.complete(ctx, param, incomplete)
    ]
    # Files come first: click's script for bash drops what precedes them.
    return [CompletionItem(incomplete, type="file"), *vms]


class AnyText(Command):
    """A command that checks by itself whether its arguments are UTF-8."""

    def check_text(self, param: click.Parameter, value: object) -> None:
        """Accept any text: files may have any name."""


@click.command(cls=AnyText)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...", shell_complete=complete)
@click.argument("target", shell_complete=complete)
@click.option("-r", "--recursive", is_flag=True, help="Copy folders with their contents.")
@click.option(
    "--delete", is_flag=True, help="With -r, remove from the copy of a folder what the folder does not have."
)
@as_json
@connected
def cp(
    client: Arker, sources: tuple[str, ...], target: str, recursive: bool, delete: bool, as_json: bool
) -> None:
    """Copy files: arker cp report.csv VM:data/

    VM:PATH is a file in a computer, relative to /home/user; - is standard input or output. A target that ends
    with / is a folder, as is a local folder: the copy keeps the name of the file. An existing file is replaced
    when the copy is complete. With several sources, the target is a folder.

    A folder that is copied again with -r sends only what differs.
    """
    if delete and not recursive:
        raise click.UsageError("--delete is for folders; use it with -r")
    for text in (*sources, target):
        remote = parse(text)
        if remote is not None and not is_utf8(remote.vm):
            raise click.UsageError(f"{remote.vm} is not UTF-8")
    if len(sources) > 1:
        if target == "-" or "-" in sources:
            raise click.UsageError("standard input and output are for one file")
        target = target if target.endswith(("/", ":")) else f"{target}/"
        if parse(target) is None and not Path(target).is_dir():
            raise Failure(f"there is no folder {target}", code="local_file")
    done = [
        (source, *_copy(client, source, target, recursive=recursive, delete=delete, as_json=as_json))
        for source in sources
    ]
    if as_json and target != "-":
        shown = [{"source": source, "target": place, "size": size} for source, place, size in done]
        show_json(shown if len(sources) > 1 else shown[0])


def _copy(
    client: Arker, source: str, target: str, *, recursive: bool, delete: bool, as_json: bool
) -> tuple[str, int]:
    """Copy one source; where it is then, and its bytes."""
    from_vm, to_vm = parse(source), parse(target)
    if from_vm is None and to_vm is None:
        raise click.UsageError(
            "one of the two files must be in a computer: VM:PATH (write a local file with a colon as ./a:b)"
        )
    if recursive and source != "-" and target != "-":
        done = _copy_tree(client, source, target, delete=delete, as_json=as_json)
        if done is not None:
            return done
    if from_vm is not None and to_vm is not None:
        with tempfile.TemporaryDirectory() as folder:
            whole = str(Path(folder) / posixpath.basename(from_vm.path))
            _download(client, from_vm, whole, as_json=as_json)
            return _upload(client, whole, to_vm, as_json=as_json)
    if from_vm is not None:
        return _download(client, from_vm, target, as_json=as_json)
    assert to_vm is not None
    return _upload(client, source, to_vm, as_json=as_json)


def _copy_tree(
    client: Arker, source: str, target: str, *, delete: bool, as_json: bool
) -> tuple[str, int] | None:
    """Copy a folder; None when the source is a file."""
    from_vm, to_vm = parse(source), parse(target)
    name = posixpath.basename((from_vm.path if from_vm else str(Path(source).resolve())).rstrip("/"))
    theirs = None if from_vm is None else names.computer(client, from_vm.vm).files
    if theirs is not None and from_vm is not None:
        if not theirs.stat(from_vm.path).is_directory:
            return None
    elif not Path(source).is_dir():
        return None
    with _progress(source, shown=not as_json) as progress, tempfile.TemporaryDirectory() as between:
        if to_vm is None:
            assert theirs is not None
            assert from_vm is not None
            place = str(Path(target) / name) if Path(target).is_dir() else target
            done = theirs.pull(from_vm.path, place, delete=delete, progress=progress.update)
        else:
            computer = names.computer(client, to_vm.vm)
            where = to_vm.path.rstrip("/") or "/"
            if to_vm.path.endswith("/") or computer.path(where).is_dir():
                where = posixpath.join(where, name)
            place = f"{to_vm.vm}:{where}"
            skipped: Mapping[str, str] = {}
            if theirs is not None and from_vm is not None:
                skipped = theirs.pull(from_vm.path, between).skipped
                tell_skipped(skipped)
                source = between
            done = computer.files.push(
                source,
                where,
                delete=delete,
                # Entries that could not be read are kept in the target: they are not missing in the source.
                ignore=lambda path: path.rstrip("/") in skipped,
                progress=progress.update,
            )
    tell_skipped(done.skipped)
    return place, done.size


def tell_skipped(skipped: Mapping[str, str]) -> None:
    """Say on standard error what was left out of a tree, and why."""
    for path, why in skipped.items():
        warn(f"{path} was left out: {why}")


def _upload(client: Arker, source: str, target: Remote, *, as_json: bool) -> tuple[str, int]:
    if source == "-":
        if target.path.endswith("/"):
            raise click.UsageError(
                f"standard input has no name to keep; give one: {target.vm}:{target.path}NAME"
            )
    elif Path(source).is_dir():
        raise Failure(f"{source} is a folder; copy it with -r", code="usage", status=2)
    from arker.errors import ArkerError

    files = names.computer(client, target.vm).files
    path = target_in(target.path, source)
    with _progress(source, shown=not as_json) as progress:
        try:
            if source == "-":
                files.write(path, sys.stdin.buffer, progress=progress.update)
            else:
                files.upload(source, path, progress=progress.update)
        except ArkerError as error:
            raise _said(error, target, f"to copy into it: {target.vm}:{target.path}/") from error.__cause__
    return f"{target.vm}:{path}", progress.size


def _said(error: ArkerError, remote: Remote, instead: str) -> Exception:
    """The error to raise: of a folder, with what to do instead."""
    if error.code == "bad_request" and error.message == f"{remote.path} is a folder":
        return Failure(f"{remote.vm}:{remote.path} is a folder; {instead}", code=error.code)
    return error


def _download(client: Arker, source: Remote, target: str, *, as_json: bool) -> tuple[str, int]:
    from arker.errors import ArkerError

    instead = "copy it with -r"
    if source.path.endswith("/"):
        raise Failure(f"{source.vm}:{source.path} is a folder; {instead}", code="usage", status=2)
    if target != "-":
        if Path(target).is_dir():
            target = f"{target.rstrip('/')}/" if target != "/" else target
        target = target_in(target, source.path)
        if not Path(target).parent.is_dir():
            raise Failure(f"there is no folder {Path(target).parent}", code="local_file")
        if Path(target).exists() and not Path(target).is_file():
            raise Failure(f"{target} is not a regular file, and cp would replace it; use - and a redirect")
    files = names.computer(client, source.vm).files
    with _progress(source.path, shown=not as_json) as progress:
        try:
            if target != "-":
                files.download(source.path, target, progress=progress.update)
                return target, progress.size
            with tempfile.TemporaryDirectory() as folder:
                whole = Path(folder) / "content"
                files.download(source.path, whole, progress=progress.update)
                with whole.open("rb") as file:
                    while piece := file.read(1 << 20):
                        write_bytes(sys.stdout.buffer, piece)
        except ArkerError as error:
            raise _said(error, source, instead) from error.__cause__
    return target, progress.size


class _Progress:
    """The progress of a transfer; on a terminal, a slow one gets a bar."""

    def __init__(self, label: str, *, shown: bool) -> None:
        self.size = 0
        self._label = label
        self._shown = shown and sys.stderr.isatty()
        self._started = time.monotonic()
        self._draw: Callable[[int, int], object] | None = None
        self._bar = contextlib.ExitStack()

    def update(self, done: int, size: int) -> None:
        self.size = size
        if self._draw is None and self._shown and time.monotonic() - self._started > _PATIENCE:
            self._draw = self._bar.enter_context(_bar(self._label, size))
        if self._draw is not None:
            self._draw(done, size)

    def close(self) -> None:
        self._bar.close()


@contextlib.contextmanager
def _progress(label: str, *, shown: bool) -> Iterator[_Progress]:
    progress = _Progress(label, shown=shown)
    with contextlib.closing(progress):
        yield progress


@contextlib.contextmanager
def _bar(label: str, size: int) -> Iterator[Callable[[int, int], object]]:
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
    except ImportError:
        yield lambda done, size: None
        return
    from rich.markup import escape

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task(escape(posixpath.basename(label)), total=size)
        yield lambda done, size: drawn.update(task, completed=done, total=size)
