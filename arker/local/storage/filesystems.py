"""File systems that outlive computers, and their mounts."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from .database import Database
from .errors import NameTaken


class Filesystem(NamedTuple):
    """A file system; `created_ms` is in milliseconds since the epoch."""

    filesystem_id: str
    org_id: str
    name: str
    created_ms: int


class Mount(NamedTuple):
    """A mount of a file system in a computer."""

    mount_id: str
    vm_id: str
    filesystem_id: str
    path: str


class FilesystemRows:
    """The rows of file systems and mounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, filesystem: Filesystem) -> None:
        """Add a file system.

        Raises:
            NameTaken: the organization has one with this name.
        """
        try:
            await self._database.execute(
                "INSERT INTO filesystems VALUES (?, ?, ?, ?)",
                filesystem.filesystem_id, filesystem.org_id, filesystem.name, filesystem.created_ms,
            )  # fmt: skip
        except sqlite3.IntegrityError:
            raise NameTaken from None

    def find(self, org_id: str, filesystem_id: str) -> Filesystem | None:
        """Return a file system of an organization."""
        row = self._database.one(
            "SELECT * FROM filesystems WHERE filesystem_id = ? AND org_id = ?", filesystem_id, org_id
        )
        return None if row is None else Filesystem(**dict(row))

    def page(self, org_id: str, prefix: str, after: tuple[int, str] | None, limit: int) -> list[Filesystem]:
        """Return file systems of an organization whose names begin with `prefix`, newest first."""
        rows = self._database.all(
            "SELECT * FROM filesystems WHERE org_id = ? AND substr(name, 1, length(?)) = ? "
            "AND (? OR (created_ms, filesystem_id) < (?, ?)) "
            "ORDER BY created_ms DESC, filesystem_id DESC LIMIT ?",
            org_id, prefix, prefix, after is None, *(after or (0, "")), limit,
        )  # fmt: skip
        return [Filesystem(**dict(row)) for row in rows]

    async def remove(self, filesystem_id: str) -> bool:
        """Remove a file system; return False when it is mounted."""
        try:
            await self._database.execute("DELETE FROM filesystems WHERE filesystem_id = ?", filesystem_id)
        except sqlite3.IntegrityError:
            return False
        return True

    def mounted(self) -> list[str]:
        """Return the computers that have mounts."""
        return [row["vm_id"] for row in self._database.all("SELECT DISTINCT vm_id FROM mounts")]

    def mounts(self, vm_id: str) -> list[Mount]:
        """Return the mounts of a computer, oldest first."""
        rows = self._database.all("SELECT * FROM mounts WHERE vm_id = ? ORDER BY mount_id", vm_id)
        return [Mount(**dict(row)) for row in rows]

    async def add_mount(self, mount: Mount) -> None:
        """Add a mount.

        Raises:
            NameTaken: its path or file system has a mount in the computer, or one of both was deleted.
        """
        try:
            await self._database.execute(
                "INSERT INTO mounts VALUES (?, ?, ?, ?)",
                mount.mount_id, mount.vm_id, mount.filesystem_id, mount.path,
            )  # fmt: skip
        except sqlite3.IntegrityError:
            raise NameTaken from None

    async def remove_mount(self, mount_id: str) -> None:
        """Remove a mount."""
        await self._database.execute("DELETE FROM mounts WHERE mount_id = ?", mount_id)
