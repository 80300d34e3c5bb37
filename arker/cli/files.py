"""cat, edit, sync, and `ls VM:PATH`: files in computers, where they are."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from . import names
from .base import (
    Command,
    Failure,
    as_json,
    handling,
    is_utf8,
    iso,
    show_json,
    show_table,
    show_time,
    warn,
    write_bytes,
)
from .copy import AnyText, Remote, complete, parse, tell_skipped
from .deployments import connected

if TYPE_CHECKING:
    from arker import Arker, FileInfo, Files, TreeResult

#: Temporary failures, after which `sync --watch` continues.
_PASSING: Final = ("network", "timeout", "unavailable", "rate_limited", "conflict", "local_file")
#: Seconds from one look at a local folder to the next, and how many times what the look took; and after a failure.
_LOOK_SECONDS: Final = 0.3
_LOOK_PAUSE: Final = 5
_FAILED_SECONDS: Final = 1.0


def _remote(text: str) -> Remote:
    remote = parse(text)
    if remote is None:
        raise click.UsageError(f"{text!r} is not in a computer; write VM:PATH")
    if not is_utf8(remote.vm):
        raise click.UsageError(f"{remote.vm} is not UTF-8")
    return remote


def list_files(client: Arker, text: str, *, recursive: bool, quiet: bool, as_json: bool) -> None:
    """Show the files of a folder in a computer, or one file."""
    remote = _remote(text)
    files = names.computer(client, remote.vm).files
    top = files.stat(remote.path)
    found = list(files.list(remote.path, recursive=recursive)) if top.is_directory else [top]
    base = remote.path.rstrip("/") + "/"
    if as_json:
        show_json([_shown(info) for info in found])
    elif quiet:
        for info in found:
            click.echo(os.fsencode(info.path.removeprefix(base)))
    else:
        kinds = {"directory": stat.S_IFDIR, "symlink": stat.S_IFLNK, "file": stat.S_IFREG}
        show_table(
            ["mode", "size", "modified", "name"],
            [
                (
                    stat.filemode(kinds.get(info.kind, 0) | info.mode),
                    str(info.size),
                    show_time(info.modified),
                    info.path.removeprefix(base) + (f" -> {info.target}" if info.target is not None else ""),
                )
                for info in found
            ],
        )


def _shown(info: FileInfo) -> dict[str, Any]:
    text = info.path.encode("utf-8", "surrogateescape").decode(errors="replace")
    return {
        "path": text,
        "kind": info.kind,
        "size": info.size,
        "mode": f"{info.mode:04o}",
        "modified": iso(info.modified),
        "version": info.version,
        "target": info.target,
    }


@click.command(cls=AnyText)
@click.argument("files", nargs=-1, required=True, metavar="VM:PATH...", shell_complete=complete)
@connected
def cat(client: Arker, files: tuple[str, ...]) -> None:
    """Print files of computers on standard output."""
    for text in files:
        remote = _remote(text)
        opened = names.computer(client, remote.vm).files.open(remote.path)
        with opened:
            while piece := opened.read(1 << 20):
                write_bytes(sys.stdout.buffer, piece)


@click.command(cls=AnyText)
@click.argument("file", metavar="VM:PATH", shell_complete=complete)
@connected
def edit(client: Arker, file: str) -> None:
    """Edit a file of a computer in $VISUAL or $EDITOR.

    It is written back when the editor ends, unless it was changed in the computer meanwhile; then the edited
    copy is kept on this machine. A file that does not exist is created.
    """
    from arker.errors import ArkerError

    remote = _remote(file)
    files = names.computer(client, remote.vm).files
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    before, version = _known(files, remote.path)
    folder = tempfile.mkdtemp(prefix="arker-edit-")
    local = Path(folder) / Path(remote.path).name
    after, written = before, False
    try:
        local.write_bytes(before)
        ended = _run_editor([*shlex.split(editor), str(local)])
        after = local.read_bytes() if local.exists() else before
        if ended:
            raise Failure(f"{editor} ended with {ended}; nothing was written")
        if after != before or version is None:
            files.write(remote.path, after, if_match=version, if_absent=version is None)
        written = True
    except ArkerError as error:
        if error.code in ("conflict", "already_exists", "not_found"):
            raise Failure(f"{file} was changed meanwhile", code=error.code) from error
        raise
    finally:
        if written or after == before:
            shutil.rmtree(folder)
        else:
            warn(f"your copy is {local}")


def _run_editor(words: list[str]) -> int:
    """Run an editor; Ctrl-C, and the end of the terminal, are for it alone. Return its status."""
    # Not ignored, as the editor would inherit that.
    with handling(lambda *_: None, "SIGINT", "SIGHUP"):
        try:
            return subprocess.run(words, check=False).returncode
        except OSError as error:
            raise Failure(f"{words[0]} cannot be started: {error.strerror}; set $EDITOR") from error


def _known(files: Files, path: str) -> tuple[bytes, str | None]:
    from arker.errors import ArkerError

    try:
        with files.open(path) as opened:
            return opened.read(), opened.info.version
    except ArkerError as error:
        if error.code != "not_found":
            raise
        return b"", None


@click.command(cls=Command)
@click.argument("source", metavar="FOLDER", type=click.Path())
@click.argument("target", metavar="VM:PATH", shell_complete=complete)
@click.option("--delete", is_flag=True, help="Remove from the computer what FOLDER does not have.")
@click.option(
    "--ignore",
    multiple=True,
    metavar="PATTERN",
    help="Leave alone what matches, as in .gitignore; may be repeated.",
)
@click.option(
    "--watch", is_flag=True, help="Continue to send changes until Ctrl-C; with --delete also removals."
)
@as_json
@connected
def sync(
    client: Arker, source: str, target: str, delete: bool, ignore: tuple[str, ...], watch: bool, as_json: bool
) -> None:
    """Copy a local folder to a computer: arker sync src VM:src

    Sends only what differs. The patterns of a .gitignore in FOLDER count as well, and .git is left alone.
    """
    from arker.errors import ArkerError

    if parse(source) is not None:
        raise click.UsageError(
            f"sync goes from this machine to a computer; the other way: arker cp -r {source} FOLDER"
        )
    if not Path(source).is_dir():
        raise click.UsageError(f"there is no folder {source}")
    remote = _remote(target)
    files = names.computer(client, remote.vm).files
    known: object = None
    skipped: set[str] = set()
    failed = False
    while True:
        began = time.monotonic()
        try:
            patterns = _patterns(source, ignore)
            picture = _picture(source, patterns) if watch else None
            if not watch or picture != known:
                result = files.push(source, remote.path, delete=delete, ignore=patterns)
                tell_skipped({path: why for path, why in result.skipped.items() if path not in skipped})
                skipped = set(result.skipped)
                _show(result, as_json=as_json)
                known, failed = picture, False
        except ArkerError as error:
            if not watch or error.code not in _PASSING or not Path(source).is_dir():
                raise
            if not failed:
                warn(f"{error.message}; trying again")
            known, failed = None, True
            time.sleep(_FAILED_SECONDS)
        if not watch:
            return
        time.sleep(max(_LOOK_SECONDS, _LOOK_PAUSE * (time.monotonic() - began)))


def _show(result: TreeResult, *, as_json: bool) -> None:
    if as_json:
        show_json({"sent": list(result.sent), "removed": list(result.removed), "size": result.size})
    else:
        for sign, paths in (("+", result.sent), ("-", result.removed)):
            for path in paths:
                click.echo(os.fsencode(f"{sign} {path}"))
    sys.stdout.flush()


def _patterns(source: str, given: tuple[str, ...]) -> list[str]:
    file = Path(source) / ".gitignore"
    lines = file.read_text(errors="surrogateescape").splitlines() if file.is_file() else []
    return [".git/", *lines, *given]


def _picture(source: str, patterns: list[str]) -> object:
    """Return a value that changes when anything below a folder does."""
    from arker.folders import LocalTree, ignorer

    return LocalTree(source).scan(ignorer(patterns))
