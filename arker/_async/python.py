"""An interpreter in a computer that keeps its variables between calls."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from arker._io_async import async_after, async_called
from arker.commands import Command
from arker.config import check_seconds
from arker.errors import ArkerError, ConflictError
from arker.events import OutputCut, RunOutput, StreamName
from arker.hooks import leaving
from arker.pythonvalues import (
    PythonError,
    PythonResult,
    Record,
    Records,
    answer,
    call_frame,
    command,
    ending,
    never_began,
    program,
)

from .runs import AsyncRun, AsyncRunStream, Callback, Kept, interrupted, start_run

if TYPE_CHECKING:
    from .computer import AsyncComputer

#: Seconds after its timeout that code has to end when it is interrupted; then its process is killed.
_GRACE: Final = 2.0
#: Seconds for a process to end by itself when it is closed.
_CLOSING: Final = 2.0
#: Reasons for which a run ends without any fault of the code.
_NOT_THE_CODE: Final = ("computer_stopped", "infrastructure")


class AsyncPython:
    """A Python interpreter in a computer that keeps its variables from call to call; made by `computer.python()`.

    Its process starts with the first call and is a run of the computer. When a call ends it (a crash, `os._exit()`, no
    memory), the result says so, and the next call starts a new one. A with-statement ends it.
    """

    __slots__ = ("_closed", "_computer", "_cwd", "_env", "_executable", "_idle", "_lost", "_process", "_turn")

    def __init__(
        self,
        computer: AsyncComputer,
        executable: str,
        cwd: str | None,
        env: Mapping[str, str] | None,
        idle: float | None,
    ) -> None:
        self._computer = computer
        self._executable = executable
        self._cwd = cwd
        self._env = env
        self._idle = idle
        self._process: _Process | None = None
        #: Why variables were lost, if the caller does not know yet.
        self._lost: str | None = None
        self._closed = False
        self._turn = threading.Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._computer.id!r})"

    async def run(
        self,
        code: str,
        *,
        timeout: float | None = None,
        on_stdout: Callback | None = None,
        on_stderr: Callback | None = None,
    ) -> PythonResult:
        """Execute code and wait for its end. An exception in it is a result, not an error.

        Its top level may await coroutines, as in a notebook. `input()` raises EOFError; `sys.exit()` ends the call, not
        the process.

        If the call is cancelled or a callback raises, the process is killed and its variables are lost.

        Args:
            code: The code: any number of lines.
            timeout: Longest time for it, in seconds; then it is interrupted (KeyboardInterrupt), and if it has not
                ended two seconds later, its process is killed. Default: no limit.
            on_stdout: Called with each piece of standard output while the code runs.
            on_stderr: The same for standard error.

        Raises:
            ArkerError: `vm_busy` while another call runs, `command_not_found` if the computer has no such Python,
                `invalid_state` after the end of the interpreter, `unavailable` when the computer stopped, and any other
                failure.
            TypeError, ValueError: for arguments of the wrong kind.
        """
        if not isinstance(code, str):
            raise TypeError(f"code is a str, not {type(code).__name__}")
        limit = None if timeout is None else check_seconds("timeout", timeout)
        if self._closed:
            raise _closed()
        if not self._turn.acquire(blocking=False):
            raise ArkerError("vm_busy", "the interpreter already executes a call", processed="no")
        try:
            return await self._call(code, limit, {"stdout": on_stdout, "stderr": on_stderr})
        finally:
            self._turn.release()

    async def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the code that runs, from another thread or task; its call returns that as its
        error. Does nothing when no code runs.

        Raises:
            ArkerError: any failure.
        """
        process = self._process
        if process is not None:
            await process.interrupt()

    async def restart(self) -> None:
        """End the process, and with it a call that runs. The next call starts a new one, without variables.

        Raises:
            ArkerError: any failure.
        """
        if not self._turn.acquire(blocking=False):
            process = self._process
            if process is not None:
                await process.run.cancel()
            return
        try:
            process, self._process, self._lost = self._process, None, None
            if process is not None:
                await process.end()
        finally:
            self._turn.release()

    async def aclose(self) -> None:
        """End the interpreter, and with it a call that runs. May be called twice.

        Raises:
            ArkerError: any failure.
        """
        self._closed = True
        await self.restart()

    async def __aenter__(self) -> AsyncPython:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with leaving(error, f"an interpreter in {self._computer.id} was not ended"):
            await self.aclose()

    async def _call(
        self, code: str, timeout: float | None, callbacks: Mapping[StreamName, Callback | None]
    ) -> PythonResult:
        process = self._process
        lost, self._lost = self._lost, None
        call = _Call(timeout)
        try:
            if process is not None:
                try:
                    await process.send(code, timeout, self._idle)
                except ArkerError as error:
                    if error.code not in ("conflict", "not_found"):
                        raise
                    await process.stream.aclose()
                    lost, process = "The process ended between calls; its variables are lost.", None
            if process is None:
                process = self._process = await self._start()
                if self._closed:
                    raise _closed()
                with contextlib.suppress(ConflictError):  # it did not start: the end of its run says why
                    await process.send(code, timeout, self._idle)
            ended = await self._follow(process, call, callbacks)
        except BaseException:
            self._process = None
            self._lost = "The call before failed or was cancelled; the variables are lost."
            if process is not None and process.run.info.state == "running":
                await interrupted(process.run)
                await process.stream.aclose()
            raise
        if not ended:
            self._process = None
            return self._after_end(process, call, lost)
        return call.result(lost)

    async def _start(self) -> _Process:
        source = program()
        line = command(self._executable, source, self._cwd, self._env)
        return _Process(await start_run(self._computer, Command(line), stdin=True), source)

    async def _follow(
        self, process: _Process, call: _Call, callbacks: Mapping[StreamName, Callback | None]
    ) -> bool:
        """Read what a call produces; return False if the process ended before the call did."""

        async def interrupt() -> None:
            call.timed_out = True
            await process.interrupt()

        kill = None if call.timeout is None else call.timeout + _GRACE
        async with async_after(call.timeout, interrupt), async_after(kill, process.run.cancel):
            open_streams = {"stdout", "stderr"}
            async for event in process.stream:
                if isinstance(event, OutputCut):
                    call.cut = True
                    await process.run.cancel()
                    continue
                for piece in process.records[event.stream].feed(event.data):
                    if isinstance(piece, Record):
                        if piece.letter == b"P":
                            call.answer += piece.data
                        elif piece.data == str(process.calls).encode():
                            open_streams.discard(event.stream)
                    else:
                        await call.output(event.stream, piece, callbacks[event.stream])
                if not open_streams:
                    return True
            for name, records in process.records.items():
                if rest := records.end():
                    await call.output(name, rest, callbacks[name])
        return False

    def _after_end(self, process: _Process, call: _Call, lost: str | None) -> PythonResult:
        info = process.run.info
        if info.reason in _NOT_THE_CODE:
            self._lost = "The computer stopped; the variables are lost."
            why = "; ".join(info.notes) or "the computer stopped while the code ran"
            raise ArkerError("unavailable", f"{why} ({info.reason})", processed="maybe")
        if process.calls == 1 and (failure := never_began(info, self._executable, call.kept.value("stderr"))):
            raise failure
        how = ending(info)
        if call.cut:
            how = f"It produced more output than the deployment keeps of a run. {how}"
        elif call.timed_out:
            how = f"It did not end when its timeout of {call.timeout:g} s interrupted it. {how}"
        return call.result(lost, PythonError("ProcessEnded", how), info.reason)


def _closed() -> ArkerError:
    return ArkerError("invalid_state", "the interpreter was closed", processed="no")


class _Process:
    """The process of an interpreter."""

    def __init__(self, run: AsyncRun, source: bytes) -> None:
        self.run = run
        self.stream: AsyncRunStream = run.stream()
        #: Of calls so far.
        self.calls = 0
        self._nonce = secrets.token_bytes(16)
        self.records: dict[StreamName, Records] = {
            "stdout": Records(self._nonce),
            "stderr": Records(self._nonce),
        }
        self._unsent = source
        #: Whether an interrupt was sent since the last call began.
        self._interrupted = False

    async def send(self, code: str, timeout: float | None, idle: float | None) -> None:
        """Send the next call. Raises ArkerError: `conflict` if the process has ended."""
        self.calls += 1
        begun, self._unsent = self._unsent, b""
        interrupted, self._interrupted = self._interrupted, False
        frame = call_frame(self._nonce, self.calls, code, timeout, idle, interrupted)
        await self.run.write(begun + frame)

    async def interrupt(self) -> None:
        """Interrupt the call that runs. Raises ArkerError."""
        self._interrupted = True
        await self.run.send_signal("INT")

    async def end(self) -> None:
        """End the process: by the end of its input, so that it cleans up, and soon in any case."""
        async with async_after(_CLOSING, self.run.cancel):
            await self.run.close_stdin()
            async with self.stream:
                async for _ in self.stream:
                    pass


class _Call:
    """What is known of a call while it runs."""

    def __init__(self, timeout: float | None) -> None:
        self.timeout = timeout
        self.timed_out = False
        self.cut = False
        self.answer = bytearray()
        self.kept = Kept()
        self._began = time.monotonic()

    async def output(self, stream: StreamName, data: bytes, callback: Callback | None) -> None:
        self.kept.add(RunOutput(stream, 0, data))
        if callback is not None:
            await async_called(callback, data)

    def result(
        self, lost: str | None, death: PythonError | None = None, reason: str | None = "exited"
    ) -> PythonResult:
        """The result; with `death`, of a call whose process ended for a `reason`."""
        fields: dict[str, Any]
        if death is None:
            fields = answer(self.answer)
        else:
            fields = {"error": death, "duration_ms": (time.monotonic() - self._began) * 1000}
        fields["truncated"] = fields.get("truncated", False) or self.kept.truncated or self.cut
        notes = tuple(note for note in (lost, death and death.message) if note)
        return PythonResult(
            self.kept.value("stdout"),
            self.kept.value("stderr"),
            timed_out=self.timed_out,
            restarted=bool(notes),
            notes=notes,
            reason="timed_out" if self.timed_out else reason,
            **fields,
        )
