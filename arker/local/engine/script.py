"""The script of a shell: a file that grows by one command at a time, and the gates at which the shell waits for the
next.

bash reads a file in blocks, but a pipe byte by byte, as it must not take what its children may want to read; for a
short command, that is more than half of the time. At the end of a file, though, bash exits. So what is
given to it ends with a line that redirects input from a named pipe, the gate: opening it waits until somebody opens its
other end. The host appends the next command, with another gate at its end, and then opens the first one. There are two,
in turns: the host closes one when the command has told its end, long before the shell comes to it again, and replaces
it if another process still has it open.

A shell that passes a gate by itself, for example without free descriptors, sees the end of its script and exits.
"""

from __future__ import annotations

import contextlib
import errno
import os

from arker.local.engine import _linux

#: bash reads in blocks as large as the script is when it begins, up to 8 KiB.
_BLOCK = 4096
#: Bytes of disk that are allocated ahead, for the commands that make room on a full one.
_AHEAD = 1 << 14
# A compound command with a redirection that fails executes nothing that a trap could see. Arithmetic in a redirection
# is the only way to set the number of the next line; `if` would set it back. At the end, the status is 0.
_GATE = b"{ :;} <%b.%d <\"/$((LINENO=0))\"||if { :;} <'';then :;fi\n"


class Script:
    """A script that does not end until `dismiss` or `close`.

    Args:
        file: the script, made here. The shell may open it once.
        gate: the path of the gates, without the end of their names.
        inside: the same path as the shell sees it.
        text: what the shell reads first, in whole lines.
    """

    __slots__ = ("_fd", "_gates", "_inside", "_open", "_read", "_reserved", "_size", "_turn")

    def __init__(self, file: str, gate: str, inside: bytes, text: bytes) -> None:
        self._inside = inside
        self._gates = (f"{gate}.0", f"{gate}.1")
        for path in self._gates:
            os.mkfifo(path, 0o600)
        #: Which gate the shell waits at, or will.
        self._turn = 0
        #: The other end of the gate that the shell was let through.
        self._open = -1
        self._size = self._reserved = 0
        #: Where the last command begins. The shell may still have to read the lines after it, but none before.
        self._read = 0
        self._fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._append(b"#" * _BLOCK + b"\n" + text + self._gate(0))
        except BaseException:
            os.close(self._fd)
            raise

    def _gate(self, turn: int) -> bytes:
        return _GATE % (self._inside, turn)

    def _append(self, text: bytes) -> None:
        if self._size + len(text) > self._reserved:
            _linux.discard(self._fd, self._read)
            self._reserved = self._size + len(text) + _AHEAD
            _linux.allocate(self._fd, self._size, self._reserved - self._size)
        try:
            if os.write(self._fd, text) != len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(text)

    def _withdraw(self, text: bytes) -> None:
        self._size -= len(text)
        os.ftruncate(self._fd, self._size)

    def give(self, text: bytes) -> None:
        """Let the shell read `text`, whole lines, and wait again. Raises OSError; nothing is read then."""
        text += self._gate(1 - self._turn)
        begin = self._size
        self._append(text)
        try:
            self._open = os.open(self._gates[self._turn], os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            self._withdraw(text)
            raise
        self._turn = 1 - self._turn
        self._read = begin

    def taken(self) -> None:
        """Note that the shell has passed the gate."""
        if self._open < 0:
            return
        os.close(self._open)
        self._open = -1
        gate = self._gates[1 - self._turn]
        try:
            held = os.open(gate, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:  # it has no reader, as usual
            return
        # A process between fork and exec may still have the gate open: then the shell would not wait.
        os.close(held)
        with contextlib.suppress(OSError):
            os.mkfifo(f"{gate}+", 0o600)
            os.rename(f"{gate}+", gate)

    def dismiss(self, text: bytes = b"") -> bool:
        """Let a shell that waits read `text` and the end of the script; return False if it does not wait."""
        self._append(text)
        try:
            os.close(os.open(self._gates[self._turn], os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError:
            self._withdraw(text)
            return False
        return True

    def close(self) -> None:
        """End the script, and remove the gates: the shell exits when it has read all. May be called twice."""
        self.taken()
        for gate in self._gates:
            # A waiting shell is let through, and none comes later.
            with contextlib.suppress(OSError):
                held = os.open(gate, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                os.unlink(gate)
                os.close(held)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
