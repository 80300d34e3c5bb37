"""The database of persistent state: one SQLite file.

A read of a row or two takes microseconds and never waits in WAL mode, so it is a plain call on the event loop. A
write is a function of the connection that runs in a transaction, in the writer's thread if it waits for the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from .errors import DiskFull, StateError, StorageError

T = TypeVar("T")
Row = sqlite3.Row
Connection = sqlite3.Connection

#: The organization that a deployment's own keys belong to, and the one that owns the base images (it has no
#: key).
LOCAL_ORG: Final = "org_local"
PLATFORM_ORG: Final = "org_arker"

#: Name of the file in a state folder.
DATABASE: Final = "arker.db"

#: Step n migrates a file from version n to n + 1. Never change a released step; append.
MIGRATIONS: Final = [
    """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE orgs (org_id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT, WITHOUT ROWID;
    INSERT INTO orgs VALUES ('org_local', 'Local'), ('org_arker', 'Arker');
    CREATE TABLE keys (
        key_id TEXT PRIMARY KEY,
        org_id TEXT NOT NULL REFERENCES orgs,
        name TEXT NOT NULL,
        hash BLOB NOT NULL UNIQUE,
        created_ms INTEGER NOT NULL,
        last_used_ms INTEGER,
        revoked_ms INTEGER
    ) STRICT;
    CREATE TABLE vms (
        vm_id TEXT PRIMARY KEY,
        org_id TEXT NOT NULL REFERENCES orgs,
        kind TEXT NOT NULL CHECK (kind IN ('computer', 'base')),
        name TEXT,
        image TEXT NOT NULL,
        is_public INTEGER NOT NULL,
        parent_vm_id TEXT,
        created_ms INTEGER NOT NULL,
        last_active_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX vms_by_age ON vms (org_id, kind, created_ms, vm_id);
    CREATE INDEX vms_by_name ON vms (name) WHERE name IS NOT NULL;
    INSERT INTO vms
        SELECT '01KQBYKEV5WJ7YB010603T1DCT_d8c0', 'org_arker', 'base', 'arkuntu', 'arkuntu', 1, NULL, now, now
        FROM (SELECT CAST(strftime('%s', 'now') AS INTEGER) * 1000 AS now);
    CREATE TABLE uploads (
        vm_id TEXT NOT NULL REFERENCES vms ON DELETE CASCADE,
        upload_id TEXT NOT NULL,
        path TEXT NOT NULL,
        size INTEGER NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('chunks', 'put')),
        ranges TEXT NOT NULL,
        written INTEGER NOT NULL,
        boot TEXT NOT NULL,
        touched_ms INTEGER NOT NULL,
        PRIMARY KEY (vm_id, upload_id)
    ) STRICT;
    CREATE INDEX uploads_by_age ON uploads (touched_ms);
    CREATE TABLE idempotency (
        org_id TEXT NOT NULL,
        scope TEXT NOT NULL,
        key TEXT NOT NULL,
        request BLOB NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('started', 'ended', 'unkept', 'unknown')),
        answer BLOB,
        created_ms INTEGER NOT NULL,
        PRIMARY KEY (org_id, scope, key)
    ) STRICT;
    CREATE INDEX idempotency_by_age ON idempotency (created_ms);
    """,
    """
    CREATE INDEX uploads_pending ON uploads (vm_id, size) WHERE NOT written;
    """,
    """
    CREATE TABLE leftovers (vm_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
    ALTER TABLE keys ADD COLUMN expires_ms INTEGER;
    """,
    """
    ALTER TABLE vms ADD COLUMN description TEXT;
    CREATE TABLE runs (
        run_id TEXT PRIMARY KEY,
        vm_id TEXT NOT NULL REFERENCES vms ON DELETE CASCADE,
        session_id TEXT NOT NULL,
        command TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
        started_ms INTEGER NOT NULL,
        completed_ms INTEGER,
        exit_code INTEGER,
        fail_reason TEXT
    ) STRICT;
    CREATE INDEX runs_by_age ON runs (vm_id, started_ms, run_id);
    CREATE INDEX runs_unfinished ON runs (vm_id) WHERE completed_ms IS NULL;
    CREATE TABLE sessions (
        vm_id TEXT NOT NULL REFERENCES vms ON DELETE CASCADE,
        session_id TEXT NOT NULL,
        env TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        deleted INTEGER NOT NULL,
        PRIMARY KEY (vm_id, session_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE filesystems (
        filesystem_id TEXT PRIMARY KEY,
        org_id TEXT NOT NULL REFERENCES orgs,
        name TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        UNIQUE (org_id, name)
    ) STRICT;
    CREATE TABLE mounts (
        mount_id TEXT PRIMARY KEY,
        vm_id TEXT NOT NULL REFERENCES vms ON DELETE CASCADE,
        filesystem_id TEXT NOT NULL REFERENCES filesystems,
        path TEXT NOT NULL,
        UNIQUE (vm_id, path),
        UNIQUE (vm_id, filesystem_id)
    ) STRICT;
    CREATE TABLE activity (
        org_id TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        endpoint TEXT NOT NULL,
        vm_id TEXT NOT NULL,
        run_id TEXT NOT NULL,
        session_id TEXT NOT NULL,
        command TEXT NOT NULL,
        source_vm_id TEXT NOT NULL,
        key_id TEXT NOT NULL,
        status INTEGER NOT NULL,
        total_ms REAL NOT NULL,
        queue_ms REAL NOT NULL,
        exit_code INTEGER,
        state TEXT
    ) STRICT;
    CREATE INDEX activity_by_age ON activity (org_id, at_ms);
    """,
    """
    ALTER TABLE sessions ADD COLUMN cwd TEXT;
    """,
    """
    ALTER TABLE keys ADD COLUMN vm_ids TEXT;
    ALTER TABLE activity ADD COLUMN cpu_ms REAL NOT NULL DEFAULT 0;
    ALTER TABLE activity ADD COLUMN memory_mib REAL NOT NULL DEFAULT 0;
    """,
    """
    ALTER TABLE keys ADD COLUMN maker TEXT;
    CREATE TABLE terminals (
        vm_id TEXT NOT NULL REFERENCES vms ON DELETE CASCADE,
        session_id TEXT NOT NULL,
        idle INTEGER NOT NULL,
        PRIMARY KEY (vm_id, session_id)
    ) STRICT, WITHOUT ROWID;
    """,
]


def open_database(path: Path) -> sqlite3.Connection:
    """Open the file at `path`; create it if missing, and migrate it to the current version.

    Raises:
        StateError: it was written by a newer version, is not a database, or cannot be opened.
    """
    try:
        # The WAL inherits the mode of the file: other users must not read hashes, names and outputs. An existing file
        # must not be opened here: closing it would release the locks of this process's other connections.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise StateError(f"cannot open {path}: {error}") from None
    try:
        connection.row_factory = sqlite3.Row
        for pragma in (
            "journal_mode = WAL",
            "foreign_keys = ON",
            "synchronous = FULL",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        if _version(connection) != len(MIGRATIONS):
            _keep_copy(connection, path)
            _migrate(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise StateError(f"cannot use {path}: {error}") from None
    except StateError:
        connection.close()
        raise
    return connection


def _keep_copy(connection: sqlite3.Connection, path: Path) -> None:
    """Copy a file of an older version before it is migrated, for example to `arker.db.version-2`, so that a downgrade
    is possible."""
    version = _version(connection)
    copy = path.with_name(f"{path.name}.version-{version}")
    if not 0 < version < len(MIGRATIONS) or copy.exists():
        return
    part = path.with_name(f"{copy.name}.{secrets.token_hex(4)}")
    try:
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as target:
            connection.backup(target)
        # Another process may have migrated the file meanwhile; then the copy does not match its name.
        if _version(connection) == version:
            part.replace(copy)
    except (OSError, sqlite3.Error) as error:
        raise StateError(
            f"{path} is of an older version, and it cannot be copied before it is changed: {error}"
        ) from None
    finally:
        part.unlink(missing_ok=True)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)
        if version > len(MIGRATIONS):
            raise StateError(
                f"{path} has version {version}, and this Arker knows versions up to {len(MIGRATIONS)}: "
                "it was used by a newer Arker; upgrade, or name another state folder"
            )
        for step in MIGRATIONS[version:]:
            for statement in step.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('secret', ?)", (secrets.token_bytes(32),))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


class Database:
    """Two connections to one file: one for reads and fast writes on the event loop, and one for writes in a thread."""

    def __init__(self, path: Path) -> None:
        self._connections = contextlib.ExitStack()
        try:
            # What another connection has written is read from the file again: reads use the one of fast writes.
            self._writer, self._quick = (
                self._connections.enter_context(contextlib.closing(open_database(path))) for _ in range(2)
            )
        except BaseException:
            self._connections.close()
            raise
        # The event loop must not wait for the disk, the lock or a checkpoint.
        for pragma in ("synchronous = NORMAL", "busy_timeout = 0", "wal_autocheckpoint = 0"):
            self._quick.execute(f"PRAGMA {pragma}").fetchall()
        self._quick_writes = 0
        self._thread = ThreadPoolExecutor(1, "arker-db")

    def one(self, sql: str, *values: Any) -> Row | None:
        """Return the first row of a query; None if there is none."""
        rows = self.all(sql, *values)
        return rows[0] if rows else None

    def all(self, sql: str, *values: Any) -> list[Row]:
        """Return all rows of a query."""
        return self._quick.execute(sql, values).fetchall()

    async def write(self, change: Callable[[sqlite3.Connection], T], *, durable: bool = True) -> T:
        """Run `change` in a transaction.

        With `durable` it is on disk when this returns. Otherwise it survives the death of the process, but perhaps
        not a crash of the machine, and does not wait for the disk. A cancelled call is still carried out.

        Raises:
            DiskFull: nothing was changed.
        """
        if not durable:
            try:
                return self._write_quickly(change)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    raise
            # Another connection is writing. This is known before `change` has started, so it can be run in the thread.
        loop = asyncio.get_running_loop()
        # Without the shield, a call that is cancelled while it is queued would not be carried out.
        return await asyncio.shield(loop.run_in_executor(self._thread, _transact, self._writer, change))

    def _write_quickly(self, change: Callable[[sqlite3.Connection], T]) -> T:
        result = _transact(self._quick, change)
        self._quick_writes += 1
        if self._quick_writes % 500 == 0:
            # Passive: copies pages that no reader needs any more, without blocking others.
            self._thread.submit(lambda: self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall())
        return result

    async def execute(self, sql: str, *values: Any, durable: bool = True) -> int:
        """Run one statement in a transaction; return the number of changed rows."""
        return await self.write(lambda connection: connection.execute(sql, values).rowcount, durable=durable)

    def secret(self) -> bytes:
        """Return the key that signs this state folder's tokens."""
        row = self.one("SELECT value FROM meta WHERE name = 'secret'")
        assert row is not None
        return bytes(row["value"])

    async def probe(self) -> None:
        """Check that the file can be written.

        Raises:
            StorageError: the file cannot be written.
        """
        try:
            await self.execute("INSERT OR REPLACE INTO meta VALUES ('health', ?)", b"", durable=False)
        except sqlite3.Error as error:
            raise StorageError(str(error)) from None

    def close(self) -> None:
        """Finish running writes and close the file."""
        self._thread.shutdown()
        self._connections.close()


def matching(*conditions: tuple[str, object]) -> tuple[str, list[object]]:
    """Join the conditions whose value is not None by AND; return the text and the values. A tuple has a value for each
    `?` of its condition."""
    given = [(text, value) for text, value in conditions if value is not None]
    values = [one for _, value in given for one in (value if isinstance(value, tuple) else (value,))]
    return " AND ".join(text for text, _ in given), values


def _transact(connection: sqlite3.Connection, change: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = change(connection)
        connection.execute("COMMIT")
    except BaseException as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise DiskFull("the disk of the deployment is full") from error
        raise
    return result
