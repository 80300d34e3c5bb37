"""API keys: 256 random bits, of which the database holds a SHA-256 and nothing else.

A plain hash is enough, as nobody can guess 256 bits; and finding it by an index tells nothing, as what is
compared is the hash, which the caller does not choose.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import sqlite3
import time
from dataclasses import dataclass
from typing import Final

from arker.ids import new_ulid

from .database import LOCAL_ORG

_KEY: Final = re.compile(r"[!-~]{16,512}", re.ASCII)
_ORG: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key; times are in milliseconds since the epoch."""

    key_id: str
    org_id: str
    org_name: str
    name: str
    created_ms: int
    last_used_ms: int | None
    revoked_ms: int | None


def generate() -> str:
    """A new key."""
    return f"ark_{secrets.token_urlsafe(32)}"


def digest(key: str) -> bytes:
    """What the database holds of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def check(key: str) -> None:
    """Refuse a key that is too weak or cannot stand in a header.

    Raises:
        ValueError: it is not 16 to 512 visible ASCII characters.
    """
    if _KEY.fullmatch(key) is None:
        raise ValueError("an API key is 16 to 512 visible ASCII characters; leave it out to have one made")


def register(connection: sqlite3.Connection, key: str, *, name: str, org: str | None = None) -> str:
    """Make `key` valid for an organization (`org` by its name, made if missing; the deployment's own if
    None); its key id.

    A key that is there already is left as it is, unless it was revoked.

    Raises:
        ValueError: the key or the organization's name is not well formed, or the key was revoked.
    """
    check(key)
    known = connection.execute(
        "SELECT key_id, revoked_ms FROM keys WHERE hash = ?", (digest(key),)
    ).fetchone()
    if known is not None:
        if known["revoked_ms"] is not None:
            raise ValueError("this API key was revoked; a revoked key cannot come back")
        return str(known["key_id"])
    key_id = f"key_{new_ulid().lower()}"
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "INSERT INTO keys VALUES (?, ?, ?, ?, ?, NULL, NULL)",
            (key_id, _organization(connection, org), name, digest(key), time.time_ns() // 1_000_000),
        )
    return key_id


def _organization(connection: sqlite3.Connection, org: str | None) -> str:
    if org is None:
        return LOCAL_ORG
    if _ORG.fullmatch(org) is None:
        raise ValueError("an organization's name is 1 to 64 letters, digits, `_`, `.` and `-`")
    row = connection.execute("SELECT org_id FROM orgs WHERE name = ? OR org_id = ?", (org, org)).fetchone()
    if row is not None:
        return str(row["org_id"])
    org_id = f"org_{new_ulid().lower()}"
    connection.execute("INSERT INTO orgs VALUES (?, ?)", (org_id, org))
    return org_id


def revoke(connection: sqlite3.Connection, key_id: str) -> bool:
    """Make a key invalid for good, at once; False when there is no valid key of that id."""
    changed = connection.execute(
        "UPDATE keys SET revoked_ms = ? WHERE key_id = ? AND revoked_ms IS NULL",
        (time.time_ns() // 1_000_000, key_id),
    )
    return changed.rowcount == 1


def forget(connection: sqlite3.Connection, key_id: str) -> None:
    """Delete a temporary key and every trace of it."""
    connection.execute("DELETE FROM keys WHERE key_id = ?", (key_id,))


def listed(connection: sqlite3.Connection) -> list[ApiKey]:
    """All keys, revoked ones too, oldest first."""
    rows = connection.execute(
        "SELECT key_id, org_id, orgs.name AS org_name, keys.name AS name, created_ms, last_used_ms, "
        "revoked_ms FROM keys JOIN orgs USING (org_id) ORDER BY created_ms, key_id"
    )
    return [ApiKey(**dict(row)) for row in rows]
