"""Sessions that were created by a request rather than by the first command in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from .database import Database


@dataclass(frozen=True, slots=True)
class SessionRow:
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

    async def save(self, vm_id: str, session: SessionRow) -> None:
        """Add a session, or update the one with its id."""
        await self._database.execute(
            "INSERT OR REPLACE INTO sessions (vm_id, session_id, env, cwd, created_ms, deleted)"
            " SELECT ?, ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM vms WHERE vm_id = ?)",
            vm_id, session.session_id, json.dumps(dict(session.env)), session.cwd, session.created_ms,
            session.deleted, vm_id,
        )  # fmt: skip
