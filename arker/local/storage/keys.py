"""API keys, stored as hashes, and their organizations."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from arker.ids import new_ulid

from .database import LOCAL_ORG, Database, Row


class ApiKey(NamedTuple):
    """The record of a key; times are in milliseconds since the epoch. `vm_ids` are the computers that it is limited to,
    None for all of the organization; `maker` is the id of the key that it was made with, if any."""

    key_id: str
    org_id: str
    org_name: str
    name: str
    created_ms: int
    last_used_ms: int | None
    revoked_ms: int | None
    expires_ms: int | None
    vm_ids: Sequence[str] | None
    maker: str | None

    @property
    def valid(self) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_ms is None and (self.expires_ms is None or self.expires_ms > _now())


class KeyRow(NamedTuple):
    """A key, as shown to its organization; `created_ms` is in milliseconds since the epoch. `vm_ids` are the computers
    that it is limited to; None for all of the organization."""

    key_id: str
    created_ms: int
    vm_ids: Sequence[str] | None = None


class KeyRows:
    """Queries of keys for requests."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, digest: bytes) -> tuple[str, str, str, Sequence[str] | None] | None:
        """Return the key id, organization id and organization name of a valid key, and the computers that it is limited
        to, or None."""
        row = self._database.one(
            "SELECT key_id, org_id, orgs.name AS org_name, vm_ids FROM keys JOIN orgs USING (org_id) "
            "WHERE hash = ? AND revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > ?)",
            digest,
            _now(),
        )
        return None if row is None else (row["key_id"], row["org_id"], row["org_name"], _vm_ids(row))

    def of(self, org_id: str) -> list[KeyRow]:
        """Return the valid keys of an organization, newest first."""
        rows = self._database.all(
            "SELECT key_id, created_ms, vm_ids FROM keys WHERE org_id = ? AND revoked_ms IS NULL "
            "AND (expires_ms IS NULL OR expires_ms > ?) ORDER BY created_ms DESC, key_id DESC",
            org_id, _now(),
        )  # fmt: skip
        return [KeyRow(row["key_id"], row["created_ms"], _vm_ids(row)) for row in rows]

    async def add(self, key: KeyRow, org_id: str, name: str, digest: bytes, *, maker: str) -> None:
        """Add a key, which expires when the key `maker` does."""
        await self._database.execute(
            "INSERT INTO keys (key_id, org_id, name, hash, created_ms, vm_ids, maker, expires_ms) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT expires_ms FROM keys WHERE key_id = ?))",
            key.key_id, org_id, name, digest, key.created_ms, _json(key.vm_ids), maker, maker,
        )  # fmt: skip

    async def revoke(self, org_id: str, key_id: str) -> bool:
        """Revoke a key of an organization; return False when it has no valid key with that id."""
        changed = await self._database.execute(
            "UPDATE keys SET revoked_ms = ? WHERE key_id = ? AND org_id = ? AND revoked_ms IS NULL",
            time.time_ns() // 1_000_000, key_id, org_id,
        )  # fmt: skip
        return changed == 1

    async def used(self, used: Mapping[str, int]) -> None:
        """Note when keys were last used: key ids to milliseconds since the epoch."""

        def change(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "UPDATE keys SET last_used_ms = ? WHERE key_id = ?", [(at, key) for key, at in used.items()]
            )

        await self._database.write(change, durable=False)


# Administration: functions of a connection, for programs other than the deployment.


def find(connection: sqlite3.Connection, digest: bytes) -> ApiKey | None:
    """Return the key with this hash, revoked or not."""
    return next((key for key in listed(connection, "WHERE hash = ?", digest)), None)


def add(
    connection: sqlite3.Connection,
    digest: bytes,
    *,
    name: str,
    org: str | None,
    expires_ms: int | None,
    vms: Sequence[str] = (),
) -> str:
    """Add a key of an organization (`org` by its name or id, created if missing; the deployment's own if None), limited
    to some of its computers (`vms`, by name or id; none for no limit); return its key id.

    Raises:
        ValueError: the organization does not have exactly one such computer.
    """
    key_id = f"key_{new_ulid().lower()}"
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        org_id = _organization(connection, org)
        vm_ids = list(dict.fromkeys(_computer(connection, org_id, vm) for vm in vms)) or None
        connection.execute(
            "INSERT INTO keys (key_id, org_id, name, hash, created_ms, expires_ms, vm_ids) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (key_id, org_id, name, digest, _now(), expires_ms, _json(vm_ids)),
        )
    return key_id


def _computer(connection: sqlite3.Connection, org_id: str, vm: str) -> str:
    found: list[str] = [
        row["vm_id"]
        for row in connection.execute(
            "SELECT vm_id FROM vms WHERE org_id = ? AND kind = 'computer' AND ? IN (vm_id, name) LIMIT 6",
            (org_id, vm),
        )
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"several computers are named {vm!r}: name one of them by its id: {', '.join(found)}"
        )
    raise ValueError(f"the organization has no computer {vm!r}")


def _json(vm_ids: Sequence[str] | None) -> str | None:
    return None if vm_ids is None else json.dumps(vm_ids)


def _vm_ids(row: Row) -> Sequence[str] | None:
    found: list[str] | None = None if row["vm_ids"] is None else json.loads(row["vm_ids"])
    return found


def _organization(connection: sqlite3.Connection, org: str | None) -> str:
    if org is None:
        return LOCAL_ORG
    row = connection.execute("SELECT org_id FROM orgs WHERE name = ? OR org_id = ?", (org, org)).fetchone()
    if row is not None:
        return str(row["org_id"])
    org_id = f"org_{new_ulid().lower()}"
    connection.execute("INSERT INTO orgs VALUES (?, ?)", (org_id, org))
    return org_id


def revoke(connection: sqlite3.Connection, key_id: str, *, recursive: bool) -> list[str]:
    """Revoke a key, with `recursive` also the keys that were made with it, and those made with these; return the ids of
    the keys that were not revoked before."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        found = connection.execute(
            "WITH RECURSIVE made (key_id) AS (SELECT ? UNION "
            "SELECT keys.key_id FROM keys JOIN made ON keys.maker = made.key_id WHERE ?) "
            "SELECT key_id FROM keys JOIN made USING (key_id) WHERE revoked_ms IS NULL ORDER BY created_ms, key_id",
            (key_id, recursive),
        )
        revoked: list[str] = [row["key_id"] for row in found]
        connection.executemany(
            "UPDATE keys SET revoked_ms = ? WHERE key_id = ?", [(_now(), one) for one in revoked]
        )
    return revoked


def forget(connection: sqlite3.Connection, key_id: str) -> None:
    """Delete a temporary key and all its records."""
    connection.execute("DELETE FROM keys WHERE key_id = ?", (key_id,))


def listed(connection: sqlite3.Connection, where: str = "", *values: object) -> list[ApiKey]:
    """Return all keys, including revoked ones, oldest first."""
    # `where` is a constant of this module.
    rows = connection.execute(
        "SELECT key_id, org_id, orgs.name AS org_name, keys.name AS name, created_ms, last_used_ms, "  # noqa: S608
        f"revoked_ms, expires_ms, vm_ids, maker FROM keys JOIN orgs USING (org_id) {where} ORDER BY created_ms, key_id",
        values,
    )
    return [ApiKey(**{**dict(row), "vm_ids": _vm_ids(row)}) for row in rows]


def _now() -> int:
    return time.time_ns() // 1_000_000
