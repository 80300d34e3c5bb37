"""A session's shell: one bash that reads commands from a pipe, and what it answers.

Four named pipes lie in a folder that the sandbox sees read-only, so that a guest can use but not remove them:

    c   shell code for the session, read by bash as its script
    s   records: how a command ended, where the shell stands, how the shell itself ended
    o   stdout of the command that runs
    e   stderr of the command that runs

For each command the shell opens `o` and `e` by path, runs it with `eval`, and closes them; then it writes a record. An
`eval` at the top level of the script keeps variables, `exec` without a program, `return` and `break` from reaching
further than one command. Nothing here trusts the guest: a forged record ends a command early, its own, and no more.

Records are NUL-terminated fields: `S pid` a shell is up; `R status`, `E status` a command or the shell (by `exit`) is
done, both followed by the working folder and the checkpoint; `X status` the shell is gone, from the process above it.
The checkpoint is shell code: sourced by the next shell, it brings back what this one knew.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from arker.local.engine.journal import Journal
from arker.local.engine.protocol import EngineError, Stream
from arker.local.engine.sandbox import CONTROL, Sandbox
from arker.local.engine.stdin import Input

_READ = 1 << 16
#: Reads of one stream in one turn of the event loop, so that a flood does not starve the rest.
_TURNS = 16
#: Fields of records looked at in one turn; an honest command has three.
_FIELDS = 64
#: Commands done sooner are never watched: their output fits into the pipes.
_WATCH_AFTER = 0.002
#: How long the output of a command that is done may still come from processes it left, `>(tee log)` say: looked at so
#: often whether they do anything but wait, and so long at the most.
_LINGER = 0.01
_LINGER_MOST = 0.1
#: Longer ones go through a file: bash reads a pipe byte by byte.
_INLINE = 512
#: Checkpoints above this are not kept; the one before it stays. Nor are folders, which no call could enter.
_CHECKPOINT = 1 << 20
_CWD = 4096
_HELD_STREAMS = 64
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_ABOVE = """\
{{ cd; export ARKER_SESSION={name}
setsid bash --noprofile --norc <{path}/c >/dev/null 2>&1 3>&-; printf 'X%d\\0' $? >&3; }} 3>{path}/s </dev/null &
"""

# `__arker` is readonly and names `builtin` for all it does, so that no function of the user's gets in between. Only one
# called `builtin` can: then the shell ends itself, by an expansion, and another comes with the checkpoint before. What
# is printed goes to descriptor 3: traps of the user's may print to the others. `set -e` must not see a failure twice.
_PROLOGUE = r"""
__arker() {{
__arker=
\builtin printf -v __arker 1
[[ $__arker ]] || : "${{__arker_shadowed?}}"
{{ \builtin printf '%s%d\0%s\0' "$1" "$2" "${{PWD-}}" >&3
\builtin shopt -p >&3
\builtin declare -p >&3
\builtin declare -f >&3
\builtin declare -F >&3
\builtin alias -p >&3
\builtin umask -p >&3
\builtin set +o >&3
\builtin trap -p >&3
\builtin printf '\0' >&3
}} 3>{path}/s
[[ $- == *e* ]] || \builtin return "$2"
}}
readonly -f __arker
printf 'S%d\0' "$$" >{path}/s
cd -- {cwd} || cd
trap '\__arker E "$?"' EXIT
[[ -e {path}/checkpoint ]] && . {path}/checkpoint
{{ :; }} <&"$((LINENO=0))"
"""

# A redirection is the only place from which LINENO can be set for what is read next; errors then name the line of the
# command, not of the script.
_COMMAND = b'\\builtin eval %b <%b >%b/o 2>%b/e\n{ \\__arker R "$?"; } <&"$((LINENO=0))"\n'


def quote(text: bytes) -> bytes:
    """One word of shell code, on one line, that means `text`."""
    return b"$'" + text.replace(b"\\", b"\\\\").replace(b"'", b"\\'").replace(b"\n", b"\\n") + b"'"


def in_subshell(command: str, cwd: str | None, env: Mapping[str, str] | None) -> bytes:
    """The text of a command, to be run in a subshell where it has a folder or variables of its own; pure.

    Raises EngineError for a variable whose name is none.
    """
    raw = command.encode("utf-8", "surrogateescape")
    if cwd is None and not env:
        return raw
    first = [] if cwd is None else [b"\\builtin cd -- " + quote(_bytes(cwd)) + b" || \\builtin exit"]
    for name, value in (env or {}).items():
        if not _NAME.fullmatch(name):
            raise EngineError(f"{name!r} is no name for a variable")
        first.append(b"\\builtin export " + name.encode() + b"=" + quote(_bytes(value)))
    return b"(" + b"; ".join([*first, b"\\builtin eval " + quote(raw)]) + b")"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@dataclass(slots=True)
class Result:
    """How a command ended. `status` is None when nobody can say: its sandbox ended first."""

    status: int | None
    cwd: bytes
    seconds: float


class _Reader:
    """The reading end of an output pipe, over all commands that use it."""

    __slots__ = ("_hold", "_loop", "_on_end", "_path", "ended", "fd", "journal", "stream", "watched")

    def __init__(self, path: Path, stream: Stream) -> None:
        os.mkfifo(path, 0o600)
        self._path = path
        self._hold = -1
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._loop = asyncio.get_running_loop()
        self.stream = stream
        #: Of the command that runs.
        self.journal: Journal | None = None
        #: Whether nobody held the writing end when last looked.
        self.ended = False
        self.watched = False
        self._on_end: Callable[[], None] | None = None

    def drain(self) -> None:
        """Read what is there, and somewhat more if it keeps coming; sets `ended`."""
        self.ended = False
        for _ in range(_TURNS):
            try:
                data = os.read(self.fd, _READ)
            except BlockingIOError:
                return
            if not data:
                self.ended = True
                return
            if self.journal is not None:
                self.journal.append(self.stream, data)

    def watch(self, on_end: Callable[[], None] | None = None) -> None:
        """Read as output comes: until its end, or if nobody wants to know of that, until `unwatch`."""
        self._on_end = on_end
        if not self.watched:
            self.watched = True
            if on_end is None:
                # The shell may not have opened its end yet, or the command closed it; that is no end.
                self._hold = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._loop.add_reader(self.fd, self._on_readable)

    def unwatch(self) -> None:
        """Stop reading by itself."""
        self._on_end = None
        if self.watched:
            self.watched = False
            self._loop.remove_reader(self.fd)
        if self._hold >= 0:
            os.close(self._hold)
            self._hold = -1

    def _on_readable(self) -> None:
        self.drain()
        if self.ended:
            on_end = self._on_end
            self.unwatch()
            if on_end is not None:
                on_end()

    def close(self) -> None:
        self.unwatch()
        os.close(self.fd)


class Shell:
    """A live shell in a sandbox. `on_checkpoint(cwd, code or None)` is called after each command."""

    def __init__(
        self,
        sandbox: Sandbox,
        folder: Path,
        name: str,
        cwd: bytes,
        checkpoint: bytes | None,
        on_checkpoint: Callable[[bytes, bytes | None], None],
    ) -> None:
        self.sandbox = sandbox
        self.pid: int | None = None
        #: False once the shell is known to be gone; it takes no more commands then.
        self.open: bool = True
        #: Done once the shell told its pid, or will not any more.
        self.up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        #: Set while no checkpoint is to come: a command's follows its answer.
        self.settled: asyncio.Event = asyncio.Event()
        self.settled.set()
        self._loop = asyncio.get_running_loop()
        self._on_checkpoint = on_checkpoint
        self._folder = folder
        self._path = f"{CONTROL}/{name}".encode()
        folder.mkdir(mode=0o700)
        os.mkfifo(folder / "c", 0o600)
        os.mkfifo(folder / "s", 0o600)
        # Both ends, so that neither the shell's going away nor its not being there yet is the end of the pipe.
        self._commands = os.open(folder / "c", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._records = os.open(folder / "s", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._out = _Reader(folder / "o", Stream.STDOUT)
        self._err = _Reader(folder / "e", Stream.STDERR)
        self._held: list[_Reader] = []
        self._field = bytearray()
        self._overflow = False
        self._expect = "record"
        #: What was read of records but not looked at yet, and whether its turn is coming.
        self._backlog = b""
        self._resuming = False
        #: Whether the shell has said its last, by `E`.
        self._ended = False
        self._cwd = cwd
        # The command that runs.
        self._result: asyncio.Future[Result] | None = None
        self._running = False
        self.input: Input | None = None
        self._began = 0.0
        self._timer: asyncio.TimerHandle | None = None
        #: How it ended, while its output may still come.
        self._lingering: Result | None = None
        self._status = 0
        self._loop.add_reader(self._records, self._on_record)
        if checkpoint is not None:
            (folder / "checkpoint").write_bytes(checkpoint)
        path = self._path.decode()
        #: The mark of what the command that runs has started.
        self.mark: int = 0
        sandbox.control(_ABOVE.format(path=path, name=name).encode())
        prologue = _PROLOGUE.format(path=path, cwd="{cwd}").encode().replace(b"{cwd}", quote(cwd))
        os.write(self._commands, prologue)

    def run(self, command: bytes, journal: Journal, stdin: bool) -> asyncio.Future[Result]:
        """Start a command whose output goes to `journal`; the future's result says how it ended. One at a time.
        Raises OSError."""
        assert self._result is None
        assert self.open
        assert self.pid is not None
        if len(command) <= _INLINE:
            word = quote(command)
        else:
            file = self._folder / "f"
            file.unlink(missing_ok=True)
            file.write_bytes(command)
            word = b'"$(<' + self._path + b'/f)"'
        source = b"/dev/null"
        if stdin:
            self.input = Input(self._folder / "i")
            source = self._path + b"/i"
        self.mark = self.sandbox.processes.mark(self.pid)
        os.write(self._commands, _COMMAND % (word, source, self._path, self._path))
        self._result = self._loop.create_future()
        self.settled.clear()
        self._running = True
        self._out.journal = self._err.journal = journal
        self._began = time.perf_counter()
        self._timer = self._loop.call_later(_WATCH_AFTER, self._watch)
        return self._result

    def _watch(self) -> None:
        self._out.watch()
        self._err.watch()

    # Records

    def _on_record(self, most: int = _FIELDS) -> None:
        """Take up to `most` fields; those beyond have their turn soon, so that a flood does not starve the rest."""
        if not self.open:
            return
        data, self._backlog = self._backlog, b""
        if not data:
            try:
                data = os.read(self._records, _READ)
            except BlockingIOError:
                return
        *complete, rest = data.split(b"\0", most)
        for part in complete:
            self._grow(part)
            field, overflow = bytes(self._field), self._overflow
            self._field.clear()
            self._overflow = False
            self._take(field, overflow)
            if not self.open:
                return
        if len(complete) < most:
            self._grow(rest)
        elif rest:
            self._backlog = rest
            if not self._resuming:
                self._resuming = True
                self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        self._resuming = False
        self._on_record()

    def _grow(self, data: bytes) -> None:
        if len(self._field) + len(data) > _CHECKPOINT:
            self._overflow = True
        else:
            self._field += data

    def _take(self, field: bytes, overflow: bool) -> None:
        if self._expect == "cwd":
            self._expect = "checkpoint"
            if field.startswith(b"/") and len(field) < _CWD:
                self._cwd = field
            if self._status >= 0:
                self._command_done(self._status)
        elif self._expect == "checkpoint":
            self._expect = "record"
            self._on_checkpoint(self._cwd, None if overflow else field)
            if self._status >= 0:
                self.settled.set()
        else:
            kind, digits = field[:1], field[1:]
            if not (digits.isdigit() and len(digits) < 10):
                return
            number = int(digits)
            if kind == b"S":
                # The first is the shell's own; the guest cannot be before it.
                self.pid = self.pid or number
                if not self.up.done():
                    self.up.set_result(None)
            elif kind == b"R":
                # Between two commands there is nothing to be told; what comes then is made up.
                if self._running:
                    self._expect, self._status = "cwd", number & 0xFF
            elif kind == b"E":
                if not self._ended:
                    self._ended = True
                    self._expect, self._status = "cwd", -1
            elif kind == b"X":
                self._gone(number & 0xFF)

    def _gone(self, status: int | None) -> None:
        """The shell is no more; a command that ran ended with it."""
        self.open = False
        self._loop.remove_reader(self._records)
        if self._result is None:
            self.close()
        else:
            self._command_done(status)

    def lost(self) -> bool:
        """Look whether shell and the process above it vanished without a record; if so the command ends by it."""
        if self.open and self.pid is not None and not self.sandbox.processes.alive(self.pid):
            # What came before its end: no more than a backlog and what a pipe holds, whoever goes on writing.
            self._on_record(_READ)
            self._on_record(_READ)
            if self.open:
                self._gone(137)
        return not self.open

    # The end of a command

    def _command_done(self, status: int | None) -> None:
        if self._result is None or not self._running:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        seconds = time.perf_counter() - self._began
        result = Result(status, self._cwd, seconds)
        self._running = False
        self._close_input()
        for reader in (self._out, self._err):
            reader.unwatch()
            # More than a pipe holds; beyond that somebody else is writing, maybe without end.
            reader.drain()
        if self._out.ended and self._err.ended:
            self._answer(result)
            return
        # Something that the command left behind holds its output.
        self._lingering = result
        self._linger(result, self._loop.time() + _LINGER_MOST)

        def ended() -> None:
            if self._out.ended and self._err.ended:
                self._answer(result)

        for reader in (self._out, self._err):
            if not reader.ended:
                reader.watch(ended)

    def _linger(self, result: Result, until: float) -> None:
        """Answer once nothing that the command left is at work, or it is `until`."""

        def look() -> None:
            if self._loop.time() < until and self._at_work():
                self._linger(result, until)
            else:
                self._answer(result)

        self._timer = self._loop.call_later(_LINGER, look)

    def _at_work(self) -> bool:
        """Whether a process of the session is about to run: not waiting for time, input or anybody."""
        return any(
            process.session == self.pid and process.pid != self.pid and process.state in "RD"
            for process in self.sandbox.processes.all()
        )

    def _close_input(self) -> None:
        if self.input is not None:
            self.input.close()
            self.input = None

    def _answer(self, result: Result) -> None:
        self._lingering = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for name in ("o", "e"):
            reader = self._out if name == "o" else self._err
            reader.journal = None
            if reader.ended:
                continue
            # Late output must not land in the next answer, nor its writer get SIGPIPE: a fresh pipe for the next
            # command, and the old one read to its end.
            (self._folder / name).unlink()
            fresh = _Reader(self._folder / name, reader.stream)
            if name == "o":
                self._out = fresh
            else:
                self._err = fresh
            self._held.append(reader)
            reader.watch(partial(self._let_go, reader))
            if len(self._held) > _HELD_STREAMS:
                self._let_go(self._held[0])
        future, self._result = self._result, None
        if not self.open:
            self.close()
        if future is not None and not future.done():
            future.set_result(result)

    def close_unless_up(self) -> None:
        """Give up on a shell that has not told its pid."""
        if self.pid is None:
            self.close()

    def _let_go(self, reader: _Reader) -> None:
        self._held.remove(reader)
        reader.close()

    def close(self) -> None:
        """Give everything back; a command that still runs ends without a status."""
        if self._commands < 0:
            return
        self.open = False
        self.settled.set()
        if not self.up.done():
            self.up.set_result(None)
        self._loop.remove_reader(self._records)
        if self._timer is not None:
            self._timer.cancel()
        self._close_input()
        for reader in (self._out, self._err, *self._held):
            reader.close()
        self._held.clear()
        os.close(self._commands)
        os.close(self._records)
        self._commands = self._records = -1
        with contextlib.suppress(FileNotFoundError):  # with the sandbox all its folders go
            for entry in self._folder.iterdir():
                entry.unlink()
            self._folder.rmdir()
        future, self._result = self._result, None
        if future is not None and not future.done():
            cut = Result(None, self._cwd, time.perf_counter() - self._began)
            future.set_result(self._lingering or cut)
