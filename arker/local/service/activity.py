"""A log of the requests to an organization's computers: rows that outlive the computers, saved from time to time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

from arker.local.engine.protocol import End, Reason, Usage, shown
from arker.local.storage.activity import ActivityFilter, ActivityRow, ActivityRows
from arker.local.storage.errors import StorageError

from .access import Principal
from .translation import api_errors

__all__ = ["Activity", "ActivityFilter", "ActivityRow"]

log: logging.Logger = logging.getLogger("arker.platform")

#: How long a row is kept, in milliseconds; and the maximum number of rows.
KEPT_MS: Final = 7 * 24 * 3600 * 1000
KEPT: Final = 200_000
_NOTHING: Final = Usage()
#: Number of unsaved rows at which they are saved at once; and their maximum number, if that fails: the oldest are
#: dropped first.
MANY: Final = 500
_WAITING: Final = 10_000


class Activity:
    """The activity log of a deployment."""

    def __init__(self, rows: ActivityRows) -> None:
        self._rows = rows
        self._waiting: list[ActivityRow] = []
        self._saving: asyncio.Task[None] | None = None

    def add(
        self,
        who: Principal,
        endpoint: str,
        vm_id: str,
        *,
        at_ms: int,
        total_ms: float,
        status: int = 200,
        queue_ms: float = 0,
        run_id: str = "",
        session_id: str = "",
        command: str = "",
        source_vm_id: str = "",
        exit_code: int | None = None,
        state: str | None = None,
        usage: Usage = _NOTHING,
    ) -> None:
        """Add a request that a computer served; times are in milliseconds. The next `flush` saves it, or this, if there
        are many."""
        if len(self._waiting) >= _WAITING:
            del self._waiting[: _WAITING // 10]
        if len(self._waiting) >= MANY and (self._saving is None or self._saving.done()):
            self._saving = asyncio.create_task(self._save())
        self._waiting.append(
            ActivityRow(
                org_id=who.org_id,
                at_ms=at_ms,
                endpoint=endpoint,
                vm_id=vm_id,
                run_id=run_id,
                session_id=session_id,
                command=shown(command),
                source_vm_id=source_vm_id,
                key_id=who.key_id,
                status=status,
                total_ms=total_ms,
                queue_ms=queue_ms,
                exit_code=exit_code,
                state=state,
                cpu_ms=(usage.cpu_seconds or 0) * 1000,
                memory_mib=(usage.peak_memory or 0) / 2**20,
            )
        )

    def ran(self, who: Principal, vm_id: str, run_id: str, session_id: str, command: str, end: End) -> None:
        """Add a run that has ended."""
        total_ms = (end.seconds or 0) * 1000
        self.add(
            who,
            "run",
            vm_id,
            at_ms=round(time.time() * 1000 - total_ms),
            total_ms=total_ms,
            run_id=run_id,
            session_id=session_id,
            command=command,
            exit_code=end.exit_code,
            state=state_of(end),
            usage=end.usage,
        )

    async def page(self, who: Principal, wanted: ActivityFilter) -> Sequence[ActivityRow]:
        """Return rows of the caller's organization."""
        with api_errors():
            await self.flush()
        if who.vm_ids is not None:
            among = who.vm_ids.intersection(wanted.vm_ids) if wanted.vm_ids else who.vm_ids
            if not among:
                return []
            wanted = wanted._replace(vm_ids=tuple(among))
        return self._rows.page(who.org_id, wanted)

    async def flush(self) -> None:
        """Save the unsaved rows; if that fails, they stay unsaved."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            try:
                await self._rows.add(waiting)
            except StorageError:
                self._waiting[:0] = waiting
                raise

    async def _save(self) -> None:
        try:
            await self.flush()
        except StorageError as error:
            log.warning("the activity log could not be saved: %s", error)

    async def sweep(self) -> None:
        """Delete old rows, and the oldest when there are too many."""
        await self.flush()
        await self._rows.remove(time.time_ns() // 1_000_000 - KEPT_MS, KEPT)


def state_of(end: End) -> str:
    """Return the state of a run that ended so: `completed`, `cancelled` or `failed`."""
    match end.reason:
        case Reason.CANCELLED:
            return "cancelled"
        case Reason.COMPUTER_STOPPED | Reason.INFRASTRUCTURE:
            return "failed"
        case _:
            return "completed"
