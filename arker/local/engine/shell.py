"""A session's shell: one bash that reads commands from a growing script, and reports their ends.

A folder that the sandbox sees read-only has `bash`, the script (so named because bash calls itself by the name of its
script in messages), and named pipes: `o` and `e`, the output and error output of the command that runs; `i`, its input
where it has one. Beside the folder, under names that only the shell and the host know and that no listing shows, are
the pipe of records, the gates of the script, and the files of shell code that the engine needs.

For each command the shell reads two lines. The first evaluates the command, and then tells how it ended: a redirection
from a file that does not exist, whose name has status and folder in it, fails, and bash itself writes the name in its
message of the error to the pipe of records. So no command is executed for it: no DEBUG trap runs, and no function or
disabled builtin of the user interferes. The name also has a number that was made for this command. The second line
reports the state of the shell (`checkpoint`), for the next shell: a session outlives its shells. It reports only what
the command can have changed (`effects`): nothing after a call of a program, and a few variables after most others. The
next command does not wait for variables.

The engine's lines are invisible to the user as far as bash allows. The hook that saves a shell which ends by itself is
a trap on EXIT, which `trap -p` would show and other traps on EXIT replace. So for a command that has the word `trap`,
`exit` is a function that does the same, and the hook is removed before a command that may show it, or where traps
follow each line. Where traps exist that see every command, the shell reports from a subshell, which has none of them.

Records are separated by NULs: `S pid` a shell is up; `K` and `L` the folder and the sections of a checkpoint; `V` the
number of the command, and what it can have changed; `E` and `F` all as the shell ends; `X status` the shell is gone,
from the process above it.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import fcntl
import math
import os
import platform
import re
import secrets
import select
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from arker.local.engine import small_files
from arker.local.engine.checkpoint import (
    CHANGES_ON_DEMAND,
    ON_DEMAND,
    OPTIONS,
    SECTIONS,
    SEEN,
    Checkpoint,
    quote,
    restoration,
)
from arker.local.engine.effects import Changes, changes, changes_nothing, evaluates, is_deep, unquoted
from arker.local.engine.journal import Journal
from arker.local.engine.protocol import EngineError, Stream
from arker.local.engine.sandbox import CONTROL, Sandbox
from arker.local.engine.script import Script
from arker.local.engine.stdin import Input

#: Bytes to read at a time: what a pipe holds; and what it is made to hold once it was full, which costs a flood fewer
#: turns of both sides.
_READ = 1 << 16
_READ_FLOOD = 1 << 18
#: How often one stream is read at the end of a command: more than a pipe holds.
_TURNS = 16
#: Output of commands that end sooner is not watched: it fits into the pipes.
_WATCH_AFTER = 0.002
#: Seconds after which a shell that has not sent its record is checked; the last value is repeated.
_LOOKS = (0.02, 0.05, 0.1, 0.25)
#: How long to wait for the output of processes that a command left, such as `>(tee log)`: seconds between checks
#: whether they are at work, and the maximum.
_LINGER = 0.01
_LINGER_MOST = 0.1
#: Maximum seconds between checks whether all processes of a command have ended.
_LONGEST_PAUSE = 0.25
#: Longer commands are passed in a file of their own.
_INLINE = 1 << 12
#: Maximum bytes of one report of a shell; a larger one is dropped.
_TOLD = 64 << 20
_CWD = 4096
_HELD_STREAMS = 64
#: Descriptors of a waiting shell; the last one is its script.
_OWN = frozenset({0, 1, 2, 255})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: The beginning of a line of /proc/<pid>/syscall in a process that waits until a file is open: openat(2).
_OPENS = {"x86_64": b"257 ", "aarch64": b"56 "}.get(platform.machine(), b"unknown")

_ABOVE = """\
{{ cd {path}; setsid bash --noprofile --norc bash 0<&- 1>&- 2>&- 3>&-
printf '\\0X%d\\0' $? >&3; }} 3>{secret}.s </dev/null &
"""

_START = rb"""\builtin cd -- %(cwd)b || \builtin cd
\builtin unset -v OLDPWD
%(restoration)b
%(hook)b
\builtin printf '\0S%%d\0' "$$" >%(secret)b.s
"""
#: Keeps `eval` from counting as a failed command itself: an ERR trap would run twice.
_EXCUSED = b"&&if { :;} 2>&- <'';then :;fi"
# The empty line: after a text that ends with a continued line, bash takes the next word for no word of the grammar.
_COMMAND = b'%b\\builtin eval %b <%b%b%b;if { :;} 2>%b.s <"/%b/$?/${PWD-}/%b/";then :;fi%b\n\n'
# `:` leaves its name in `$_`, instead of one that is secret. Nothing is executed if the pipe cannot be opened: the
# command would be taken for the one that had no record.
_TELL = b"if { \\:;} >%b.s;then %b;\\:;fi\n"
_TELL_APART = b"(%b)\n"
_TELL_PART = b"{ %b;\\:;} >%b.s 2>&-\n"
#: The file of the hook; a function called `builtin` must not keep it from reporting.
_AT_EXIT = b'\\unset -f builtin\n%b\n\\builtin return "$1" 2>/dev/null\n'
#: Sets the status to its argument.
_RETURN = b'\\builtin return "$1"\n'
_LEAVE = b'\\builtin exit "${PIPESTATUS-1}"\n'
_FIXED_LINE = re.compile(rb"^declare -\w*r\w* LINENO\b", re.MULTILINE)
#: The end of a call that has no arguments.
_BARE = rb"(?=[ \t]*(?:--[ \t]*)?(?:$|[;&|)}\n`<>]|\d>))"
#: Commands that may show functions, without quotes.
_FUNCTIONS = re.compile(
    rb"\b(?:compgen|type|command\s+-|(?:declare|typeset)\s+-\w*[fF]|(?:declare|typeset|set)" + _BARE + rb")"
)
_PASSING_NAMES = frozenset({b"errexit", b"nounset", b"pipefail"})
_PASSING = b"\\builtin set +eu +o pipefail;"
# A function called `builtin` would print into the output of the command; the file removes it first.
_HOOK = b'\\. %b.x "$?"&&:'
_EXIT = (
    b'exit() { \\builtin set -- "${@:-$?}";\\builtin test "$BASHPID" != "$$"||\\builtin . %b.x "$1"&&:;'
    b'\\builtin exit "$@";};'
)

#: Commands that show traps, without quotes.
_SHOWING = re.compile(rb"\btrap(?:\s+-\w*p|" + _BARE + rb")")
#: Traps that see the engine's own lines, and whatever may set one without its name.
_SEEING = re.compile(rb"DEBUG|ERR|RETURN|[$`{*?\[]", re.IGNORECASE)


#: The sections that a shell reports, by the kind of record. Positional parameters exist only while it ends.
_TELLS: dict[str, list[str]] = {
    "K": [name for name in SECTIONS if name not in ON_DEMAND],
    "L": list(SECTIONS),
    "E": [name for name in SECTIONS if name not in ON_DEMAND and name != "arguments"],
    "F": [name for name in SECTIONS if name != "arguments"],
}


def _telling(secret: bytes, kind: str) -> bytes:
    """The shell code that reports the state of a shell, its options first: some are then unset."""
    head = rf"""\builtin printf '\0{kind}\0%s\0%s\0%s\0' "${{PWD-}}" "$SHELLOPTS" "$BASHOPTS" """
    lines = ["{", head, _PASSING.decode()]
    lines += [rf"{SECTIONS[name]};\builtin printf '\0'" for name in _TELLS[kind]]
    lines.append(rf"\builtin printf 'Z\0';}} >{secret.decode()}.s")
    return "\n".join(lines).encode()


#: The ends of the names of its secret files: records, what it does at its end, the file that sets the status, a long
#: command, and what it begins with.
_SECRET_FILES = ("s", "x", "r", "f", "start")

_RECORD = re.compile(rb"\0(?:(?P<kind>[SX])(?P<number>\d{1,9})\0|(?P<teller>[KLEFV])\0?)")
_TOLD_END = b"\0Z\0"


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
            raise EngineError(f"{name!r} is not the name of a variable")
        first.append(b"\\builtin export " + name.encode() + b"=" + quote(_bytes(value)))
    return b"(" + b"; ".join([*first, b"\\builtin eval " + quote(raw)]) + b")"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _is_open_ended(code: bytes) -> bool:
    """Whether `code` may end within a command substitution or a condition; pure."""
    substitution = b"$(" in code and code.count(b"(") != code.count(b")")
    return substitution or code.count(b"[[") != code.count(b"]]")


def _trap(name: bytes, word: bytes) -> bytes:
    return b"trap -- " + word + b" " + name + b"\n"


class ShellState(enum.Enum):
    """The state of a shell. Only `Shell._move` changes it."""

    STARTING = enum.auto()
    #: It waits for a command.
    READY = enum.auto()
    #: A command runs.
    RUNNING = enum.auto()
    #: The command has ended; the rest of its output is read.
    DRAINING = enum.auto()
    #: The command is answered, and the shell reports its state.
    TELLING = enum.auto()
    #: It takes no more commands.
    CLOSED = enum.auto()


_MOVES: dict[ShellState, tuple[ShellState, ...]] = {
    ShellState.STARTING: (ShellState.READY, ShellState.CLOSED),
    ShellState.READY: (ShellState.RUNNING, ShellState.CLOSED),
    ShellState.RUNNING: (ShellState.DRAINING, ShellState.CLOSED),
    ShellState.DRAINING: (ShellState.TELLING, ShellState.READY, ShellState.CLOSED),
    # It may get its next command before it has reported its variables.
    ShellState.TELLING: (ShellState.READY, ShellState.RUNNING, ShellState.CLOSED),
    ShellState.CLOSED: (),
}


@dataclass(slots=True)
class Result:
    """How a command ended. `status` is None when it is unknown."""

    status: int | None
    cwd: bytes
    seconds: float
    #: Whether the shell ended without a record, for example by a signal.
    killed: bool = False
    #: Why the status is unknown, if that is known.
    why: str = ""


class _Reader:
    """The reading end of an output pipe, over all commands that use it."""

    __slots__ = ("_hold", "_loop", "_on_end", "_path", "_size", "ended", "fd", "journal", "stream", "watched")

    def __init__(self, path: str, stream: Stream) -> None:
        os.mkfifo(path, 0o600)
        self._path = path
        self._hold = -1
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._loop = asyncio.get_running_loop()
        self._size = _READ
        self.stream = stream
        #: The journal of the running command.
        self.journal: Journal | None = None
        #: Whether the writing end was closed at the last check.
        self.ended = False
        self.watched = False
        self._on_end: Callable[[], None] | None = None

    def renew(self) -> None:
        """Open the pipe again, so that `opened` reports writers from now on."""
        fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.close(self.fd)
        self.fd = fd

    def opened(self) -> bool:
        """Whether a process has opened the pipe for writing since it was made or renewed."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        # There is output, or there was a writer.
        if poll.poll(0):
            return True
        try:
            data = os.read(self.fd, 1)
        except BlockingIOError:  # there is a writer
            return True
        # Output may have come since.
        if data and self.journal is not None:
            self.journal.append(self.stream, data)
        return bool(data)

    def drain(self, turns: int = _TURNS) -> None:
        """Read what is there, and somewhat more if it keeps coming; sets `ended`."""
        self.ended = False
        for _ in range(turns):
            try:
                data = os.read(self.fd, self._size)
            except BlockingIOError:
                return
            if not data:
                self.ended = True
                return
            if len(data) == _READ == self._size:
                self._resize(_READ_FLOOD)
            if self.journal is not None:
                self.journal.append(self.stream, data)

    def settle(self) -> None:
        """Restore the usual size of the pipe, once it is empty."""
        if self._size != _READ:
            self._resize(_READ)

    def _resize(self, size: int) -> None:
        self._size = size
        # All pipes of a user have a limit together.
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, size)

    def watch(self, on_end: Callable[[], None] | None = None) -> None:
        """Read output as it comes, until its end or `unwatch`."""
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
        # Once: readers of the output, and other tasks, get their turn before there is more.
        self.drain(1)
        if self.ended:
            on_end = self._on_end
            self.unwatch()
            if on_end is not None:
                on_end()

    def close(self) -> None:
        self.unwatch()
        os.close(self.fd)


class Shell:
    """A live shell in a sandbox.

    Args:
        control: the folder of the host that the sandbox sees at `CONTROL`.
        name: the name of the session, and of a folder in `control`.
        cwd: the folder to begin in.
        told: the state of the session: a checkpoint, or the shell code of an older release.
        status: what `$?` is to be.
        environment: the names of the variables that a shell in this sandbox begins with.
        on_told: called with the folder and the checkpoint after each command.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        control: str,
        name: str,
        cwd: bytes,
        told: Checkpoint | bytes | None,
        status: int,
        environment: Iterable[str],
        on_told: Callable[[bytes, Checkpoint], None],
    ) -> None:
        self.sandbox = sandbox
        self.pid: int | None = None
        self.state: ShellState = ShellState.STARTING
        #: Its parent process, which reports how it ended.
        self._keeper: int | None = None
        #: Why it must not be used any more.
        self.damage: str | None = None
        #: Done once it is up, or closed.
        self.up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        #: Set while no checkpoint is outstanding.
        self.settled: asyncio.Event = asyncio.Event()
        self.settled.set()
        #: Cleared while a command was given before the variables after the last one were reported: they come as it
        #: begins.
        self.told_before: asyncio.Event = asyncio.Event()
        self.told_before.set()
        self._nonce_before = b""
        #: The mark of the processes that the running command has started.
        self.mark: int = 0
        self.input: Input | None = None
        self._loop = asyncio.get_running_loop()
        self._on_told = on_told
        name_of_secret = secrets.token_urlsafe(8)
        self._folder = f"{control}/{name}"
        self._secret_file = f"{control}/{name_of_secret}"
        self._path = f"{CONTROL}/{name}".encode()
        self._secret = f"{CONTROL}/{name_of_secret}".encode()
        self._cwd = cwd
        #: Whether its state may be incomplete here, because it was started from code of an older release.
        self._unknown = isinstance(told, bytes)
        self._checkpoint = told if isinstance(told, Checkpoint) else Checkpoint({})
        #: Whether `LINENO` is readonly.
        self._line_is_fixed = False
        #: Whether a function may change more than variables.
        self._functions_are_deep = is_deep(self._checkpoint.sections.get("functions", b""))
        #: The user's own trap on EXIT, and whether the engine's is in its place.
        traps = self._checkpoint.traps()
        self._on_exit = traps.get(b"EXIT")
        self._hooked = False
        #: Whether traps are set that see each command.
        self._traps_see = not SEEN.isdisjoint(traps)
        #: Whether `exit` is the engine's function, and the traps that it does not see, unless the command changes them.
        self._exit_is_ours = False
        self._unseen: dict[bytes, bytes] = {}
        self._status = status
        self._at_exit = ""
        self._returns = False
        #: Whether options are set that end with their command: a shell that reports from a subshell cannot unset them.
        self._passing = False
        self._apart = False
        # The command that runs.
        self._on_end: Callable[[Result], None] | None = None
        self._nonce = b""
        self._began = 0.0
        #: Whether the shell was seen to have opened its output.
        self._begun = False
        #: Whether the command was sent a signal, which may end the shell before the command starts.
        self.signalled: bool = False
        self._timer: asyncio.TimerHandle | None = None
        self._look_timer: asyncio.TimerHandle | None = None
        self._command = b""
        #: Whether the command ends with the last process that it started.
        self._whole = False
        #: Whether it reads no more commands, as it lost its record.
        self._dismissed = False
        #: How it ended, while its output may still come.
        self._done: Result | None = None
        #: Whether the state after the command was reported.
        self._told = True
        #: Whether that report has only variables.
        self._tells_variables = False
        #: The parts of the state that are to be reported, by the numbers of the commands.
        self._asked: dict[bytes, Changes] = {}
        #: Incomplete records.
        self._unread = bytearray()
        #: The last report, as received.
        self._sections = b""
        self._told_cwd = b""
        self._leaving = False
        self._make(told, environment)

    def _make(self, told: Checkpoint | bytes | None, environment: Iterable[str]) -> None:
        os.mkdir(self._folder, 0o700)
        os.mkfifo(f"{self._secret_file}.s", 0o600)
        secret = self._secret
        self._tell_at_exit("E")
        late = b""
        if isinstance(told, Checkpoint):
            code, late = restoration(told, environment)
        else:
            code = told or b""
        if not late:
            self._hooked = True
            hook = b"\\builtin trap " + self._hook() + b" EXIT"
        elif self._on_exit is not None:
            hook = b"\\builtin trap -- " + self._on_exit + b" EXIT"
        else:
            hook = b""
        start = _START % {
            b"secret": secret,
            b"restoration": code,
            b"cwd": quote(self._cwd),
            b"hook": hook,
        }
        if code:
            # In a file of its own, as an error in what users defined would end the script.
            small_files.make(f"{self._secret_file}.start", start)
            start = b"\\builtin . " + secret + b".start;"
        # Both ends are open, so that the pipe does not end between records.
        flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC
        self._records = os.open(f"{self._secret_file}.s", flags)
        self._script = Script(
            f"{self._folder}/bash", self._secret_file, secret, start + b"\\:;" + late + b"\n"
        )
        self._out = _Reader(f"{self._folder}/o", Stream.STDOUT)
        self._err = _Reader(f"{self._folder}/e", Stream.STDERR)
        self._held: list[_Reader] = []
        self._loop.add_reader(self._records, self._read_records)
        self.sandbox.control(_ABOVE.format(path=self._path.decode(), secret=secret.decode()).encode())

    def _tell_at_exit(self, kind: str) -> None:
        """Make the shell report at its end everything that the last command may have changed."""
        self._at_exit = kind
        small_files.make(f"{self._secret_file}.x", _AT_EXIT % _telling(self._secret, kind))

    def _has_return(self) -> bool:
        """Whether there is the file that sets the status; it is made when it is first needed, if the disk has room."""
        if not self._returns:
            with contextlib.suppress(OSError):
                small_files.make(f"{self._secret_file}.r", _RETURN)
                self._returns = True
        return self._returns

    def _hook(self) -> bytes:
        """The trap on EXIT that reports the state and then runs the user's trap, as one word."""
        code = _HOOK % self._secret
        if self._on_exit is not None:
            code += b"\n\\builtin eval " + self._on_exit
        return quote(code)

    def _move(self, state: ShellState) -> None:
        assert state in _MOVES[self.state], (self.state, state)
        self.state = state
        if state in (ShellState.READY, ShellState.CLOSED):
            self.settled.set()
            if not self.up.done():
                self.up.set_result(None)
        else:
            self.settled.clear()

    # A command

    @property
    def takes_commands(self) -> bool:
        """Whether it waits for a command, or will once it has reported its variables, on which no other line
        depends."""
        telling = self.state is ShellState.TELLING and self._tells_variables
        return self.damage is None and (telling or self.state is ShellState.READY)

    def run(
        self,
        command: bytes,
        journal: Journal,
        on_end: Callable[[Result], None],
        *,
        stdin: bool = False,
        whole: bool = False,
    ) -> None:
        """Start a command whose output goes to `journal`; `on_end` is called once it has ended. With `whole`, it ends
        with the last process that it started. Needs a shell that takes commands. Raises OSError."""
        assert self.pid is not None
        source = b"/dev/null"
        if stdin:
            self.input = Input(f"{self._folder}/i")
            source = self._path + b"/i"
        nonce = os.urandom(3).hex().encode()
        text = self._lines(command, source, nonce)
        self.mark = self.sandbox.processes.mark(self.pid)
        self._out.renew()
        self._script.give(text)
        if self.state is ShellState.TELLING:
            self._nonce_before = self._nonce
            self.told_before.clear()
        self._move(ShellState.RUNNING)
        self._command = command
        self._whole = whole
        self._begun = self.signalled = False
        self._nonce = nonce
        self._out.journal = self._err.journal = journal
        self._began = time.perf_counter()
        self._on_end = on_end
        self._timer = self._loop.call_later(_WATCH_AFTER, self._watch)

    def _lines(self, command: bytes, source: bytes, nonce: bytes) -> bytes:
        """The lines that the shell reads for a command."""
        secret = self._secret
        text = unquoted(command)
        careful = self._looks_at_traps(text)
        self._apart = careful and self._is_seen(text)
        followed = careful and self._is_followed(text)
        # A trap on EXIT may run where redirections of the command are undone already, such as after `set -e`.
        lasting = (careful or self._on_exit is not None) and not (followed or self._may_define_exec(text))
        before = b""
        if unhooked := followed or (careful and self._shows_traps(text)):
            if self._hooked:
                before = b"\\builtin trap " + (self._on_exit or b"-") + b" EXIT;"
                self._hooked = False
        elif not self._hooked:
            before = b"\\builtin trap " + self._hook() + b" EXIT;"
            self._hooked = True
        ours = (unhooked or self._has_traps(text)) and self._may_define_exit(text, followed)
        if ours and not self._exit_is_ours:
            before += _EXIT % secret
        elif self._exit_is_ours and not ours:
            before += b"\\builtin unset -f exit;"
        self._exit_is_ours = ours
        known = self._checkpoint.traps() if careful else {}
        self._unseen = {name: known[name] for name in SEEN if name in known and name not in text}
        if self._passing:
            before += _PASSING
            self._passing = False
        shallow = not (careful or before or self._unknown or self._line_is_fixed)
        if self._status == 1:
            before += b"! if { :;} 2>&- <'';then :;fi;"
        elif self._status and not careful and self._has_return():
            before += b"\\builtin . %b.r %d&&:;" % (secret, self._status)
        elif self._status:
            before += b"(\\builtin exit %d)&&:;" % self._status
        word = self._word(command)
        output = b" >%b/o 2>%b/e" % (self._path, self._path)
        after = b""
        if lasting:
            before = b"\\exec" + output + b";" + before
            output, after = b"", b";\\exec >&- 2>&-"
        excused = _EXCUSED if careful else b""
        line = _COMMAND % (before, word, source, output, excused, secret, nonce, nonce, after)
        self._told = shallow and changes_nothing(command, self._checkpoint)
        if self._told:
            return line
        part = None
        # A command that looks at traps, and cannot be seen by them, sets some at the most.
        plain = careful and not (self._apart or followed or self._unknown or self._line_is_fixed)
        if shallow or plain:
            part = changes(command, self._checkpoint, functions_are_deep=self._functions_are_deep)
        if careful and part is not None and "traps" not in part.sections:
            part = None  # what is the engine's own is told apart by the traps
        self._tells_variables = part is not None and not part.sections
        if part is not None:
            self._asked[nonce] = part
            return line + _TELL_PART % (part.report(nonce), secret)
        more = self._changes_more(text)
        report = _telling(secret, "L" if more else "K")
        if self._at_exit != (at_exit := "F" if more else "E"):
            self._tell_at_exit(at_exit)
        return line + (_TELL_APART % report if self._apart else _TELL % (secret, report))

    def _changes_more(self, text: bytes) -> bool:
        """Whether a command may change what is reported only on demand: by itself, or by what it calls, reads or
        makes."""
        known = self._checkpoint.sections
        codes = (text, known.get("functions", b""), known.get("aliases", b""))
        return evaluates(text) or any(word in code for code in codes for word in CHANGES_ON_DEMAND)

    def _looks_at_traps(self, text: bytes) -> bool:
        """Whether a command may show or set traps, or be seen by them."""
        return self._traps_see or self._has_traps(text) or evaluates(text)

    def _has_traps(self, text: bytes) -> bool:
        return b"trap" in text or b"trap" in self._checkpoint.sections.get("functions", b"")

    def _is_seen(self, text: bytes) -> bool:
        """Whether traps may see the engine's lines after a command that looks at traps."""
        return (
            self._traps_see
            or b"trap" in self._checkpoint.sections.get("functions", b"")
            or evaluates(text)
            or _SEEING.search(text) is not None
        )

    def _shows_traps(self, text: bytes) -> bool:
        """Whether a command may show traps, so that the engine's own must not be there."""
        functions = self._checkpoint.sections.get("functions", b"")
        return any(_SHOWING.search(code) for code in (text, unquoted(functions)))

    def _is_followed(self, text: bytes) -> bool:
        """Whether traps exist, or may be set, that would see the engine's own trap, or each line of it."""
        known = self._checkpoint.sections
        functions = known.get("functions", b"")
        return any(
            name in text or name in known.get("traps", b"") or (b"trap" in functions and name in functions)
            for name in (b"DEBUG", b"RETURN")
        )

    def _may_define_exec(self, text: bytes) -> bool:
        """Whether `exec`, which works by this name alone, may be a function before or after a command."""
        return b"exec" in text or b" exec\n" in self._checkpoint.sections.get("names", b"")

    def _may_define_exit(self, text: bytes, followed: bool) -> bool:
        """Whether `exit` can be the engine's function while a command runs, and the command does not look."""
        options = self._checkpoint.options()
        # `set -T` lets traps follow functions, too.
        seen = followed and (b"set" in text or b"functrace" in options)
        return (
            not (seen or b"posix" in options or b"exit" in self._checkpoint.functions())
            and _FUNCTIONS.search(text) is None
        )

    def _word(self, command: bytes) -> bytes:
        if len(command) <= _INLINE:
            return quote(command)
        # The substitution takes line feeds at the end away; one that continued a line goes with its backslash.
        kept = command.rstrip(b"\n")
        backslashes = len(kept) - len(kept.rstrip(b"\\"))
        if len(kept) < len(command) and backslashes % 2:
            command = kept[:-1]
        # Written over, as removing a file costs more; a file that is emptied first is written to the disk when closed.
        fd = os.open(f"{self._secret_file}.f", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(command)
            file.truncate()
        return b'"$(<' + self._secret + b'.f)"'

    def _watch(self) -> None:
        if self._look_timer is None:
            self._look_later(0)
        self._begun = self._out.opened()
        if self._begun:
            self._out.watch()
            self._err.watch()
        else:
            # Watching opens the pipes, which would hide whether the command did.
            self._timer = self._loop.call_later(_WATCH_AFTER, self._watch)

    def _look_later(self, turn: int) -> None:
        seconds = _LOOKS[min(turn, len(_LOOKS) - 1)]
        self._look_timer = self._loop.call_later(seconds, self._look, turn + 1)

    def _look(self, turn: int) -> None:
        """Check whether an outstanding record or checkpoint can still come."""
        self._look_timer = None
        owing = self.state is ShellState.RUNNING or not self._told
        if not owing or self.state is ShellState.CLOSED or self.lost():
            return
        if self.state is not ShellState.RUNNING:
            # It waits for a command, and all its records were read.
            if self._opens() and self._script.dismiss():
                self._retire("it did not report its state")
                return
        elif not self._dismissed and self._opens():
            # Its command may have ended without a record, for example without free descriptors. The end of the shell
            # can still report the status: by `exit` or, where it executes nothing any more, as its script ends.
            self._dismissed = self._script.dismiss(b"" if self._apart else _LEAVE)
            self.damage = "its record was overdue"
            if self._dismissed and self._apart:
                # The status that it ends with is not the command's; see `_gone`.
                self.kill()
        self._look_later(turn)

    def _opens(self) -> bool:
        """Whether the shell waits until a file is open, and has sent no record."""
        if self.pid is None:
            return False
        # A record may have come just before it was looked at.
        return self.sandbox.processes.waits_in(self.pid).startswith(_OPENS) and not self._read_records()

    def _retire(self, why: str) -> None:
        self.damage = why
        self.kill()
        self.close(why)

    def kill(self) -> None:
        """Kill the shell, and nothing that it started; it takes no more commands."""
        self.damage = self.damage or "it was killed"
        if self.pid is not None:
            self.sandbox.processes.send(self.pid, signal.SIGKILL)

    # Records

    def take_reports(self) -> None:
        """Read what it has reported by now, instead of in a later turn of the event loop."""
        while self.state is ShellState.TELLING and self._read_records():
            pass

    def _read_records(self) -> bool:
        """Read the available records; return whether there were any."""
        if self.state is ShellState.CLOSED:
            return False
        try:
            data = os.read(self._records, _READ)
        except BlockingIOError:
            return False
        if len(self._unread) > _TOLD:
            # The rest is ignored, and the shell is replaced because its record is missing.
            self._unread.clear()
        self._unread += data
        found = self.state is ShellState.RUNNING and self._find_record(bytes(self._unread))
        if found or data.endswith(b"\0"):
            self._take_records(bytes(self._unread))
        return True

    def _take_records(self, text: bytes) -> None:
        at = 0
        while self.state is not ShellState.CLOSED and (record := _RECORD.search(text, at)):
            at = record.end()
            if record["kind"] == b"X":
                self._gone(int(record["number"]))
            elif record["kind"] is not None:
                self._is_up(int(record["number"]))
            elif (end := text.find(_TOLD_END, at)) < 0:
                at = record.start()
                break
            else:
                if record["teller"] == b"V":
                    self._take_part(text[at:end])
                else:
                    self._take_checkpoint(record["teller"].decode(), text[at:end])
                at = end + len(_TOLD_END)
        else:
            # The rest is no record, and at most the beginning of one.
            last = text.rfind(b"\0", at)
            at = last if last >= 0 else len(text)
        del self._unread[:at]

    def _is_up(self, pid: int) -> None:
        if self.state is ShellState.STARTING:
            self.pid = pid
            # It has its script open, and no other process may open it: neither by its name nor through /proc, where the
            # mode is checked. The folder is mounted read-only inside, so that the mode cannot be changed there.
            script = f"{self._folder}/bash"
            os.chmod(script, 0)
            os.unlink(script)
            self._keeper = self.sandbox.processes.parent(self.pid)
            self._move(ShellState.READY)

    def _find_record(self, text: bytes) -> bool:
        """Find the name of the missing file in bash's error message; return whether it is there."""
        mark = b"/" + self._nonce + b"/"
        begin, end = text.find(mark), text.rfind(mark)
        if 0 <= begin < end:
            status, _, folder = text[begin + len(mark) : end].partition(b"/")
            if status.isdigit():
                self._go(folder)
                self._command_done(int(status) & 0xFF)
                return True
        return False

    def _go(self, folder: bytes) -> None:
        if folder.startswith(b"/") and len(folder) < _CWD:
            self._cwd = folder

    def _take_part(self, told: bytes) -> None:
        nonce, *texts = told.split(b"\0")
        if (part := self._asked.pop(nonce, None)) is None:
            return
        known = part.apply(self._checkpoint, texts)
        if known is None:
            known = self._checkpoint
            self.damage = "it did not report all of its state"
        elif "traps" in part.sections:
            known = self._without_ours(known)
        changed = known != self._checkpoint
        if changed:
            self._learn(known)
            # Everything in the next report is new.
            self._sections = b""
        self._save_if(changed)
        if nonce == self._nonce_before:
            self.told_before.set()
        if nonce == self._nonce:
            self._all_told()

    def _save_if(self, changed: bool) -> None:
        if changed or self._cwd != self._told_cwd:
            self._told_cwd = self._cwd
            self._on_told(self._cwd, self._checkpoint)

    def _learn(self, told: Checkpoint) -> None:
        """Store the state that the shell has reported."""
        known, self._checkpoint = self._checkpoint, told

        def changed(section: str) -> bool:
            return told.sections.get(section) != known.sections.get(section)

        if changed("variables"):
            self._line_is_fixed = _FIXED_LINE.search(told.sections["variables"]) is not None
        if changed("functions"):
            self._functions_are_deep = is_deep(told.sections["functions"])
        if changed("traps"):
            self._traps_see = not SEEN.isdisjoint(told.traps())
        self.damage = self.damage or told.damage()

    def _all_told(self) -> None:
        self._told = True
        if self.state is ShellState.RUNNING:
            # An error, too many arguments of `exit` say, made bash skip the rest of the line.
            self._command_done(1)
        if self.state is ShellState.TELLING:
            self._move(ShellState.READY)

    def _take_checkpoint(self, kind: str, told: bytes) -> None:
        folder, _, sections = told.partition(b"\0")
        self._go(folder)
        changed = sections != self._sections
        if changed:
            self._sections = sections
            self._change_checkpoint(kind, sections.split(b"\0"))
        self._save_if(changed)
        if kind in "EF":
            self._leaving = True
            return
        self._all_told()

    def _change_checkpoint(self, kind: str, texts: list[bytes]) -> None:
        names = [*OPTIONS, *_TELLS[kind]]
        if len(texts) != len(names):
            self.damage = "it did not report all of its state"
            return
        told = Checkpoint({**self._checkpoint.sections, **dict(zip(names, texts, strict=True))})
        self._passing = self._apart and not _PASSING_NAMES.isdisjoint(told.options())
        self._learn(told)
        if kind in "EF":
            # While a function runs, bash removes traps that it does not inherit.
            seen = told.traps()
            unseen = [_trap(name, word) for name, word in self._unseen.items() if name not in seen]
            told = Checkpoint({**told.sections, "traps": told.sections["traps"] + b"".join(unseen)})
        self._checkpoint = self._without_ours(told)
        self._unknown = False

    def _without_ours(self, told: Checkpoint) -> Checkpoint:
        """The state of the shell without the engine's own trap on EXIT, or function."""
        sections = dict(told.sections)
        traps = told.traps()
        on_exit = traps.pop(b"EXIT", None)
        if not self._hooked or on_exit is None or self._secret not in on_exit:
            self._hooked = False
            self._on_exit = on_exit
        if self._hooked or on_exit is not None:
            traps |= {} if self._on_exit is None else {b"EXIT": self._on_exit}
            sections["traps"] = b"".join(_trap(name, word) for name, word in traps.items())
        ours = told.functions().get(b"exit", b"") if self._exit_is_ours else b""
        if self._secret in ours:
            sections["names"] = sections["names"].replace(b"declare -f exit\n", b"")
            sections["functions"] = sections["functions"].replace(ours, b"")
        return Checkpoint(sections)

    def _gone(self, status: int) -> None:
        """The shell is gone; a command that ran ended with it."""
        if self.sandbox.stopping:
            # Its end says nothing about the command.
            self.close()
        elif self.state is ShellState.RUNNING and not (self.signalled or self._begun or self._out.opened()):
            self.close("the shell of the session ended before the command could start")
        elif self.state is ShellState.RUNNING:
            lost = self._dismissed and self._apart
            self._command_done(128 + signal.SIGKILL if lost else status & 0xFF, gone=True)
        elif self.state is ShellState.DRAINING:
            self._told = True
            self.damage = self.damage or "it ended"
        else:
            self.close()

    @property
    def holds_descriptors(self) -> bool:
        """Whether commands left descriptors open in a shell that is settled."""
        return self.pid is not None and bool(self.sandbox.processes.opened_by(self.pid) - _OWN)

    def lost(self) -> bool:
        """Check whether the shell and its parent process vanished without a record; if so, end the command."""
        alive = self.sandbox.processes.alive
        gone = self.pid is not None and not alive(self.pid) and not (self._keeper and alive(self._keeper))
        if self.state is not ShellState.CLOSED and gone:
            while self._read_records():
                pass
            if self.state in (ShellState.READY, ShellState.RUNNING, ShellState.TELLING):
                self._gone(128 + signal.SIGKILL)
        return self.state is ShellState.CLOSED or (self.damage is not None and self.settled.is_set())

    # The end of a command

    def _command_done(self, status: int | None, *, gone: bool = False) -> None:
        self._move(ShellState.DRAINING)
        self.told_before.set()
        self._script.taken()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._status = status or 0
        killed = gone and not self._leaving and status is not None and status > 128
        seconds = time.perf_counter() - self._began
        result = self._done = Result(status, self._cwd, seconds, killed)
        if gone:
            self._told = True
            self.damage = self.damage or "it ended"
        elif status == 2 and _is_open_ended(self._command):
            # bash 5.2 does not recover from that: it aborts a little later, or knows no `[[` any more.
            self.damage = "bash is confused by an incomplete command"
        self._command = b""
        self._close_input()
        for reader in (self._out, self._err):
            reader.unwatch()
            # More than a pipe holds; beyond that somebody else is writing, maybe without end.
            reader.drain()
        if self._out.ended and self._err.ended and not self._whole:
            self._answer(result)
            return
        # A process of the command holds its output, or must be waited for.
        self._linger(result, math.inf if self._whole else self._loop.time() + _LINGER_MOST)

        def ended() -> None:
            if self._out.ended and self._err.ended and not self._whole:
                self._answer(result)

        for reader in (self._out, self._err):
            if not reader.ended:
                reader.watch(ended)

    def _linger(self, result: Result, until: float, pause: float = _LINGER) -> None:
        """End the command once no process that it left is at work, at `until` at the latest."""

        def look() -> None:
            if self._loop.time() < until and self._at_work():
                self._linger(result, until, min(2 * pause, _LONGEST_PAUSE) if self._whole else pause)
                return
            if self._whole:
                # Read what the last process wrote just before it ended.
                for reader in (self._out, self._err):
                    reader.unwatch()
                    reader.drain()
            self._answer(result)

        self._timer = self._loop.call_later(pause, look)

    def _at_work(self) -> bool:
        """Whether a process of the session is at work: not waiting for time, input or another process. For a command
        that ends with all that it started: whether any of that is left."""
        if self._whole:
            return self.pid is not None and bool(self.sandbox.processes.started_by(self.pid, self.mark))
        return any(
            process.session == self.pid and process.pid != self.pid and process.state in "RD"
            for process in self.sandbox.processes.all()
        )

    def _answer(self, result: Result) -> None:
        self._done = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for name in ("o", "e"):
            reader = self._out if name == "o" else self._err
            reader.journal = None
            if reader.ended:
                reader.settle()
                continue
            # Late output must not land in the next answer, nor its writer get SIGPIPE: a fresh pipe for the next
            # command, and the old one read to its end.
            os.unlink(f"{self._folder}/{name}")
            fresh = _Reader(f"{self._folder}/{name}", reader.stream)
            if name == "o":
                self._out = fresh
            else:
                self._err = fresh
            self._held.append(reader)
            reader.watch(partial(self._let_go, reader))
            if len(self._held) > _HELD_STREAMS:
                self._let_go(self._held[0])
        on_end, self._on_end = self._on_end, None
        if self.damage == "it ended":
            self.close()
        elif self._told:
            self._move(ShellState.READY)
        else:
            self._move(ShellState.TELLING)
            if self._look_timer is None:
                self._look_later(0)
        if on_end is not None:
            on_end(result)

    def close_unless_up(self) -> None:
        """Give up on a shell that has not reported its pid."""
        if self.state is ShellState.STARTING:
            self.close()

    def _close_input(self) -> None:
        if self.input is not None:
            self.input.close()
            self.input = None

    def _let_go(self, reader: _Reader) -> None:
        self._held.remove(reader)
        reader.close()

    def close(self, why: str = "") -> None:
        """Release all resources; a command that still runs ends without a status."""
        if self.state is ShellState.CLOSED:
            return
        self._move(ShellState.CLOSED)
        self.told_before.set()
        self._loop.remove_reader(self._records)
        for timer in (self._timer, self._look_timer):
            if timer is not None:
                timer.cancel()
        self._close_input()
        for reader in (self._out, self._err, *self._held):
            reader.close()
        self._held.clear()
        self._script.close()
        os.close(self._records)
        small_files.remove_folder(self._folder)
        for name in _SECRET_FILES:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._secret_file}.{name}")
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            cut = Result(None, self._cwd, time.perf_counter() - self._began, why=why)
            on_end(self._done or cut)
