"""`Idempotency-Key`: what was asked under a key happens once, and every repeat answers what the first one made.

* While the first is under way, a repeat waits for it.
* What ended is kept for 24 hours, over restarts. A run's answer is kept up to `MAX_ANSWER` bytes, and all
  answers together up to `MAX_ANSWERS`; of what is over that, the key is still known, so that nothing ever
  runs twice.
* A run is noted before it starts. When the deployment dies in between, its key answers that the outcome is
  unknown.
* A fork is noted in the transaction that makes the computer's row, so it needs no note beforehand.
* When nobody waits for a run any more, it has `GRACE` seconds for somebody to ask again; then it is ended.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from .database import Database, Row
from .errors import ApiError

log: logging.Logger = logging.getLogger("arker.idempotency")

LIFETIME_MS: Final = 24 * 3600 * 1000
MAX_ANSWER: Final = 1024 * 1024
MAX_ANSWERS: Final = 256 * 1024 * 1024
GRACE: Final = 30.0

#: Refusals that say for sure that the command was not started: the key stays free.
_NOT_STARTED: Final = frozenset({"bad_request", "not_found", "forbidden", "vm_busy", "unavailable"})

_UNKNOWN: Final = (
    "the command was started under this Idempotency-Key, and its outcome is unknown: the deployment stopped, "
    "or nobody waited for it any more. It is not run again; look at what it left, or use another key"
)
_UNKEPT: Final = (
    "the command ran under this Idempotency-Key, but its output was too large to be kept; it is not run again"
)


class Identity(NamedTuple):
    """Whose key it is, what it is for (an operation, and the computer it is about), and the key."""

    org_id: str
    scope: str
    key: str


@dataclass(slots=True)
class _Pending:
    request: bytes
    task: asyncio.Task[bytes]
    waiting: int = 0


class Idempotency:
    """The keys of a deployment."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: dict[Identity, _Pending] = {}
        self._saves: set[asyncio.Task[Any]] = set()
        #: Bytes kept since the last sweep.
        self._unswept = 0

    async def start(self) -> None:
        """What was under way when the last process ended has no known outcome."""
        await self._database.execute("UPDATE idempotency SET state = 'unknown' WHERE state = 'started'")

    async def once(
        self, identity: Identity, request: bytes, work: Callable[[], Awaitable[bytes]], *, journal: bool
    ) -> bytes:
        """What `work` answers, or answered under this key.

        `request` is a digest of what was asked. With `journal` the key is noted before `work` begins and its
        answer afterwards; without, `work` notes its answer itself (see `note`) and leaves nothing behind when
        it fails.

        Raises:
            ApiError: `idempotency_conflict` when the key was used with another request, `conflict` when it
                has no answer, and whatever `work` raises.
        """
        pending = self._pending.get(identity)
        if pending is None:
            row = self._database.one(
                "SELECT * FROM idempotency WHERE org_id = ? AND scope = ? AND key = ?", *identity
            )
            if row is not None:
                return _replay(row, request)
            task = asyncio.create_task(self._journaled(identity, request, work) if journal else _plain(work))
            pending = self._pending[identity] = _Pending(request, task)
            if not journal:
                task.add_done_callback(lambda _: self._pending.pop(identity, None))
            # Perhaps nobody is left to look at it, which is no fault.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        elif pending.request != request:
            raise _conflict()
        pending.waiting += 1
        try:
            return await asyncio.shield(pending.task)
        finally:
            pending.waiting -= 1
            if not pending.waiting and not pending.task.done():
                asyncio.get_running_loop().call_later(GRACE, _abandon, pending)

    async def _journaled(
        self, identity: Identity, request: bytes, work: Callable[[], Awaitable[bytes]]
    ) -> bytes:
        try:
            await self._database.write(
                lambda c: _insert(c, identity, request, "started", None), durable=False
            )
            answer = await work()
        except BaseException as error:
            try:
                if isinstance(error, ApiError) and error.code in _NOT_STARTED:
                    await self._set(identity, "DELETE FROM idempotency")
                else:
                    await self._set(identity, "UPDATE idempotency SET state = 'unknown'")
            finally:
                self._pending.pop(identity, None)
            if isinstance(error, asyncio.CancelledError):
                # Of this task, not of those who may have come to wait for it meanwhile.
                raise ApiError("conflict", _UNKNOWN) from None
            raise
        # The answer need not wait for the note: until that is made, this entry answers.
        kept = len(answer) <= MAX_ANSWER
        save = asyncio.create_task(
            self._set(
                identity,
                "UPDATE idempotency SET state = ?, answer = ?",
                "ended" if kept else "unkept",
                answer if kept else None,
            )
        )
        self._saves.add(save)
        save.add_done_callback(lambda _: self._saved(identity, save))
        self._unswept += len(answer) if kept else 0
        if self._unswept > MAX_ANSWERS // 4:
            # A file of a database does not shrink again: what comes fast must not wait for the next round.
            self._unswept = 0
            sweep = asyncio.create_task(self.sweep())
            self._saves.add(sweep)
            sweep.add_done_callback(self._swept)
        return answer

    def _swept(self, sweep: asyncio.Task[None]) -> None:
        self._saves.discard(sweep)
        if not sweep.cancelled() and (error := sweep.exception()) is not None:
            log.error("answers to keyed runs could not be swept: %s", error)

    def _saved(self, identity: Identity, save: asyncio.Task[int]) -> None:
        self._saves.discard(save)
        self._pending.pop(identity, None)
        if not save.cancelled() and (error := save.exception()) is not None:
            # The next repeat is told that the outcome is unknown, which is safe.
            log.error("the answer to a keyed run could not be kept: %s", error)

    async def _set(self, identity: Identity, statement: str, *values: object) -> int:
        return await self._database.execute(
            f"{statement} WHERE org_id = ? AND scope = ? AND key = ?", *values, *identity, durable=False
        )

    async def sweep(self) -> None:
        """Forget what is old, and the largest part of what is too much."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM idempotency WHERE created_ms < ?", (_now() - LIFETIME_MS,))
            total = connection.execute("SELECT total(length(answer)) FROM idempotency").fetchone()[0]
            if total > MAX_ANSWERS:
                connection.execute(
                    "UPDATE idempotency SET state = 'unkept', answer = NULL"
                    " WHERE scope LIKE 'run:%' AND created_ms <= ("
                    " SELECT max(created_ms) FROM (SELECT created_ms, sum(length(answer)) OVER"
                    " (ORDER BY created_ms) AS running FROM idempotency WHERE answer IS NOT NULL)"
                    " WHERE running <= ?)",
                    (total - MAX_ANSWERS / 2,),
                )

        # In the writer's thread, though nothing of it has to last: it looks at all that is kept.
        await self._database.write(change)

    async def close(self) -> None:
        """End what nobody waits for, and finish the notes."""
        tasks = [pending.task for pending in self._pending.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._saves, return_exceptions=True)


def note(connection: sqlite3.Connection, identity: Identity, request: bytes, answer: bytes) -> None:
    """Note what was made, in the transaction that makes it."""
    _insert(connection, identity, request, "ended", answer)


def _insert(
    connection: sqlite3.Connection, identity: Identity, request: bytes, state: str, answer: bytes | None
) -> None:
    connection.execute(
        "INSERT INTO idempotency (org_id, scope, key, request, state, answer, created_ms) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*identity, request, state, answer, _now()),
    )


def _replay(row: Row, request: bytes) -> bytes:
    if row["request"] != request:
        raise _conflict()
    if row["state"] == "ended":
        return bytes(row["answer"])
    raise ApiError("conflict", _UNKEPT if row["state"] == "unkept" else _UNKNOWN)


def _conflict() -> ApiError:
    return ApiError(
        "idempotency_conflict", "this Idempotency-Key was used with another request; make a new key"
    )


def _abandon(pending: _Pending) -> None:
    if not pending.waiting:
        pending.task.cancel()


async def _plain(work: Callable[[], Awaitable[bytes]]) -> bytes:
    return await work()


def _now() -> int:
    return time.time_ns() // 1_000_000
