"""What the platform asks of an engine: computers at rest, in use, forked and deleted, and nothing of HTTP or accounts.

The platform knows engines through this module alone, so that another one (a cluster, a hypervisor) can stand beside
the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class EngineError(Exception):
    """Something an engine refused or could not do; the message is fit for the user of the API."""


class VmMissing(EngineError):
    """No such computer in this engine."""


class ImageMissing(EngineError):
    """No such base image in this engine."""


class SessionBusy(EngineError):
    """The session runs a command already; one session runs one command at a time."""


class FileMissing(EngineError):
    """No file at the path (or a folder of the path does not exist, or a link leads nowhere)."""


class FileRefused(EngineError):
    """The path cannot be read or written: a folder, a device, a pipe, a loop of links, or not permitted inside."""


class FileTooLarge(EngineError):
    """The file is over the engine's limit."""


class StorageFull(EngineError):
    """The disk, or the computer's share of it, is full; nothing of the operation was kept."""


class LimitReached(EngineError):
    """A limit of the computer stands in the way: its sessions, its processes, how deep its folders may be nested."""


class ComputerBusy(EngineError):
    """What runs in the computer could not be stopped for the moment that the operation takes; nothing was done."""


class PortClosed(EngineError):
    """Nothing in the computer accepts connections on the port."""


class SandboxUnavailable(EngineError):
    """The sandbox could not be started; the message says why and what mends it."""


class SystemBroken(EngineError):
    """The computer cannot start because of what it changed in its own system; others are not concerned."""


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What a command left behind. `duration_ms` is wall time on the host; output over the cap is cut and flagged."""

    stdout: bytes
    stderr: bytes
    exit_code: int
    cwd: str
    duration_ms: float
    #: False when the command was ended by its timeout (exit code 124, as `timeout(1)` has it).
    completed: bool = True
    stdout_truncated: bool = False
    stderr_truncated: bool = False


@dataclass(frozen=True, slots=True)
class SessionState:
    """A session as it stands: `state` is `idle` or `running`."""

    session_id: str
    state: str
    cwd: str


class Engine(Protocol):
    """The narrow waist. All methods are safe to call concurrently from one event loop; cancelling a call never leaves
    a computer half changed."""

    async def start(self) -> None:
        """Take hold of the store, sweep what a crash left, prove that a sandbox starts. Raises SandboxUnavailable."""
        ...

    async def close(self) -> None:
        """Checkpoint idle sessions, end every sandbox and let go of the store."""
        ...

    def images(self) -> list[str]:
        """Names of the base images at hand (`arkuntu` always)."""
        ...

    def vms(self) -> set[str]:
        """The ids of all computers in the store; the platform deletes those its database does not know."""
        ...

    async def create(self, vm_id: str, image: str) -> None:
        """A new computer on a base image, durable when this returns. Raises ImageMissing, StorageFull."""
        ...

    async def fork(self, parent_id: str, child_id: str, *, sessions: bool = True) -> None:
        """A new computer with the parent's files and, with `sessions`, what its idle shells know; in constant time,
        durable when this returns."""
        ...

    async def delete(self, vm_id: str) -> None:
        """End the sandbox and remove the computer; layers that no other needs go too (in the background)."""
        ...

    async def run(
        self, vm_id: str, session_id: str, command: str, *, timeout: float | None = None
    ) -> RunOutcome:
        """Run `command` in the session's shell (made on first use; `"0"` is the default session).

        `timeout` in seconds, None for the engine's own limit. A second command in a busy session raises SessionBusy at
        once. Cancelling the call kills what the command started.
        """
        ...

    async def read_file(self, vm_id: str, path: str) -> int:
        """A file descriptor, open for reading on the regular file at `path`, that the caller must close."""
        ...

    async def write_file(self, vm_id: str, path: str, source: bytes | int) -> None:
        """Put `source` (bytes, or a readable descriptor from its position 0 to its end) at `path`: old file or new,
        never half, and on disk when this returns. Missing folders are made; mode 0644 or that of the file replaced."""
        ...

    def sessions(self, vm_id: str) -> list[SessionState]:
        """The sessions of a computer, the default one (`"0"`) always among them."""
        ...

    def state(self, vm_id: str) -> str:
        """`running` while a sandbox is alive, else `idle`."""
        ...

    async def stop(self, vm_id: str) -> None:
        """Checkpoint and end the sandbox now; the next use brings it back."""
        ...
