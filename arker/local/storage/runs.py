"""Recorded runs: saved before they start, and kept for a while."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from .database import Database, Row, matching
from .errors import NameTaken
from .notes import Note, insert_note

_COLUMNS: Final = (
    "run_id, vm_id, session_id, command, state, started_ms, completed_ms, exit_code, fail_reason"
)


class RunRow(NamedTuple):
    """A run; times are in milliseconds since the epoch. `state` is `pending`, `running`, `completed`, `failed` or
    `cancelled`."""

    run_id: str
    vm_id: str
    session_id: str
    command: str
    state: str
    started_ms: int
    completed_ms: int | None = None
    exit_code: int | None = None
    fail_reason: str | None = None


class RunFilter(NamedTuple):
    """Filters of a list: runs must match all that are set. Times are in milliseconds since the epoch, inclusive;
    `after` is where the previous page ended."""

    state: str | None = None
    started_after: int | None = None
    started_before: int | None = None
    completed_after: int | None = None
    after: tuple[int, str] | None = None


class RunRows:
    """The rows of runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, run: RunRow, note: Note | None = None, *, durable: bool = False) -> None:
        """Add a run, or update the one with its id; note the answer for an Idempotency-Key in the same transaction. The
        row survives the death of the process; if `durable`, that of the machine as well.

        Raises:
            NameTaken: the key has a note already; nothing was changed.
        """

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(
                f"INSERT INTO runs ({_COLUMNS}) "  # noqa: S608
                # If the computer was deleted meanwhile, its runs are gone as well.
                "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM vms WHERE vm_id = ?) "
                "ON CONFLICT (run_id) DO UPDATE SET state = excluded.state, "
                "completed_ms = excluded.completed_ms, exit_code = excluded.exit_code, "
                "fail_reason = excluded.fail_reason",
                (
                    run.run_id, run.vm_id, run.session_id, run.command, run.state, run.started_ms,
                    run.completed_ms, run.exit_code, run.fail_reason, run.vm_id,
                ),
            )  # fmt: skip
            if note is not None:
                try:
                    insert_note(connection, note)
                except sqlite3.IntegrityError:
                    raise NameTaken from None

        await self._database.write(change, durable=durable)

    def find(self, vm_id: str, run_id: str) -> RunRow | None:
        """Return a run of a computer."""
        row = self._database.one(
            f"SELECT {_COLUMNS} FROM runs WHERE run_id = ? AND vm_id = ?",  # noqa: S608
            run_id, vm_id,
        )  # fmt: skip
        return None if row is None else _run(row)

    def page(self, vm_id: str, wanted: RunFilter, limit: int) -> list[RunRow]:
        """Return runs of a computer, newest first."""
        where, values = matching(
            ("vm_id = ?", vm_id),
            ("state = ?", wanted.state),
            ("started_ms >= ?", wanted.started_after),
            ("started_ms <= ?", wanted.started_before),
            ("completed_ms >= ?", wanted.completed_after),
            ("(started_ms, run_id) < (?, ?)", wanted.after),
        )
        rows = self._database.all(
            # The text contains only constants.
            f"SELECT {_COLUMNS} FROM runs WHERE {where} "  # noqa: S608
            "ORDER BY started_ms DESC, run_id DESC LIMIT ?",
            *values, limit,
        )  # fmt: skip
        return [_run(row) for row in rows]

    async def fail_unfinished(self, reason: str, now_ms: int) -> None:
        """Mark runs that were unfinished when the last process ended as failed."""
        await self._database.execute(
            "UPDATE runs SET state = 'failed', completed_ms = ?, fail_reason = ? WHERE completed_ms IS NULL",
            now_ms, reason,
        )  # fmt: skip

    def outdated(self, before_ms: int, most: int) -> list[tuple[str, str]]:
        """Return the ended runs (computer and id) that started before a time or are not among the newest `most` of
        their computer."""
        rows = self._database.all(
            "SELECT vm_id, run_id FROM (SELECT vm_id, run_id, started_ms, completed_ms, "
            "row_number() OVER (PARTITION BY vm_id ORDER BY started_ms DESC, run_id DESC) AS place FROM runs) "
            "WHERE completed_ms IS NOT NULL AND (started_ms < ? OR place > ?)",
            before_ms, most,
        )  # fmt: skip
        return [(row["vm_id"], row["run_id"]) for row in rows]

    async def remove(self, run_ids: Sequence[str]) -> None:
        """Remove runs."""

        def change(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM runs WHERE run_id = ?", [(run_id,) for run_id in run_ids])

        await self._database.write(change, durable=False)


def _run(row: Row) -> RunRow:
    return RunRow(**dict(row))
