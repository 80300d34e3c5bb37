"""Persistent state: the computers, the layers of each, and the state of its sessions.

    engine.sqlite3   computers (image, frozen layers, top layer) and their sessions; one commit is one synced write
    layers/          one folder per layer; names are random, the database has their users
    work/            scratch folders of the overlay mounts, one after another's; made anew by each start
    run/             pipes and files shared with live sandboxes, emptied at start

A layer folder is created when a sandbox first needs it, so that a fork or a new computer is only a commit: the
parent's top layer becomes frozen, and parent and child get names of new top layers.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from arker.local.engine import trees
from arker.local.engine.protocol import EngineError, StorageFull

_VERSION = 2
#: Maximum bytes of the states of all sessions together. A state beyond that is not saved; the previous one stays.
_STATES = 1 << 30
_SCHEMA = """
CREATE TABLE vms (
    id TEXT PRIMARY KEY,
    image TEXT NOT NULL,
    frozen TEXT NOT NULL,  -- JSON array of layer names, the lowest first
    top TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE sessions (
    vm TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    cwd BLOB NOT NULL,
    state BLOB,  -- the digest of a row of `states`
    PRIMARY KEY (vm, id)
) STRICT, WITHOUT ROWID;
"""
# The states of sessions, each stored once, however many computers were forked with it.
_STATES_SCHEMA = """
CREATE TABLE states (digest BLOB PRIMARY KEY, code BLOB NOT NULL) STRICT;
CREATE INDEX sessions_by_state ON sessions (state);
"""
_FORGET = """
DELETE FROM states WHERE digest = ? AND NOT EXISTS (SELECT 1 FROM sessions WHERE state = digest) RETURNING length(code)
"""
_FROM_1 = """
INSERT OR IGNORE INTO states SELECT digest(state), state FROM sessions WHERE state IS NOT NULL;
UPDATE sessions SET state = digest(state) WHERE state IS NOT NULL;
"""


class StoreBusy(EngineError):
    """Another engine uses the store."""


class SessionRow(NamedTuple):
    """The saved state of a session: its working folder, and the shell code that restores its variables and the rest."""

    id: str
    cwd: bytes
    state: bytes | None


class VmRow(NamedTuple):
    """A computer: its base image, its frozen layers (lowest first; shared with others), and its own top layer."""

    id: str
    image: str
    frozen: tuple[str, ...]
    top: str
    sessions: tuple[SessionRow, ...] = ()


def _digest(code: bytes) -> bytes:
    return hashlib.blake2b(code, digest_size=24).digest()


def new_layer() -> str:
    """Return a name for a new layer; short, because all names must fit into one mount call."""
    return secrets.token_hex(6)


class Store:
    """The folder of an engine. Opening locks it; raises StoreBusy when another engine uses it. Blocking; use it from
    one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for folder in (path, self.layers, self.work, self.run):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise StoreBusy(
                f"{path} is in use by another deployment; stop that one or choose another folder"
            ) from None
        #: Bytes of all saved states.
        self._held = 0
        try:
            self._db = self._open()
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def layers(self) -> Path:
        """The folder of the layers."""
        return self.path / "layers"

    @property
    def work(self) -> Path:
        """The folder of the scratch space of mounts."""
        return self.path / "work"

    @property
    def run(self) -> Path:
        """The folder of the pipes of live computers' sessions."""
        return self.path / "run"

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path / "engine.sqlite3", isolation_level=None, check_same_thread=False)
        try:
            # FULL: a commit is on disk when it returns.
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                "locking_mode=EXCLUSIVE",
                "foreign_keys=ON",
            ):
                db.execute(f"PRAGMA {pragma}")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                db.executescript(f"BEGIN; {_SCHEMA} {_STATES_SCHEMA} PRAGMA user_version={_VERSION}; COMMIT;")
            elif version == 1:
                self._migrate_from_1(db)
            elif version != _VERSION:
                raise EngineError(
                    f"{self.path} was written by a newer release (format {version}, this one knows {_VERSION}); upgrade"
                )
        except sqlite3.Error as error:
            db.close()
            raise self._unusable(error) from error
        except BaseException:
            db.close()
            raise
        return db

    def _migrate_from_1(self, db: sqlite3.Connection) -> None:
        copy = self.path / "engine.sqlite3.1"
        copy.unlink(missing_ok=True)
        db.execute("VACUUM INTO ?", (str(copy),))
        db.create_function("digest", 1, _digest, deterministic=True)
        db.executescript(f"BEGIN; {_STATES_SCHEMA} {_FROM_1} PRAGMA user_version={_VERSION}; COMMIT;")

    def close(self) -> None:
        """Unlock and close the store."""
        self._db.close()
        os.close(self._lock)

    def load(self) -> list[VmRow]:
        """Return all computers. Raises EngineError when the file is damaged."""
        sessions: dict[str, list[SessionRow]] = {}
        try:
            states = dict(self._db.execute("SELECT digest, code FROM states"))
            self._held = sum(map(len, states.values()))
            for vm, id_, cwd, state in self._db.execute("SELECT vm, id, cwd, state FROM sessions"):
                sessions.setdefault(vm, []).append(SessionRow(id_, cwd, states.get(state)))
            return [
                VmRow(id_, image, tuple(json.loads(frozen)), top, tuple(sessions.get(id_, ())))
                for id_, image, frozen, top in self._db.execute("SELECT id, image, frozen, top FROM vms")
            ]
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, error: sqlite3.Error) -> EngineError:
        return EngineError(f"cannot use {self.path / 'engine.sqlite3'}: {error}")

    def save(self, rows: Iterable[VmRow]) -> None:
        """Save `rows` in one transaction; on disk when this returns. Raises StorageFull."""
        with self._transaction():
            for row in rows:
                self._db.execute(
                    "INSERT INTO vms VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (id) DO UPDATE SET frozen = excluded.frozen, top = excluded.top",
                    (row.id, row.image, json.dumps(row.frozen), row.top),
                )
                self._put_sessions(row.id, row.sessions)

    def save_sessions(self, sessions: Iterable[tuple[str, SessionRow]]) -> None:
        """Save sessions, each with the id of its computer; skip those whose computer was deleted. Raises
        StorageFull."""
        with self._transaction():
            for vm, session in sessions:
                if self._db.execute("SELECT 1 FROM vms WHERE id = ?", (vm,)).fetchone():
                    self._put_sessions(vm, (session,))

    def delete(self, vm: str) -> None:
        """Delete the row of a computer. Raises StorageFull."""
        with self._transaction():
            was = [row[0] for row in self._db.execute("SELECT state FROM sessions WHERE vm = ?", (vm,))]
            self._db.execute("DELETE FROM vms WHERE id = ?", (vm,))
            self._forget(was)

    def delete_session(self, vm: str, session: str) -> None:
        """Delete the row of a session. Raises StorageFull."""
        with self._transaction():
            where = "FROM sessions WHERE vm = ? AND id = ?"
            was = [row[0] for row in self._db.execute(f"SELECT state {where}", (vm, session))]
            self._db.execute(f"DELETE {where}", (vm, session))
            self._forget(was)

    def _put_sessions(self, vm: str, sessions: Iterable[SessionRow]) -> None:
        for session in sessions:
            where = (vm, session.id)
            found = self._db.execute("SELECT state FROM sessions WHERE vm = ? AND id = ?", where).fetchone()
            was = found[0] if found else None
            state = None if session.state is None else self._put_state(session.state, was)
            self._db.execute(
                "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?)", (*where, session.cwd, state)
            )
            if was != state:
                self._forget([was])

    def _put_state(self, code: bytes, was: bytes | None) -> bytes | None:
        digest = _digest(code)
        if self._db.execute("SELECT 1 FROM states WHERE digest = ?", (digest,)).fetchone() is None:
            if self._held + len(code) > _STATES:
                return was
            self._db.execute("INSERT INTO states VALUES (?, ?)", (digest, code))
            self._held += len(code)
        return digest

    def _forget(self, digests: Iterable[bytes | None]) -> None:
        """Delete states that no session uses any more."""
        for digest in {digest for digest in digests if digest is not None}:
            row = self._db.execute(_FORGET, (digest,)).fetchone()
            self._held -= row[0] if row else 0

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        held = self._held
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            self._held = held
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if not isinstance(error, sqlite3.Error):
                raise
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                raise StorageFull("the disk of the deployment is full") from error
            raise EngineError(f"the store could not be written: {error}") from error

    def sweep(self, rows: Iterable[VmRow]) -> None:
        """Clean up after a crash: remove unused layers, scratch folders and pipes."""
        used = {name for row in rows for name in (*row.frozen, row.top)}
        for folder, keep in ((self.layers, used), (self.work, ()), (self.run, ())):
            for entry in list(folder.iterdir()):
                if entry.name not in keep:
                    trees.remove_tree(entry)


class LayerUse:
    """Counts the users of each layer: computers by their rows, sandboxes by their mounts. The last one to release a
    layer frees it."""

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()

    def take(self, names: Iterable[str]) -> None:
        """Count one more use of each layer."""
        self._count.update(names)

    def release(self, names: Iterable[str]) -> list[str]:
        """Count one use less of each layer; return the names that are no longer used."""
        free = []
        for name in names:
            self._count[name] -= 1
            if self._count[name] <= 0:
                del self._count[name]
                free.append(name)
        return free
