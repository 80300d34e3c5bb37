"""API keys: 256 random bits each. The database stores only their SHA-256.

A plain hash is enough because 256 random bits cannot be guessed. An index lookup leaks nothing by its timing, because
it compares hashes, which the caller cannot choose.

Any process that can write a state folder may create keys for it, even during a deployment. Changes apply at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from arker.local.storage import keys as rows
from arker.local.storage.database import DATABASE, Connection, open_database
from arker.local.storage.errors import StateError
from arker.local.storage.keys import ApiKey

__all__ = ["ApiKey", "Keys", "StateError", "check", "digest", "generate", "open_keys"]

_KEY: Final = re.compile(r"[!-~]{16,512}", re.ASCII)
_ORG: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,63}", re.ASCII)
#: Maximum validity of a key in seconds, unless it does not expire.
_LONGEST: Final = 100 * 366 * 86400
#: Maximum number of computers that a key is limited to, as in contract 0.3.
MOST_VMS: Final = 16


def generate() -> str:
    """Return a new random key."""
    return f"ark_{secrets.token_urlsafe(32)}"


def digest(key: str) -> bytes:
    """Return the hash of a key that the database stores."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def check(key: str) -> None:
    """Refuse a key that is too weak or not valid in a header.

    Raises:
        ValueError: it is not 16 to 512 visible ASCII characters.
    """
    if _KEY.fullmatch(key) is None:
        raise ValueError("an API key is 16 to 512 visible ASCII characters; leave it out to have one made")


class Keys:
    """The keys of a state folder; see `open_keys`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def register(
        self,
        key: str,
        *,
        name: str,
        org: str | None = None,
        expires_in: float | None = None,
        vms: Sequence[str] = (),
    ) -> str:
        """Make `key` valid for an organization; return its key id. An existing key is left unchanged.

        Args:
            org: name of the organization, created if missing; None for the deployment's own.
            expires_in: seconds after which the key expires; None for never.
            vms: names or ids of the computers that it is limited to, at most `MOST_VMS`; none for all of the
                organization.

        Raises:
            ValueError: an argument is not well formed, the key was revoked or has expired, or there is no such
                computer.
        """
        check(key)
        known = rows.find(self._connection, digest(key))
        if known is not None:
            if not known.valid:
                what = "has expired" if known.revoked_ms is None else "was revoked"
                raise ValueError(f"this API key {what} and cannot be made valid again; use another one")
            return known.key_id
        if org is not None and _ORG.fullmatch(org) is None:
            raise ValueError("an organization's name is 1 to 64 letters, digits, `_`, `.` and `-`")
        if expires_in is not None and not 0 < expires_in <= _LONGEST:
            raise ValueError("a key expires after more than 0 seconds and at most 100 years")
        if len(vms) > MOST_VMS:
            raise ValueError(f"a key is limited to at most {MOST_VMS} computers")
        expires_ms = None if expires_in is None else round((time.time() + expires_in) * 1000)
        return rows.add(self._connection, digest(key), name=name, org=org, expires_ms=expires_ms, vms=vms)

    def revoke(self, key_id: str, *, recursive: bool = False) -> list[str]:
        """Revoke a key permanently, at once, with `recursive` also the keys that were made with it, and those made with
        these; return the ids of the keys that were not revoked before."""
        return rows.revoke(self._connection, key_id, recursive=recursive)

    def forget(self, key_id: str) -> None:
        """Delete a temporary key and all its records."""
        rows.forget(self._connection, key_id)

    def listed(self) -> list[ApiKey]:
        """Return all keys, including revoked ones, oldest first."""
        return rows.listed(self._connection)


@contextlib.contextmanager
def open_keys(state: Path) -> Iterator[Keys]:
    """Open the keys of a state folder.

    Raises:
        StateError: the folder cannot be used.
    """
    with contextlib.closing(open_database(state / DATABASE)) as connection:
        yield Keys(connection)
