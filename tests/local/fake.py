"""An engine in memory, for what must be tested without a sandbox: faults that a real one gives only on a bad
day."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from arker.local.engine.protocol import FileMissing, RunOutcome, SessionBusy, SessionState, VmMissing

Command = Callable[[str], Awaitable[RunOutcome]]


def outcome(stdout: bytes = b"", *, exit_code: int = 0) -> RunOutcome:
    return RunOutcome(stdout, b"", exit_code, "/home/user", 1.0)


class FakeEngine:
    """Files in dictionaries; a run calls `command`, by default one that echoes. `fail` is raised by whatever
    comes next."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files: dict[str, dict[str, bytes]] = {}
        self.runs: list[str] = []
        #: Computers that were made with what their parent's shells knew.
        self.knowing: set[str] = set()
        self.writes: list[str] = []
        self.busy: set[tuple[str, str]] = set()
        self.fail: Exception | None = None
        self.command: Command | None = None
        self.names = ["arkuntu"]

    async def start(self) -> None: ...
    async def close(self) -> None: ...

    def images(self) -> list[str]:
        return self.names

    def vms(self) -> set[str]:
        return set(self.files)

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

    async def run(
        self, vm_id: str, session_id: str, command: str, *, timeout: float | None = None
    ) -> RunOutcome:
        self._vm(vm_id)
        self._trouble()
        if (vm_id, session_id) in self.busy:
            raise SessionBusy(f"session {session_id} runs a command")
        self.busy.add((vm_id, session_id))
        try:
            self.runs.append(command)
            await asyncio.sleep(0)
            return await self.command(command) if self.command else outcome(command.encode())
        finally:
            self.busy.discard((vm_id, session_id))

    async def read_file(self, vm_id: str, path: str) -> int:
        self._trouble()
        data = self._vm(vm_id).get(path)
        if data is None:
            raise FileMissing(f"there is no {path}")
        file = self._folder / f"{vm_id}{path.replace('/', '_')}"
        if not file.exists() or file.read_bytes() != data:
            file.write_bytes(data)
        return os.open(file, os.O_RDONLY)

    async def write_file(self, vm_id: str, path: str, source: bytes | int) -> None:
        files = self._vm(vm_id)
        self._trouble()
        self.writes.append(path)
        files[path] = source if isinstance(source, bytes) else os.pread(source, 1 << 30, 0)

    def sessions(self, vm_id: str) -> list[SessionState]:
        self._vm(vm_id)
        return [SessionState("0", "idle", "/home/user")]

    def state(self, vm_id: str) -> str:
        self._vm(vm_id)
        return "idle"

    async def stop(self, vm_id: str) -> None: ...

    def _vm(self, vm_id: str) -> dict[str, bytes]:
        if vm_id not in self.files:
            raise VmMissing(f"there is no computer {vm_id}")
        return self.files[vm_id]

    def _trouble(self) -> None:
        error, self.fail = self.fail, None
        if error is not None:
            raise error
