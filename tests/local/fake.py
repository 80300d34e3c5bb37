"""An engine without sandboxes, for tests of faults that a real engine rarely has.

It passes the same conformance suite as the real one (`tests/engine/conformance`), where its commands are run by bash.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from arker.local.engine import LocalFile
from arker.local.engine.digests import Digests
from arker.local.engine.ports import Connection
from arker.local.engine.protocol import (
    ByteStream,
    End,
    FileMissing,
    LimitReached,
    Load,
    PortClosed,
    Readable,
    Reason,
    Run,
    RunOutcome,
    SessionBusy,
    SessionState,
    Stream,
    Terminal,
    TerminalSize,
    Usage,
    VmMissing,
)
from arker.local.engine.runs import LocalRun, RunBook

Command = Callable[[str], Awaitable[RunOutcome]]
HOME = "/home/user"


def outcome(stdout: bytes = b"", *, exit_code: int = 0) -> RunOutcome:
    return RunOutcome(stdout, b"", exit_code, HOME, 1.0)


class FakeEngine:
    """Files in dictionaries; a run calls `command`, by default one that echoes. `fail` is raised by whatever
    comes next. With `real`, commands are run by bash, in a folder of their computer."""

    def __init__(self, folder: Path, *, real: bool = False) -> None:
        self._folder = folder
        self.digests = Digests()
        self.real = real
        self.files: dict[str, dict[str, bytes]] = {}
        self.commands: list[str] = []
        #: Computers that were made with what their parent's shells knew.
        self.knowing: set[str] = set()
        self.writes: list[str] = []
        self.busy: set[tuple[str, str]] = set()
        self.mounts: dict[str, dict[str, str]] = {}
        self.deleted_filesystems: list[str] = []
        self.fail: Exception | None = None
        self.command: Command | None = None
        self.names = ["arkuntu"]
        #: What every run is said to have used.
        self.usage = Usage()
        #: Bytes that are kept of the output of a run.
        self.limit = 1 << 30
        self._book = RunBook(folder / "runs", 1 << 30, lambda: None)
        self._live: dict[tuple[str, str], _FakeCommand] = {}

    async def start(self) -> None:
        self._book = RunBook(self._folder / "runs", self.limit, lambda: None)

    async def close(self) -> None:
        for command in list(self._live.values()):
            command.stop()
            await command.run.wait()
        self._book.save()

    async def images(self) -> list[str]:
        return self.names

    async def missing(self, vm_ids: Iterable[str]) -> set[str]:
        return set(vm_ids) - set(self.files)

    async def running(self) -> set[str]:
        return {vm_id for vm_id, _ in self._live}

    async def in_use(self, vm_ids: Iterable[str]) -> set[str]:
        return await self.running() & set(vm_ids)

    async def loads(self, vm_ids: Iterable[str]) -> dict[str, Load]:
        running = await self.running()
        return {
            vm_id: Load(1.5, 1 << 20, 2, 4096) if vm_id in running else Load()
            for vm_id in vm_ids
            if vm_id in self.files
        }

    async def sessions(self, vm_id: str) -> list[SessionState]:
        self._vm(vm_id)
        busy = {session for vm, session in self._live if vm == vm_id}
        return [SessionState(id_, "running" if id_ in busy else "idle", HOME) for id_ in sorted({"0", *busy})]

    async def create(self, vm_id: str, image: str) -> None:
        self._trouble()
        self.files[vm_id] = {}

    async def fork(self, parent_id: str, child_id: str, *, sessions: bool = True) -> None:
        self._trouble()
        self.files[child_id] = dict(self._vm(parent_id))
        if sessions:
            self.knowing.add(child_id)

    async def delete(self, vm_id: str) -> None:
        self._vm(vm_id)
        del self.files[vm_id]
        await self.stop_commands(vm_id)
        self._book.forget_all(vm_id)

    async def stop(self, vm_id: str) -> None:
        self._vm(vm_id)
        await self.stop_commands(vm_id)

    async def stop_commands(self, vm_id: str) -> None:
        for (vm, _), command in list(self._live.items()):
            if vm == vm_id:
                command.stop()
                await command.run.wait()

    async def start_run(
        self,
        vm_id: str,
        session_id: str,
        command: str,
        *,
        timeout: float | None = None,
        run_id: str | None = None,
        stdin: bool = False,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        whole: bool = False,
        kept: bool = False,
    ) -> Run:
        self._vm(vm_id)
        self._trouble()
        place = (vm_id, session_id)
        while place in self._live and self._live[place].run.ending is Reason.CANCELLED:
            await self._live[place].run.wait()
        run = self._book.start(vm_id, run_id, session_id, command)
        if place in self.busy or place in self._live:
            self._book.withdraw(run)
            raise SessionBusy(f"session {session_id} runs a command")
        self.commands.append(command)
        if self.real:
            work = _bash(run, command, stdin, cwd or str(self._folder), env or {})
        else:
            work = self._answer(run, command)
        self._live[place] = _FakeCommand(run, work, timeout, self.usage)
        run.on_end.append(lambda _: self._live.pop(place) and None)
        return run

    async def _answer(self, run: LocalRun, command: str) -> int:
        await asyncio.sleep(0)
        told = await self.command(command) if self.command else outcome(command.encode())
        run.journal.append(Stream.STDOUT, told.stdout)
        run.journal.append(Stream.STDERR, told.stderr)
        return told.exit_code

    async def run_of(self, vm_id: str, run_id: str) -> Run:
        self._vm(vm_id)
        return await self._book.get(vm_id, run_id)

    async def runs(self, vm_id: str) -> list[Run]:
        self._vm(vm_id)
        held = self._book.held(vm_id)
        written = self._book.written(vm_id, {run.id for run in held})
        return sorted([*held, *written], key=lambda run: (run.started_ms, run.id), reverse=True)

    async def forget_run(self, vm_id: str, run_id: str) -> None:
        self._book.forget(vm_id, run_id)

    async def end_session(self, vm_id: str, session_id: str) -> None:
        self._vm(vm_id)
        command = self._live.get((vm_id, session_id))
        if command is not None:
            command.cancel()
            await command.run.wait()

    async def set_mounts(self, vm_id: str, mounts: Mapping[str, str]) -> None:
        self._vm(vm_id)
        self.mounts[vm_id] = dict(mounts)

    async def mounted(self, vm_id: str) -> dict[str, str | None]:
        return dict.fromkeys(self.mounts.get(vm_id, ())) if vm_id in await self.running() else {}

    async def delete_filesystem(self, name: str) -> None:
        self.deleted_filesystems.append(name)

    async def open_file(self, vm_id: str, path: str) -> Readable:
        self._trouble()
        data = self._vm(vm_id).get(path)
        if data is None:
            raise FileMissing(f"there is no {path}")
        file = self.path(vm_id, path)
        if not file.exists() or file.read_bytes() != data:
            file.unlink(missing_ok=True)
            file.write_bytes(data)
        return LocalFile(os.open(file, os.O_RDONLY), self.digests, vm_id)

    def path(self, vm_id: str, path: str) -> Path:
        """Where an open file is on the host."""
        return self._folder / f"{vm_id}{path.replace('/', '_')}"

    async def write_file(
        self, vm_id: str, path: str, source: bytes | Readable, *, sha256: str | None = None
    ) -> None:
        files = self._vm(vm_id)
        self._trouble()
        self.writes.append(path)
        files[path] = source if isinstance(source, bytes) else await source.read(0, source.size)

    async def copy_session(self, vm_id: str, source: str, target: str) -> None:
        self._vm(vm_id)

    async def open_port(self, vm_id: str, port: int) -> ByteStream:
        """The ports of every computer are the host's."""
        self._vm(vm_id)
        sock = socket.socket()
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        except OSError:
            sock.close()
            raise PortClosed(f"nothing listens on port {port}") from None
        return Connection(sock, lambda: None)

    async def open_terminal(
        self,
        vm_id: str,
        session_id: str,
        size: TerminalSize,
        *,
        command: str | None = None,
        idle: float | None = None,
    ) -> Terminal:
        raise LimitReached("this engine has no terminals")

    async def resize_terminal(self, vm_id: str, session_id: str, size: TerminalSize) -> None:
        self._vm(vm_id)

    def _vm(self, vm_id: str) -> dict[str, bytes]:
        if vm_id not in self.files:
            raise VmMissing(f"there is no computer {vm_id}")
        return self.files[vm_id]

    def _trouble(self) -> None:
        error, self.fail = self.fail, None
        if error is not None:
            raise error


class _FakeCommand:
    """A command that runs, as its run controls it; cancelling its task ends it."""

    def __init__(self, run: LocalRun, work: Awaitable[int], timeout: float | None, usage: Usage) -> None:
        self.run = run
        self._usage = usage
        self.process: asyncio.subprocess.Process | None = None
        self._task = asyncio.ensure_future(work)
        self._task.add_done_callback(self._done)
        self._timer = timeout and asyncio.get_running_loop().call_later(timeout, self._end, Reason.TIMED_OUT)
        run.control = self

    def _end(self, reason: Reason) -> None:
        if self.run.begin_ending(reason):
            self._task.cancel()

    def stop(self) -> None:
        self._end(Reason.COMPUTER_STOPPED)

    def cancel(self) -> None:
        self._end(Reason.CANCELLED)

    def signal(self, number: signal.Signals) -> None:
        process = _PROCESSES.get(self.run)
        if process is not None:
            os.killpg(process.pid, number)

    async def write_stdin(self, data: bytes) -> None:
        stdin = await self._stdin()
        stdin.write(data)
        await stdin.drain()

    async def close_stdin(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            (await self._stdin()).close()

    async def _stdin(self) -> asyncio.StreamWriter:
        while self.run not in _PROCESSES and not self._task.done():
            await asyncio.sleep(0.001)
        process = _PROCESSES.get(self.run)
        stdin = None if process is None else process.stdin
        if stdin is None or stdin.is_closing():
            raise BrokenPipeError("it was started without")
        return stdin

    def _done(self, task: asyncio.Future[int]) -> None:
        if self._timer:
            self._timer.cancel()
        run = self.run
        codes = {Reason.TIMED_OUT: 124, Reason.CANCELLED: 143}
        error = None if task.cancelled() else task.exception()
        if task.cancelled():
            reason = run.ending or Reason.INFRASTRUCTURE
            code, notes = codes.get(reason), [reason.value]
        elif error is not None:
            reason, code, notes = Reason.INFRASTRUCTURE, None, [str(error)]
        else:
            code, notes = task.result(), []
            reason = Reason.SIGNALLED if code - 128 in run.signals else Reason.EXITED
        totals = run.journal.totals
        out, err = totals[Stream.STDOUT], totals[Stream.STDERR]
        run.end(End(code, reason, HOME, 0.001, out, err, self._usage, tuple(notes)))


_PROCESSES: dict[LocalRun, asyncio.subprocess.Process] = {}


async def _bash(run: LocalRun, command: str, stdin: bool, cwd: str, env: Mapping[str, str]) -> int:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command,
        stdin=pipe if stdin else asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe,
        cwd=cwd, env={**os.environ, **env}, start_new_session=True,
    )  # fmt: skip
    _PROCESSES[run] = process
    assert process.stdout is not None
    assert process.stderr is not None

    async def read(stream: Stream, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(1 << 16):
            run.journal.append(stream, data)

    try:
        await asyncio.gather(read(Stream.STDOUT, process.stdout), read(Stream.STDERR, process.stderr))
        code = await process.wait()
    finally:
        del _PROCESSES[run]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return code if code >= 0 else 128 - code
