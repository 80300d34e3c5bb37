"""shell: a terminal of a computer in this terminal."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import select
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import click

from . import names
from .base import Failure, RunCommand
from .deployments import connected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arker import Arker, Terminal

_READ: Final = 65536
#: The keys that leave the terminal when typed after Enter, as with ssh.
_LEAVE: Final = b"~."


@click.command(cls=RunCommand)
@click.argument("vm", shell_complete=names.complete)
@click.option("--session", "-s", metavar="NAME", help="The session of the terminal.  [default: 0]")
@click.option("--command", "-c", metavar="PATH", help="Run this program instead of a shell.")
@connected
def shell(client: Arker, vm: str, session: str | None, command: str | None) -> None:
    """Open a terminal in a computer.

    It continues after it is left: the next `arker shell` shows it as it was. `exit` ends it, and its exit code
    becomes that of this command; Enter, then ~. leaves it.
    """
    if importlib.util.find_spec("termios") is None:
        raise Failure(
            "Windows has no terminal of this kind: use WSL, or `arker run`", code="unsupported_operation"
        )
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Failure("this is no terminal: use `arker run` for commands", code="bad_request")
    computer = names.computer(client, vm)
    columns, rows = _size()
    with computer.terminal(session_id=session, columns=columns, rows=rows, command=command) as terminal:
        left = _Session(terminal).serve()
    if left:
        click.echo(f"\r\nleft; `arker shell {vm}` comes back", err=True)
        return
    code = terminal.exit_code
    click.get_current_context().exit(125 if code is None else code)


def _size() -> tuple[int, int]:
    size = os.get_terminal_size(sys.stdout.fileno())
    # 0 if the size was never set.
    return min(size.columns or 80, 1000), min(size.lines or 24, 1000)


class _Session:
    """Pass what is typed to a terminal, in this thread, and show what it draws, in another thread."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        # Wakes this thread: a signal came, whichever thread it interrupted, or the terminal ended.
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._ended = False
        self._failure: Exception | None = None

    def serve(self) -> bool:
        """Until the terminal ends (False) or is left (True). Raises ArkerError."""
        drawing = threading.Thread(target=self._draw, daemon=True)
        with _raw(sys.stdin.fileno()), self._signalled():
            drawing.start()
            left = self._type()
        if not left and self._failure is not None:
            raise self._failure
        return left

    def _draw(self) -> None:
        try:
            while data := self._terminal.read():
                view = memoryview(data)
                while view:
                    view = view[os.write(sys.stdout.fileno(), view) :]
        except Exception as error:
            self._failure = error
        self._ended = True
        os.write(self._wake, b"!")

    @contextlib.contextmanager
    def _signalled(self) -> Iterator[None]:
        def resized(*_: Any) -> None: ...

        before = signal.signal(signal.SIGWINCH, resized)
        wake = signal.set_wakeup_fd(self._wake)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wake)
            signal.signal(signal.SIGWINCH, before)

    def _type(self) -> bool:
        from arker import ArkerError

        stdin = sys.stdin.fileno()
        keys = Keys()
        while True:
            ready, _, _ = select.select([stdin, self._woken], [], [])
            try:
                if self._woken in ready:
                    os.read(self._woken, 4096)
                    if self._ended:
                        return False
                    self._terminal.resize(*_size())
                if stdin in ready:
                    data = os.read(stdin, _READ)
                    typed, left = keys.feed(data) if data else (b"", True)
                    if typed:
                        self._terminal.write(typed)
                    if left:
                        return True
            except ArkerError:
                # It ended; the other thread notices.
                continue


class Keys:
    """Filters the two keys that leave the terminal out of what is typed; pure."""

    def __init__(self) -> None:
        self._after_enter = True
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What to pass on, and whether to leave."""
        passed = bytearray()
        for key in [data[index : index + 1] for index in range(len(data))]:
            if self._held:
                if key == _LEAVE[1:]:
                    return bytes(passed), True
                passed += self._held
                self._held = b""
                if key == b"~":  # two of them are one
                    self._after_enter = False
                    continue
            elif self._after_enter and key == _LEAVE[:1]:
                self._held = key
                continue
            passed += key
            self._after_enter = key in b"\r\n"
        return bytes(passed), False


@contextlib.contextmanager
def _raw(fd: int) -> Iterator[None]:
    """Deliver every key as it is typed, also Ctrl-C."""
    import termios
    import tty

    before = termios.tcgetattr(fd)
    # Keep what was typed ahead.
    tty.setraw(fd, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
