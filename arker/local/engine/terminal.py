"""Terminals in computers: a shell on a pseudo-terminal of the sandbox's own devpts, which keeps running while no client
is attached.

The host holds the master, so no process but the shell runs inside for it. Three files are in a folder that the
sandbox sees read-only:

    start   the script of the new process, which opens the pseudo-terminal and becomes the shell or program
    begin   the initial state of the shell: the folder, the variables and the functions of its session
    end     a pipe for two records: `S pid` (started) and `X status` (ended)

Recent output is kept and sent to new attachments. There is one attachment at a time: a new one ends the previous
one, whose client may be gone. If an attachment does not read, the terminal's output stops, as in every terminal;
after a while the attachment is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import errno
import fcntl
import os
import signal
import struct
import termios
from collections import deque
from collections.abc import Callable
from pathlib import Path

from arker.local.engine import _linux
from arker.local.engine.checkpoint import quote
from arker.local.engine.processes import Process
from arker.local.engine.protocol import LimitReached, TerminalSize
from arker.local.engine.sandbox import CONTROL, Sandbox

#: Maximum bytes of output that are kept, and that an attachment may leave unread before output stops.
SCROLLBACK = 256 << 10
_UNREAD = 256 << 10
_READ = 1 << 16
#: Seconds for which an attachment may leave output unread.
STALLED_SECONDS = 60.0
#: Seconds that a shell may take to start, and that a killed one may take to end.
_START_SECONDS = 15.0
_KILL_SECONDS = 5.0
#: Times that the processes are listed to be killed; a guest that never stops forking is not waited for.
_KILL_LOOKS = 20
_TIOCGPTN, _TIOCSPTLCK = 0x80045430, 0x40045431

_ABOVE = """\
{{ cd; setsid bash --noprofile --norc {path}/start; printf 'X%d\\0' $? >&3; }} 3>{path}/end </dev/null >/dev/null 2>&1 &
"""
# A session leader without a terminal gets the first one that it opens.
_START = """\
printf 'S%d\\0' "$$" >&3
exec 3>&- 0<>/dev/pts/{number} 1>&0 2>&1
"""
_SHELL = b"exec bash --rcfile %b/begin -i\n"
_PROGRAM = b". %b/begin; exec -- %b\n"
# Read the files of a login shell, then the state of the session. That code is meant for a non-interactive shell and may
# set options; only variables and functions are kept.
_BEGIN = rb"""PS1='\h:\w\$ '
for __arker in /etc/profile ~/.bash_profile ~/.bash_login ~/.profile ~/.bashrc; do
    [[ -r $__arker ]] || continue
    . "$__arker"
    [[ $__arker == /etc/profile ]] || break
done
eval "$(bash --noprofile --norc -c \
    '. %(path)b/state >/dev/null; trap - EXIT; set +eux; export -p; declare -f' 2>/dev/null)"
unset -v __arker COLUMNS LINES OLDPWD
cd -- %(cwd)b 2>/dev/null || cd
"""


class State(enum.Enum):
    """The state of a terminal. Only `Terminal._move` changes it, and only forward."""

    STARTING = enum.auto()
    RUNNING = enum.auto()
    #: The terminal was killed and is ending.
    ENDING = enum.auto()
    ENDED = enum.auto()


class Terminal:
    """The terminal of a session: its pseudo-terminal, its recent output, and its attachment."""

    def __init__(
        self,
        sandbox: Sandbox,
        folder: Path,
        name: str,
        size: TerminalSize,
        *,
        cwd: bytes,
        state: bytes | None,
        command: str | None,
        on_end: Callable[[], object],
    ) -> None:
        """Start the terminal; raises OSError. `state` is shell code that restores the session's state."""
        self.state: State = State.STARTING
        #: Done when the terminal has ended, with the exit code of its shell; None when it is unknown.
        self.ended: asyncio.Future[int | None]
        #: Seconds without an attachment after which the terminal ends; None for never.
        self.idle: float | None = None
        self._loop = asyncio.get_running_loop()
        self.ended = self._loop.create_future()
        self._on_end = on_end
        self._sandbox = sandbox
        self._folder = folder
        self._shell: int | None = None
        self._up = asyncio.Event()
        self._drawn: deque[bytes] = deque()
        self._kept = 0
        self._attached: Attachment | None = None
        self._reading = False
        self._typing = asyncio.Lock()
        self._records = b""
        self._timer: asyncio.TimerHandle | None = None
        self._master = _linux.open_in_root(sandbox.root, "/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self._slave = self._end = -1
        try:
            fcntl.ioctl(self._master, _TIOCSPTLCK, struct.pack("i", 0))
            (number,) = struct.unpack("i", fcntl.ioctl(self._master, _TIOCGPTN, struct.pack("i", 0)))
            # Kept open, so that the master does not see an end when no program has it open.
            self._slave = _linux.open_in_root(
                sandbox.root, f"/dev/pts/{number}", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK
            )
            self.resize(size)
            self._begin(f"{CONTROL}/{name}", number, cwd, state, command)
        except BaseException:
            self._close()
            raise
        self._loop.add_reader(self._end, self._on_record)
        self._read()
        sandbox.ended.add_done_callback(self._on_sandbox_end)

    def _begin(self, path: str, number: int, cwd: bytes, state: bytes | None, command: str | None) -> None:
        raw = path.encode()
        then = (
            _SHELL % raw
            if command is None
            else _PROGRAM % (raw, quote(command.encode("utf-8", "surrogateescape")))
        )
        self._folder.mkdir(mode=0o700)
        os.mkfifo(self._folder / "end", 0o600)
        (self._folder / "start").write_bytes(_START.format(number=number).encode() + then)
        (self._folder / "begin").write_bytes(_BEGIN % {b"path": raw, b"cwd": quote(cwd)})
        (self._folder / "state").write_bytes(state or b"")
        self._end = os.open(self._folder / "end", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._sandbox.control(_ABOVE.format(path=path).encode())

    async def up(self) -> None:
        """Wait until the shell has started. Raises LimitReached when it does not start."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                await self._up.wait()
        if self.state is State.STARTING:
            self._finish(None)
        if self._shell is None:
            raise LimitReached("the shell of the terminal did not start; are there too many processes?")

    # State

    def _move(self, state: State) -> None:
        order = list(State)
        assert order.index(state) > order.index(self.state), (self.state, state)
        self.state = state

    def _on_record(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._records = (self._records + os.read(self._end, 256))[-256:]
        *complete, self._records = self._records.split(b"\0")
        for record in complete:
            kind, digits = record[:1], record[1:]
            if not (digits.isdigit() and len(digits) < 10):
                continue
            if kind == b"S" and self.state is State.STARTING:
                self._shell = int(digits)
                # Tells what it starts from the processes of the engine.
                self._sandbox.processes.mark(self._shell)
                self._move(State.RUNNING)
                self._up.set()
            elif kind == b"X" and self.state is not State.ENDED:
                self._finish(int(digits) & 0xFF)
                return

    def _on_sandbox_end(self, _: object) -> None:
        self._finish(None)

    def _finish(self, code: int | None) -> None:
        """End: read the last output, and notify the attachment and waiters."""
        if self.state is State.ENDED:
            return
        self._move(State.ENDED)
        # More than a pseudo-terminal's buffer holds; a background process produces the rest.
        for _ in range(8):
            if not self._draw():
                break
        self._close()
        self._up.set()
        self._on_end()
        self.ended.set_result(code)
        if self._attached is not None:
            self._attached._end()
        self._attached = None

    def _close(self) -> None:
        self._cancel_timer()
        self._pause()
        for fd in (self._master, self._slave, self._end):
            if fd >= 0:
                self._loop.remove_reader(fd)
                self._loop.remove_writer(fd)
                os.close(fd)
        self._master = self._slave = self._end = -1
        with contextlib.suppress(FileNotFoundError):  # removed with the sandbox
            for entry in self._folder.iterdir():
                entry.unlink()
            self._folder.rmdir()

    # Output

    def _read(self) -> None:
        if not self._reading and self._master >= 0:
            self._reading = True
            self._loop.add_reader(self._master, self._draw)

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._master)

    def _draw(self) -> bool:
        """Read a piece of output; return whether there was any."""
        try:
            data = os.read(self._master, _READ)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""
        if not data:
            self._pause()  # hung up: the shell is ending and will write its record
            return False
        self._drawn.append(data)
        self._kept += len(data)
        while self._kept - len(self._drawn[0]) >= SCROLLBACK:
            self._kept -= len(self._drawn.popleft())
        if self._attached is not None and self._attached._take(data):
            self._pause()
        return True

    def scrollback(self) -> bytes:
        """Return the recent output; if older output was dropped, from the start of a line."""
        data = b"".join(self._drawn)
        if len(data) <= SCROLLBACK:
            return data
        data = data[-SCROLLBACK:]
        return data[data.find(b"\n") + 1 :]

    # Attachments

    @property
    def attached(self) -> bool:
        """Whether a client is attached."""
        return self._attached is not None

    def attach(self) -> Attachment:
        """Attach, with the recent output first; ends the previous attachment."""
        if self._attached is not None:
            self._detach(self._attached)
        self._cancel_timer()
        attachment = Attachment(self, self.scrollback())
        if self.state is State.ENDED:
            attachment._end()
        else:
            self._attached = attachment
        return attachment

    def _detach(self, attachment: Attachment) -> None:
        if attachment is not self._attached:
            return
        self._attached = None
        attachment._end()
        self._read()
        if self.idle is not None:
            self._timer = self._loop.call_later(self.idle, self.kill)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Operations of the client

    def resize(self, size: TerminalSize) -> None:
        """Set the size of the window and notify the programs in it. Ignored when the terminal has ended."""
        if self._master >= 0:
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", size.rows, size.columns, 0, 0))

    async def type(self, data: bytes, attachment: Attachment) -> None:
        """Type; waits while the program does not read. Raises BrokenPipeError when the terminal has ended or the
        attachment was replaced."""
        async with self._typing:
            rest = memoryview(data)
            while rest:
                if attachment is not self._attached:
                    raise BrokenPipeError(errno.EPIPE, "the terminal ended or another is attached")
                try:
                    rest = rest[os.write(self._master, rest) :]
                except BlockingIOError:
                    await self._writable(attachment)

    async def _writable(self, attachment: Attachment) -> None:
        ready = asyncio.Event()
        attachment._on_end = ready.set
        self._loop.add_writer(self._master, ready.set)
        try:
            await ready.wait()
        finally:
            attachment._on_end = None
            if self._master >= 0:
                self._loop.remove_writer(self._master)

    def kill(self) -> None:
        """End the terminal: its shell and all processes of its session."""
        if self.state is not State.RUNNING:
            return
        self._move(State.ENDING)
        sent: set[int] = set()
        # Look again: a process may have forked while the others were listed.
        processes = self._sandbox.processes
        for _ in range(_KILL_LOOKS):
            found = [process for process in processes.all() if self._is_ours(process)]
            if not processes.send_to_new(found, signal.SIGKILL, sent):
                break
        self._cancel_timer()
        # Process 1 may be unable to report the end when it cannot fork.
        self._timer = self._loop.call_later(_KILL_SECONDS, self._finish, None)

    def _is_ours(self, process: Process) -> bool:
        return self._shell in (process.session, process.pid)


class Attachment:
    """An attachment to a terminal; it ends when the terminal does, or when another client attaches."""

    def __init__(self, terminal: Terminal, drawn: bytes) -> None:
        self._terminal = terminal
        self._unread = bytearray(drawn)
        self._ready = asyncio.Event()
        self._over = False
        self._on_end: Callable[[], None] | None = None
        self._stalled: asyncio.TimerHandle | None = None
        if drawn:
            self._ready.set()

    def _take(self, data: bytes) -> bool:
        """Buffer output; return whether the limit of unread output is reached."""
        self._unread += data
        self._ready.set()
        if len(self._unread) < _UNREAD:
            return False
        if self._stalled is None:
            self._stalled = asyncio.get_running_loop().call_later(
                STALLED_SECONDS, self._terminal._detach, self
            )
        return True

    def _end(self) -> None:
        self._over = True
        self._ready.set()
        if self._stalled is not None:
            self._stalled.cancel()
        if self._on_end is not None:
            self._on_end()

    async def receive(self, size: int = _READ) -> bytes:
        """Return up to `size` bytes of output as soon as there are any; empty when the attachment is over."""
        while not self._unread:
            if self._over:
                return b""
            self._ready.clear()
            await self._ready.wait()
        data = bytes(self._unread[:size])
        del self._unread[:size]
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        if not self._over and len(self._unread) < _UNREAD:
            self._terminal._read()
        return data

    async def send(self, data: bytes) -> None:
        """Type `data`; waits while the program does not read. Raises BrokenPipeError when the attachment is over."""
        await self._terminal.type(data, self)

    async def resize(self, size: TerminalSize) -> None:
        """Set the size of the terminal's window and notify the programs in it."""
        self._terminal.resize(size)

    async def kill(self) -> None:
        """End the terminal with its shell and all its processes. Ignored once another client has attached."""
        if self._terminal._attached is self:
            self._terminal.kill()

    async def wait(self) -> int | None:
        """Wait until the terminal ends, and return the exit code of its shell; None when it is unknown."""
        return await asyncio.shield(self._terminal.ended)

    async def close(self) -> None:
        """Detach; the terminal keeps running. May be called twice."""
        self._terminal._detach(self)
        self._end()
