"""The platform: all services of a deployment, their start, maintenance and end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from arker.local.engine.protocol import Engine
from arker.local.storage.activity import ActivityRows
from arker.local.storage.computers import Computers as ComputerRows
from arker.local.storage.database import Database
from arker.local.storage.errors import DiskFull, StorageError
from arker.local.storage.filesystems import FilesystemRows
from arker.local.storage.keys import KeyRows
from arker.local.storage.notes import Notes
from arker.local.storage.runs import RunRows
from arker.local.storage.sessions import SessionRows
from arker.local.storage.uploads import UploadRows

from .access import Access
from .activity import Activity
from .computers import Computers
from .errors import ApiError
from .file_operations import FileOperations
from .files import Files
from .filesystems import Filesystems
from .handles import Handles
from .idempotency import Idempotency
from .images import Images
from .ports import Ports
from .recorded import Recorded
from .reserve import MIN_FREE, Reserve
from .runs import Runs
from .sessions import Sessions
from .terminals import Terminals
from .translation import Sandboxes
from .turns import Turns
from .uploads import Uploads

log: logging.Logger = logging.getLogger("arker.platform")

#: Seconds between two sweeps of old keys, uploads and notes.
SWEEP_EVERY: Final = 60.0


class Platform:
    """All services, which are started and closed together.

    Args:
        database: persistent state.
        engine: the engine that has the computers.
        state: the state folder, by a path that works in this process.
        resources: the limits of a computer: `vcpu`, `memory_mib`, `disk_mib`.
        max_vms: maximum number of computers of one organization; 0 for no limit.
        guest_key: a key that is valid for the lifetime of this process and is not stored.

    Attributes:
        access: authentication and permissions.
        computers: fork, list, look up, delete.
        runs: commands, run while the caller waits.
        recorded: runs as resources of their own.
        sessions: shells.
        filesystems: folders that outlive computers.
        activity: what computers did.
        files: reads and writes.
        file_operations: files and trees, beyond reads and writes.
        terminals: terminals of sessions.
        handles: runs that can be followed and controlled by id.
        ports: connections into computers.
    """

    def __init__(
        self,
        database: Database,
        engine: Engine,
        state: Path,
        *,
        resources: Mapping[str, int | None],
        max_vms: int = 0,
        guest_key: str | None = None,
    ) -> None:
        self._database = database
        self._engine = engine
        self._reserve = Reserve(state)
        self._sandboxes = Sandboxes()
        self._upload_rows = UploadRows(database)
        self._computer_rows = ComputerRows(database)
        self._idempotency = Idempotency(Notes(database))
        self._images = Images(engine, self._computer_rows)
        staging = state / "staging"
        staging.mkdir(mode=0o700, exist_ok=True)
        self._uploads = Uploads(self._upload_rows, engine, staging)
        self.access: Access = Access(KeyRows(database), self._computer_rows, guest_key)
        self.activity: Activity = Activity(ActivityRows(database))
        self.computers: Computers = Computers(
            self._computer_rows,
            engine,
            self.access,
            self._images,
            self._uploads,
            self._idempotency,
            self._reserve,
            self.activity,
            most=max_vms,
            resources=resources,
        )
        turns = Turns()
        self.runs: Runs = Runs(
            engine, self.access, self.computers, self._idempotency, self._sandboxes, turns, self.activity
        )
        self.recorded: Recorded = Recorded(
            RunRows(database), Notes(database), engine, self.access, self.computers, self._sandboxes,
            turns, self.activity, self.runs.outputs, self.runs.early,
        )  # fmt: skip
        session_rows = SessionRows(database)
        self.sessions: Sessions = Sessions(
            session_rows, engine, self.access, self.computers, self.recorded, self._sandboxes,
            turns, self._idempotency, database.secret(),
        )  # fmt: skip
        self.filesystems: Filesystems = Filesystems(FilesystemRows(database), engine, self.access)
        self.files: Files = Files(
            engine,
            self.access,
            self.computers,
            self._uploads,
            self._sandboxes,
            self.activity,
            database.secret(),
        )
        self.file_operations: FileOperations = FileOperations(
            engine, self.access, self.computers, self._sandboxes
        )
        self.terminals: Terminals = Terminals(session_rows, engine, self.computers, self._sandboxes)
        self.handles: Handles = Handles(
            engine, self.access, self.computers, self._sandboxes, self.runs.early, self.activity
        )
        self.ports: Ports = Ports(engine, self.access, self.computers, self._sandboxes, database.secret())
        self._sweeper: asyncio.Task[None] | None = None
        #: What `_look` found last.
        self._healthy = True

    async def start(self) -> None:
        """Make database, engine and staging folder consistent after a crash. The engine has to be started."""
        await self.computers.tidy()
        await self._images.refresh()
        await self._idempotency.start()
        await self.recorded.start()
        await self.handles.tidy(self._computer_rows.ids())
        await self.filesystems.start()
        await self._uploads.sweep(starting=True)
        self._reserve.keep()
        self._sweeper = asyncio.create_task(self._sweep_forever())

    async def close(self) -> None:
        """End running work and save pending notes. The caller closes the engine."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        await self._idempotency.close()
        await self.recorded.close()
        try:
            await self._flush()
        except StorageError as error:
            log.warning("the times of last use could not be saved: %s", error)

    async def health(self) -> None:
        """Check that computers can be forked and used.

        Raises:
            ApiError: `unavailable`, saying what is wrong.
        """
        problem = await self._look()
        if problem is not None:
            raise ApiError("unavailable", problem, retry_after=10)

    async def _look(self) -> str | None:
        """Return why computers cannot be forked or used, or None; log it when this changes."""
        problem = self._sandboxes.problem
        free = self._reserve.free()
        if problem is None and free < MIN_FREE:
            problem = f"the disk of the state folder is full ({free // 2**20} MiB free)"
        if problem is None:
            try:
                await self._database.probe()
            except StorageError as error:
                problem = f"the database cannot be written: {error}"
        healthy = problem is None
        if healthy is not self._healthy:
            self._healthy = healthy
            if healthy:
                log.warning("healthy again")
            else:
                log.warning("unhealthy: %s", problem)
        return problem

    async def gauges(self) -> dict[str, tuple[str, float]]:
        """Return the current gauges: name to help text and value."""
        running = len(await self._engine.running())
        pending = self._upload_rows.count_pending()
        return {
            "arker_computers": ("Computers.", self._computer_rows.count_all()),
            "arker_sandboxes_running": ("Computers whose sandbox is alive.", running),
            "arker_uploads_pending": ("Uploads that are not complete.", pending),
            "arker_disk_free_bytes": ("Free space on the disk of the state folder.", self._reserve.free()),
            "arker_healthy": (
                "1 if computers can be forked and used, as /api/v1/health says.",
                float(await self._look() is None),
            ),
        }

    async def _flush(self) -> None:
        await self.computers.flush()
        await self.activity.flush()
        await self.access.flush()

    async def _sweep_forever(self) -> None:
        full = False
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            try:
                await self._look()
                await self._flush()
                await self._idempotency.sweep()
                await self.recorded.sweep()
                await self.activity.sweep()
                await self._uploads.sweep()
                self._reserve.refill()
                full = False
            except DiskFull as error:
                if not full:
                    log.warning("the regular cleanup is postponed: %s", error)
                full = True
            except Exception:
                log.exception("the regular cleanup failed")
