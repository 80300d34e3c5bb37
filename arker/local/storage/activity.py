"""The activity log of organizations' computers."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from .database import Database


class ActivityRow(NamedTuple):
    """A request that a computer served; times are in milliseconds, `at_ms` since the epoch. `endpoint` is `run`, `fork`
    or `sync`."""

    org_id: str
    at_ms: int
    endpoint: str
    vm_id: str
    run_id: str
    session_id: str
    command: str
    source_vm_id: str
    key_id: str
    status: int
    total_ms: float
    queue_ms: float
    exit_code: int | None
    state: str | None
    cpu_ms: float
    memory_mib: float


class ActivityFilter(NamedTuple):
    """Filters and order of a list: rows must match all filters that are set. Times are in milliseconds since the
    epoch."""

    since_ms: int
    until_ms: int
    limit: int
    offset: int = 0
    vm_ids: Sequence[str] = ()
    search: str = ""
    endpoints: Sequence[str] = ()
    status_min: int = 0
    status_max: int = 999
    sort: str = "when"
    ascending: bool = False


_COLUMNS: Final = ", ".join(ActivityRow._fields)
#: The sort keys of a list, and their columns.
SORTS: Final = {
    "when": "at_ms",
    "status": "status",
    "path": "endpoint",
    "total": "total_ms",
    "queue": "queue_ms",
    "your_code": "total_ms - queue_ms",
    "runtime": "total_ms - queue_ms",
}


class ActivityRows:
    """The rows of the activity log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, acts: Sequence[ActivityRow]) -> None:
        """Add rows."""
        marks = ", ".join("?" * len(ActivityRow._fields))

        def change(connection: sqlite3.Connection) -> None:
            connection.executemany(
                f"INSERT INTO activity ({_COLUMNS}) VALUES ({marks})",  # noqa: S608
                acts,
            )

        await self._database.write(change, durable=False)

    def page(self, org_id: str, wanted: ActivityFilter) -> list[ActivityRow]:
        """Return rows of an organization."""
        where = ["org_id = ?", "at_ms >= ?", "at_ms < ?", "status >= ?", "status <= ?"]
        values: list[object] = [
            org_id, wanted.since_ms, wanted.until_ms, wanted.status_min, wanted.status_max,
        ]  # fmt: skip
        for column, among in (("vm_id", wanted.vm_ids), ("endpoint", wanted.endpoints)):
            if among:
                where.append(f"{column} IN ({', '.join('?' * len(among))})")
                values.extend(among)
        if wanted.search:
            where.append("instr(command || ' ' || vm_id || ' ' || run_id, ?) > 0")
            values.append(wanted.search)
        order = "ASC" if wanted.ascending else "DESC"
        rows = self._database.all(
            # The text contains only constants.
            f"SELECT {_COLUMNS} FROM activity WHERE {' AND '.join(where)} "  # noqa: S608
            f"ORDER BY {SORTS[wanted.sort]} {order}, rowid {order} LIMIT ? OFFSET ?",
            *values, wanted.limit, wanted.offset,
        )  # fmt: skip
        return [ActivityRow(*row) for row in rows]

    async def remove(self, before_ms: int, most: int) -> None:
        """Remove rows from before a time, and all but the last `most`."""
        # Rows are added about in the order of their times, so the search ends at the first one that is kept.
        await self._database.execute(
            "WITH last (id) AS (SELECT coalesce(max(rowid), 0) FROM activity), "
            "kept (id) AS (SELECT rowid FROM activity WHERE at_ms >= ? ORDER BY rowid LIMIT 1) "
            "DELETE FROM activity WHERE rowid < max(coalesce((SELECT id FROM kept), (SELECT id + 1 FROM last)), "
            "(SELECT id FROM last) - ? + 1)",
            before_ms, most, durable=False,
        )  # fmt: skip
