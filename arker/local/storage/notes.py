"""Notes of requests with an Idempotency-Key, and of their answers."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection
from typing import NamedTuple

from .database import Database


class Identity(NamedTuple):
    """Identifies a note: the organization of the key, its scope (an operation, and the computer concerned), and the
    key."""

    org_id: str
    scope: str
    key: str


class Note(NamedTuple):
    """The note of a key.

    Attributes:
        request: digest of the request.
        state: `started`; `ended` (with its answer); `unkept` (ended, the answer was not kept); `unknown`.
    """

    identity: Identity
    request: bytes
    state: str
    answer: bytes | None


class Ended(NamedTuple):
    """How a request ended: the state of its note, and the answer if it is kept."""

    identity: Identity
    state: str
    answer: bytes | None


class Notes:
    """The notes of a deployment. They survive the process, but not always the machine."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, identity: Identity) -> Note | None:
        """Return the note of a key."""
        row = self._database.one(
            "SELECT request, state, answer FROM idempotency WHERE org_id = ? AND scope = ? AND key = ?",
            *identity,
        )
        return None if row is None else Note(identity, row["request"], row["state"], row["answer"])

    async def add(self, note: Note, ended: Collection[Ended] = ()) -> None:
        """Add a note for a new key; in the same transaction, save how other requests ended."""

        def change(connection: sqlite3.Connection) -> None:
            _end(connection, ended)
            insert_note(connection, note)

        await self._database.write(change, durable=False)

    async def end(self, ended: Collection[Ended]) -> None:
        """Save how requests ended."""
        await self._database.write(lambda connection: _end(connection, ended), durable=False)

    async def forget(self, identity: Identity) -> None:
        """Delete the note of a key."""
        await self._database.execute(
            "DELETE FROM idempotency WHERE org_id = ? AND scope = ? AND key = ?", *identity, durable=False
        )

    async def lose_started(self) -> None:
        """Mark requests that had started as having an unknown outcome."""
        await self._database.execute("UPDATE idempotency SET state = 'unknown' WHERE state = 'started'")

    async def sweep(self, *, before_ms: int, most_bytes: int) -> None:
        """Delete notes from before a time; if the answers exceed `most_bytes`, delete the oldest answers of runs down
        to half of it."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM idempotency WHERE created_ms < ?", (before_ms,))
            total = connection.execute("SELECT total(length(answer)) FROM idempotency").fetchone()[0]
            if total > most_bytes:
                connection.execute(
                    "UPDATE idempotency SET state = 'unkept', answer = NULL"
                    " WHERE scope LIKE 'run:%' AND created_ms <= ("
                    " SELECT max(created_ms) FROM (SELECT created_ms, sum(length(answer)) OVER"
                    " (ORDER BY created_ms) AS running FROM idempotency WHERE answer IS NOT NULL)"
                    " WHERE running <= ?)",
                    (total - most_bytes / 2,),
                )

        # In the writer's thread, although it need not be durable, because it scans all notes.
        await self._database.write(change)


def _end(connection: sqlite3.Connection, ended: Collection[Ended]) -> None:
    for identity, state, answer in ended:
        connection.execute(
            "UPDATE idempotency SET state = ?, answer = ? WHERE org_id = ? AND scope = ? AND key = ?",
            (state, answer, *identity),
        )


def insert_note(connection: sqlite3.Connection, note: Note) -> None:
    """Add a note within a transaction."""
    connection.execute(
        "INSERT INTO idempotency (org_id, scope, key, request, state, answer, created_ms) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*note.identity, note.request, note.state, note.answer, time.time_ns() // 1_000_000),
    )
