"""The platform: whose computers there are, who may do what with them, and what the engine is asked for. No
HTTP in here."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import logging
import os
import platform as host
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic_core import to_json

from arker.ids import is_vm_id, new_ulid

from . import idempotency, keys, signing
from .database import LOCAL_ORG, PLATFORM_ORG, Database, Row
from .engine import protocol as engine_protocol
from .engine.protocol import Engine, Readable
from .engine.runs import run
from .errors import ApiError
from .idempotency import Idempotency, Identity
from .requests import (
    MAX_FILE,
    Body,
    ForkByNameRequest,
    ForkRequest,
    ListQuery,
    RunRequest,
    SyncRequest,
    WriteEntry,
    check_path,
    check_sync,
)
from .uploads import Uploads

log: logging.Logger = logging.getLogger("arker.platform")

T = TypeVar("T")

#: The one region of a deployment.
REGION: Final = "local"
PROVIDER: Final = "local"
#: Files up to this size are read inline, larger ones by a signed URL; in bytes.
MAX_INLINE: Final = 4 * 1024 * 1024
#: Ranges that the answer to a write lists at the most; entries beyond have to come in another request.
MAX_LISTED: Final = 100_000
#: With less free space on the disk than this (bytes), the deployment says that it is not well.
MIN_FREE: Final = 64 * 1024 * 1024
#: What is put by, for a start and for deletions on a disk that is full; in bytes.
SPARE: Final = "spare"
_SPARE_SIZE: Final = 4 * 1024 * 1024
#: How often old keys, uploads and notes are looked for, in seconds.
SWEEP_EVERY: Final = 60.0

_IMAGE: Final = "SELECT vm_id, name FROM vms WHERE kind = 'base' AND image = ?"

#: Content above this size (bytes) is weighed before it is taken for text, by what JSON has no short escape
#: for; and what is read at least at a time.
_LARGE: Final = 64 * 1024
_SPELT_OUT: Final = bytes(set(range(32)) - set(b"\b\t\n\f\r"))

PLATFORM: Final = f"linux/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(host.machine(), host.machine()) }"

_ENGINE_CODES: Final[dict[type[Exception], str]] = {
    engine_protocol.VmMissing: "not_found",
    engine_protocol.ImageMissing: "not_found",
    engine_protocol.SessionBusy: "vm_busy",
    engine_protocol.FileMissing: "not_found",
    engine_protocol.FileRefused: "bad_request",
    engine_protocol.FileTooLarge: "payload_too_large",
    engine_protocol.StorageFull: "unavailable",
    engine_protocol.LimitReached: "quota_exceeded",
    engine_protocol.ComputerBusy: "vm_busy",
    engine_protocol.SandboxUnavailable: "unavailable",
    engine_protocol.SystemBroken: "conflict",
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a valid key's id and the organization that it belongs to."""

    key_id: str
    org_id: str
    org_name: str


@contextlib.contextmanager
def engine_errors() -> Iterator[None]:
    """What the engine refuses, as the API says it."""
    try:
        yield
    except engine_protocol.EngineError as error:
        code = next((code for kind, code in _ENGINE_CODES.items() if isinstance(error, kind)), "internal")
        raise ApiError(code, str(error)) from error


class Platform:
    """All operations of both APIs, as functions of who asks and what for.

    Args:
        database: what must last.
        engine: where computers are.
        state: the state folder, by a path that works in this process.
        resources: what a computer may use, as `GET /vms/{vm_id}` tells it.
        max_vms: how many computers an organization may have; 0 for no limit.
        guest_key: a key that is valid for the lifetime of this process and stored nowhere.
    """

    def __init__(
        self,
        database: Database,
        engine: Engine,
        state: Path,
        *,
        resources: Mapping[str, int | None],
        max_vms: int = 0,
        guest_key: str | None = None,
    ) -> None:
        self.database = database
        self.engine = engine
        self.idempotency: Idempotency = Idempotency(database)
        self._state = state
        self._spare = state / SPARE
        self._resources = resources
        self._max_vms = max_vms
        self._guest = None if guest_key is None else keys.digest(guest_key)
        staging = state / "staging"
        staging.mkdir(mode=0o700, exist_ok=True)
        self.uploads: Uploads = Uploads(database, engine, staging)
        secret = database.one("SELECT value FROM meta WHERE name = 'secret'")
        assert secret is not None
        self._secret = bytes(secret["value"])
        self._active: dict[str, int] = {}
        self._used: dict[str, int] = {}
        self._broken: str | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make database, engine and staging folder agree, whatever a crash left. The engine has to be
        started."""
        rows = {row["vm_id"] for row in self.database.all("SELECT vm_id FROM vms WHERE kind = 'computer'")}
        for vm_id in await self.engine.missing(rows):
            log.error("the files of a computer are gone, so it goes too: vm=%s", vm_id)
            await self._delete_rows(vm_id)
        await self._add_images()
        await self.idempotency.start()
        await self.uploads.sweep(starting=True)
        self._put_by()
        self._sweeper = asyncio.create_task(self._sweep_for_good())

    async def close(self) -> None:
        """End what is under way and note what is noted lazily. The engine is the caller's to close."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        await self.idempotency.close()
        try:
            await self._flush()
        except ApiError as error:
            log.warning("when keys and computers were last used was not noted: %s", error.message)

    async def _add_images(self) -> None:
        """Give every image of the engine a row, so that it has an id."""
        known = {row["name"] for row in self.database.all("SELECT name FROM vms WHERE kind = 'base'")}
        for name in set(await self.engine.images()) - known:
            # Several forks may find it new at the same time.
            await self.database.execute(
                "INSERT INTO vms SELECT ?, ?, 'base', ?, ?, 1, NULL, ?, ? "
                "WHERE NOT EXISTS (SELECT 1 FROM vms WHERE kind = 'base' AND name = ?)",
                new_ulid(), PLATFORM_ORG, name, name, _now(), _now(), name,
            )  # fmt: skip

    # Who asks

    def authenticate(self, key: str) -> Principal:
        """The owner of a key.

        Raises:
            ApiError: `unauthorized`.
        """
        digest = keys.digest(key)
        if self._guest is not None and hmac.compare_digest(digest, self._guest):
            return Principal("guest", LOCAL_ORG, "Local")
        row = self.database.one(
            "SELECT key_id, org_id, orgs.name AS org_name FROM keys JOIN orgs USING (org_id) "
            "WHERE hash = ? AND revoked_ms IS NULL",
            digest,
        )
        if row is None:
            raise ApiError(
                "unauthorized", "this API key is not valid here: it is of another deployment, or was revoked"
            )
        self._used[row["key_id"]] = _now()
        return Principal(row["key_id"], row["org_id"], row["org_name"])

    # Computers

    async def fork(self, who: Principal, vm_id: str, body: ForkRequest, key: str | None) -> bytes:
        """Fork a computer by its id; the answer, as JSON."""
        return await self._fork(who, lambda: self._seen(who, vm_id), body, f"fork:{vm_id}", key)

    async def fork_by_name(self, who: Principal, body: ForkByNameRequest, key: str | None) -> bytes:
        """Fork what has a name: a computer of the organization, else an image, else a public computer."""
        await self._add_images()
        return await self._fork(who, lambda: self._named(who, body.source), body, "fork_by_name", key)

    async def _fork(
        self, who: Principal, source: Callable[[], Row], body: ForkRequest, scope: str, key: str | None
    ) -> bytes:
        if body.region not in (None, REGION):
            raise ApiError("bad_request", f"region: there is no region {body.region!r} here, only `{REGION}`")
        if key is None:
            return await self._make_fork(who, source(), body, None, b"")
        identity = Identity(who.org_id, scope, key)
        request = _digest(body)
        # The source is looked up only when the key is new: a repeat is answered even if it is gone or renamed
        # by now.
        return await self.idempotency.once(
            identity, request, lambda: self._make_fork(who, source(), body, identity, request), journal=False
        )

    async def _make_fork(
        self, who: Principal, parent: Row, body: ForkRequest, identity: Identity | None, request: bytes
    ) -> bytes:
        self._check_quota(
            self.database.one("SELECT count(*) FROM vms WHERE org_id = ? AND kind = 'computer'", who.org_id)
        )
        self._put_by()
        child, now = new_ulid(), _now()
        answer = to_json(
            {
                "vm_id": child,
                "org_id": who.org_id,
                "region": REGION,
                "base_image": parent["image"],
                "name": body.name,
                "is_public": body.is_public,
                "parent_vm_id": parent["vm_id"],
                "created_at": now,
                "state": "running",
            }
        )

        def insert(connection: sqlite3.Connection) -> None:
            count = "SELECT count(*) FROM vms WHERE org_id = ? AND kind = 'computer'"
            self._check_quota(connection.execute(count, (who.org_id,)).fetchone())
            if not connection.execute(_IMAGE, (parent["image"],)).fetchone():
                raise ApiError("not_found", f"the image {parent['image']!r} was removed")
            connection.execute(
                "INSERT INTO vms VALUES (?, ?, 'computer', ?, ?, ?, ?, ?, ?)",
                (child, who.org_id, body.name, parent["image"], body.is_public, parent["vm_id"], now, now),
            )
            if identity is not None:
                idempotency.note(connection, identity, request, answer)

        with engine_errors():
            if parent["kind"] == "base":
                await self.engine.create(child, parent["image"])
            else:
                # What a shell knows, its environment above all, is for its own organization.
                await self.engine.fork(parent["vm_id"], child, sessions=parent["org_id"] == who.org_id)
        try:
            await self.database.write(insert)
        except asyncio.CancelledError:
            # The row is made all the same: whoever asks again under the key gets this computer.
            raise
        except BaseException:
            # What cannot be deleted now is at the next start.
            with contextlib.suppress(engine_protocol.EngineError):
                await self.engine.delete(child)
            raise
        self._touch(child)
        return answer

    def _check_quota(self, count: Row | None) -> None:
        if self._max_vms and count is not None and count[0] >= self._max_vms:
            raise ApiError(
                "quota_exceeded",
                f"the organization has its {self._max_vms} computers; delete one first",
                retry_after=10,
            )

    async def delete(self, who: Principal, vm_id: str) -> None:
        """Delete a computer: its row first, so that a crash in between leaves files to sweep and no row
        without files."""
        self._owned(who, vm_id, "deleted")
        if not await self._with_spare(lambda: self._delete_rows(vm_id)):
            raise _missing(vm_id)
        self._active.pop(vm_id, None)
        self.uploads.forget_computer(vm_id)
        await self._with_spare(lambda: self._delete_files(vm_id))

    async def _delete_files(self, vm_id: str) -> None:
        with contextlib.suppress(engine_protocol.VmMissing), engine_errors():
            await self.engine.delete(vm_id)

    async def _with_spare(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do what makes room, on a full disk with the space that was put by for it."""
        try:
            return await work()
        except ApiError as error:
            if error.code != "unavailable" or not self._spare.exists():
                raise
        self._spare.unlink()
        return await work()

    def _put_by(self) -> None:
        """Put space by for what makes room, if there is any."""
        if not self._spare.exists() and shutil.disk_usage(self._state).free > MIN_FREE:
            with self._spare.open("wb") as file, contextlib.suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, _SPARE_SIZE)

    async def _delete_rows(self, vm_id: str) -> bool:
        def change(connection: sqlite3.Connection) -> bool:
            connection.execute("DELETE FROM idempotency WHERE scope = ?", (f"run:{vm_id}",))
            return connection.execute("DELETE FROM vms WHERE vm_id = ?", (vm_id,)).rowcount == 1

        return await self.database.write(change)

    async def look(self, who: Principal, vm_id: str) -> dict[str, Any]:
        """What there is to know about a computer; of another organization's public one, nothing of what goes
        on in it."""
        row = self._seen(who, vm_id)
        mine = row["org_id"] == who.org_id
        root = self.database.one(_IMAGE, row["image"])
        with engine_errors():
            sessions = await self.engine.sessions(vm_id) if mine else []
            state = "running" if mine and vm_id in await self.engine.running() else "idle"
        return {
            "vm_id": vm_id,
            "owner_org_id": row["org_id"],
            "created_at": timestamp(row["created_ms"]),
            "name": row["name"],
            "description": None,
            "hostname": row["image"],
            "public": bool(row["is_public"]),
            "root_source_vm_id": root["vm_id"] if root else None,
            "root_source_vm_name": root["name"] if root else None,
            "parent_vm_id": row["parent_vm_id"] if mine else None,
            "state": state,
            "region": REGION,
            "provider": PROVIDER,
            "last_active_at": timestamp(self._active.get(vm_id) or row["last_active_ms"]) if mine else None,
            "network": {"ssh_public_keys": []},
            "sessions": [
                {
                    "session_id": session.session_id,
                    "session_idx": index,
                    "state": session.state,
                    "cwd": session.cwd,
                    "env": {},
                    "started_at": None,
                    "vm_id": vm_id,
                }
                for index, session in enumerate(sessions)
            ],
            "resources": self._resources,
            "platform": PLATFORM,
        }

    def list(self, who: Principal, query: ListQuery) -> dict[str, Any]:
        """A page of the organization's computers. All are in one region, so an order by region is one by age,
        newest first."""
        where = "org_id = ? AND kind = 'computer'"
        values: list[object] = [who.org_id]
        if query.q:
            where += " AND instr(name, ?) > 0"
            values.append(query.q)
        order = "ASC" if query.sort == "created_at" else "DESC"
        # Only constants are put into the text.
        total = self.database.one(f"SELECT count(*) FROM vms WHERE {where}", *values)  # noqa: S608
        assert total is not None
        rows = self.database.all(
            f"SELECT * FROM vms WHERE {where} "  # noqa: S608
            f"ORDER BY created_ms {order}, rowid {order} LIMIT ? OFFSET ?",
            *values, query.limit, min(query.offset, 2**62),
        )  # fmt: skip
        return {
            "items": [
                {
                    "vm_id": row["vm_id"],
                    "name": row["name"],
                    "base_image": row["image"],
                    "region": REGION,
                    "created_at": timestamp(row["created_ms"]),
                    "parent_vm_id": row["parent_vm_id"],
                }
                for row in rows
            ],
            "total": total[0],
        }

    # Runs

    async def run(self, who: Principal, vm_id: str, body: RunRequest, key: str | None) -> bytes:
        """Run a command; the answer, as JSON. Without a key, cancelling the call ends the command."""
        self._owned(who, vm_id, "run in")
        if "\0" in body.command:
            raise ApiError("bad_request", "command: contains a NUL, which no shell can take")
        if key is None:
            return await self._run(vm_id, body)
        identity = Identity(who.org_id, f"run:{vm_id}", key)
        return await self.idempotency.once(
            identity, _digest(body), lambda: self._run(vm_id, body), journal=True
        )

    async def _run(self, vm_id: str, body: RunRequest) -> bytes:
        self._touch(vm_id)
        with self._sandbox_errors():
            outcome = await run(
                self.engine, vm_id, body.session_id, body.command, timeout=min(body.timeout, 2**31) or None
            )
        self._touch(vm_id)
        stdout, stdout_encoding = _text(outcome.stdout)
        stderr, stderr_encoding = _text(outcome.stderr)
        answer: dict[str, Any] = {
            "stdout": stdout,
            "stdout_encoding": stdout_encoding,
            "stderr": stderr,
            "stderr_encoding": stderr_encoding,
            "exit_code": outcome.exit_code,
            "completed": outcome.completed,
            "duration_ms": round(outcome.duration_ms, 3),
            "session_id": body.session_id,
            "cwd": outcome.cwd,
        }
        if outcome.stdout_truncated:
            answer["stdout_truncated"] = True
        if outcome.stderr_truncated:
            answer["stderr_truncated"] = True
        return to_json(answer)

    # Files

    async def sync(self, who: Principal, vm_id: str, body: SyncRequest, base_url: str) -> bytes:
        """Read or write files; the answer, as JSON."""
        check_sync(body)
        self._owned(who, vm_id, "read or written")
        self._touch(vm_id)
        if body.op == "read":
            assert body.path is not None
            return await self._read(vm_id, body.path, base_url)
        results = []
        listed = 0
        for entry in body.writes or ():
            try:
                if listed >= MAX_LISTED:
                    raise ApiError(
                        "payload_too_large", "too much to answer at once; send this in another request"
                    )
                with self._sandbox_errors():
                    results.append(await self._write(vm_id, entry, base_url))
                listed += len(results[-1].get("ranges", ()))
            except ApiError as error:
                results.append(
                    {
                        "path": entry.path,
                        "size": entry.size,
                        "complete": False,
                        "written": False,
                        "error": {"code": error.code, "message": error.message},
                    }
                )
        return to_json({"ok": True, "op": "write", "results": results})

    async def _write(self, vm_id: str, entry: WriteEntry, base_url: str) -> dict[str, Any]:
        check_path(entry.path)
        if entry.content is not None:
            return await self.uploads.chunk(vm_id, entry)
        if entry.presigned:
            return await self.uploads.request(
                vm_id, entry, lambda upload_id: self._signed(base_url, "PUT", vm_id, upload_id, entry.size)
            )
        return await self.uploads.commit(vm_id, entry)

    async def _read(self, vm_id: str, path: str, base_url: str) -> bytes:
        check_path(path)
        async with await self._open(vm_id, path) as file:
            head = {"ok": True, "op": "read", "path": path, "size": file.size}
            if file.size > MAX_INLINE:
                return to_json(
                    {
                        **head,
                        **self._signed(base_url, "GET", vm_id, path, file.size, file.version),
                        "method": "GET",
                    }
                )
            return await _inline(file, head)

    async def _open(self, vm_id: str, path: str) -> Readable:
        with self._sandbox_errors():
            file = await self.engine.open_file(vm_id, path)
        if file.size > MAX_FILE:
            await file.close()
            raise ApiError("payload_too_large", f"{path} has {file.size} bytes, and the limit is {MAX_FILE}")
        return file

    def _signed(
        self, base_url: str, method: str, vm_id: str, name: str, size: int, version: str = ""
    ) -> dict[str, Any]:
        grant = signing.Grant(method, vm_id, name, size, int(time.time()) + signing.LIFETIME, version)
        return {
            "presigned_url": f"{base_url}/signed/{signing.sign(self._secret, grant)}",
            "expires_in": signing.LIFETIME,
        }

    async def open_signed(self, token: str) -> Readable:
        """The file of a signed URL, as long as it is the version that the URL was made for.

        Pinning the version keeps a resumed download from mixing two: whoever gets the same URL answered
        twice, in pieces or not, has got the same bytes.

        Raises:
            ApiError: `forbidden`, `not_found`, or `conflict` when the file has changed.
        """
        grant = signing.verify(self._secret, token, method="GET", now=time.time())
        file = await self._open(grant.vm_id, grant.object)
        if (file.size, file.version) != (grant.size, grant.version):
            await file.close()
            raise ApiError(
                "conflict", "the file has changed since this URL was made; read it again for a new one"
            )
        return file

    async def receive_signed(self, token: str, declared: int | None, body: AsyncIterator[bytes]) -> None:
        """Take the bytes of a `PUT` to a signed URL; `declared` is its Content-Length, if it has one."""
        grant = signing.verify(self._secret, token, method="PUT", now=time.time())
        if declared is not None and declared != grant.size:
            raise ApiError(
                "bad_request",
                f"the upload was asked for with {grant.size} bytes, and the body has {declared}",
            )
        with self._sandbox_errors():
            await self.uploads.receive(grant.vm_id, grant.object, grant.size, body)

    # The service

    async def health(self) -> str | None:
        """What is wrong with the deployment, if anything is."""
        if self._broken is not None:
            return self._broken
        free = shutil.disk_usage(self._state).free
        if free < MIN_FREE:
            return f"the disk of the state folder is full ({free // 2**20} MiB free)"
        try:
            await self.database.execute(
                "INSERT OR REPLACE INTO meta VALUES ('health', ?)", b"", durable=False
            )
        except (sqlite3.Error, ApiError) as error:
            return f"the database cannot be written: {error}"
        return None

    async def gauges(self) -> dict[str, tuple[str, float]]:
        """How things stand: name, then help and value."""
        vms = self.database.one("SELECT count(*) FROM vms WHERE kind = 'computer'")
        running = await self.engine.running()
        uploads = self.database.one("SELECT count(*) FROM uploads WHERE NOT written")
        free = shutil.disk_usage(self._state).free
        return {
            "arker_computers": ("Computers.", vms[0] if vms else 0),
            "arker_sandboxes_running": ("Computers whose sandbox is alive.", len(running)),
            "arker_uploads_pending": ("Uploads that are not complete.", uploads[0] if uploads else 0),
            "arker_disk_free_bytes": ("Free space on the disk of the state folder.", free),
            "arker_healthy": ("1 unless sandboxes failed to start.", float(self._broken is None)),
        }

    # Helpers

    @contextlib.contextmanager
    def _sandbox_errors(self) -> Iterator[None]:
        try:
            with engine_errors():
                yield
        except ApiError as error:
            if isinstance(error.__cause__, engine_protocol.SandboxUnavailable):
                self._broken = error.message
            raise
        self._broken = None

    def _seen(self, who: Principal, vm_id: str) -> Row:
        """A computer that the caller may know of: its organization's, or a public one."""
        if not is_vm_id(vm_id):
            raise ApiError(
                "bad_request", "vm_id: expected 26 base32 digits, then optionally `_` and letters or digits"
            )
        row = self.database.one("SELECT * FROM vms WHERE vm_id = ?", vm_id)
        if row is None or not (row["org_id"] == who.org_id or row["is_public"]):
            raise _missing(vm_id)
        return row

    def _owned(self, who: Principal, vm_id: str, action: str) -> None:
        row = self._seen(who, vm_id)
        if row["org_id"] != who.org_id:
            what = (
                f"the base image `{row['name']}`"
                if row["kind"] == "base"
                else "a public computer of another organization"
            )
            raise ApiError("forbidden", f"{vm_id} is {what} and cannot be {action}; fork it and use the fork")

    def _named(self, who: Principal, name: str) -> Row:
        if is_vm_id(name):
            return self._seen(who, name)
        rows = self.database.all(
            "SELECT *, CASE org_id WHEN ? THEN 0 WHEN ? THEN 1 ELSE 2 END AS rank FROM vms "
            "WHERE name = ? AND (is_public OR rank = 0) ORDER BY rank, vm_id LIMIT 6",
            who.org_id, PLATFORM_ORG, name,
        )  # fmt: skip
        nearest = [row for row in rows if row["rank"] == rows[0]["rank"]]
        if len(nearest) == 1:
            return nearest[0]
        if nearest:
            ids = ", ".join(row["vm_id"] for row in nearest[:5]) + (", ..." if len(nearest) > 5 else "")
            raise ApiError(
                "conflict", f"several computers are named {name!r}: fork one of them by its id: {ids}"
            )
        raise ApiError("not_found", f"there is no image or computer named {name!r} that this key may fork")

    def _touch(self, vm_id: str) -> None:
        self._active[vm_id] = _now()

    async def _flush(self) -> None:
        active, self._active = self._active, {}
        used, self._used = self._used, {}

        def change(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "UPDATE vms SET last_active_ms = ? WHERE vm_id = ?", [(at, vm) for vm, at in active.items()]
            )
            connection.executemany(
                "UPDATE keys SET last_used_ms = ? WHERE key_id = ?", [(at, key) for key, at in used.items()]
            )

        if active or used:
            await self.database.write(change, durable=False)

    async def _sweep_for_good(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            try:
                await self._flush()
                await self.idempotency.sweep()
                await self.uploads.sweep()
                self._put_by()
            except Exception:
                # A full disk, most likely: the next round tries again.
                log.exception("sweeping failed")


def timestamp(ms: int) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _missing(vm_id: str) -> ApiError:
    return ApiError("not_found", f"there is no computer {vm_id} that this key may use")


def _text(data: bytes) -> tuple[str, str]:
    # As text, JSON spells a control character in six bytes: 16 MiB of NULs would be an answer of 100 MB.
    if len(data) > _LARGE and 6 * (len(data) - len(data.translate(None, _SPELT_OUT))) > len(data):
        return base64.b64encode(data).decode(), "base64"
    try:
        return data.decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), "base64"


async def _inline(file: Readable, head: dict[str, Any]) -> bytes:
    data = bytearray()
    try:
        # More than is there, to see the end of it; but not by much, as files of /proc refuse that.
        while piece := await file.read(len(data), max(head["size"] - len(data), 0) + _LARGE):
            data += piece
            if len(data) > MAX_INLINE:
                raise ApiError("conflict", f"{head['path']} grows while it is read; try again")
    except OSError as error:
        raise ApiError("bad_request", f"{head['path']} cannot be read: {error.strerror}") from None
    if len(data) <= _LARGE:
        return _with_content(head, bytes(data))
    return await asyncio.to_thread(_with_content, head, bytes(data))


def _with_content(head: dict[str, Any], data: bytes) -> bytes:
    content, encoding = _text(data)
    return to_json({**head, "size": len(data), "content": content, "encoding": encoding})


def _digest(body: Body) -> bytes:
    return hashlib.sha256(body.model_dump_json().encode()).digest()


def _now() -> int:
    return time.time_ns() // 1_000_000
