"""Sessions that were created by a request rather than by the first command in them, and limits of terminals."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import NamedTuple

from .database import Database
from .notes import Note, insert_note


class SessionRow(NamedTuple):
    """A session, and the variables and the folder that it begins with. A deleted one keeps its row, so that its id is
    not reused."""

    session_id: str
    env: Mapping[str, str]
    cwd: str | None
    created_ms: int
    deleted: bool


class SessionRows:
    """The rows of sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, vm_id: str) -> dict[str, SessionRow]:
        """Return the sessions of a computer by id."""
        rows = self._database.all("SELECT * FROM sessions WHERE vm_id = ?", vm_id)
        return {
            row["session_id"]: SessionRow(
                row["session_id"],
                json.loads(row["env"]),
                row["cwd"],
                row["created_ms"],
                bool(row["deleted"]),
            )
            for row in rows
        }

    async def save(self, vm_id: str, session: SessionRow, note: Note | None = None) -> None:
        """Add a session, or update the one with its id; add the note of its request in the same transaction."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO sessions (vm_id, session_id, env, cwd, created_ms, deleted)"
                " SELECT ?, ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM vms WHERE vm_id = ?)",
                (
                    vm_id, session.session_id, json.dumps(dict(session.env)), session.cwd, session.created_ms,
                    session.deleted, vm_id,
                ),
            )  # fmt: skip
            if note is not None:
                insert_note(connection, note)

        await self._database.write(change)

    def idle(self, vm_id: str, session_id: str) -> int | None:
        """Return after how many seconds without an attachment the terminal of a session ends; None for never."""
        row = self._database.one(
            "SELECT idle FROM terminals WHERE vm_id = ? AND session_id = ?", vm_id, session_id
        )
        return None if row is None else int(row["idle"])

    async def set_idle(self, vm_id: str, session_id: str, seconds: int) -> None:
        """Set what `idle` returns; 0 for never."""
        if seconds:
            await self._database.execute(
                "INSERT OR REPLACE INTO terminals (vm_id, session_id, idle)"
                " SELECT ?, ?, ? WHERE EXISTS (SELECT 1 FROM vms WHERE vm_id = ?)",
                vm_id, session_id, seconds, vm_id,
            )  # fmt: skip
        else:
            await self._database.execute(
                "DELETE FROM terminals WHERE vm_id = ? AND session_id = ?", vm_id, session_id
            )
