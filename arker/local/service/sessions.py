"""Sessions: persistent shells, created by a request or by the first command in them.

The id of a session is its name in the engine. Its index is a number: the name itself if it is a number (the default
session is `0`), else a hash of the name, so that every session has an index that need not be stored.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import time
import zlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from arker.local.engine.protocol import Engine
from arker.local.engine.runs import run
from arker.local.storage.notes import Identity, Note
from arker.local.storage.sessions import SessionRow, SessionRows

from . import signing
from .access import Access, Principal
from .computers import Computers
from .errors import ApiError
from .handles import own_session
from .idempotency import Idempotency, Once
from .recorded import Recorded
from .translation import Sandboxes, api_errors
from .turns import Turns

__all__ = ["MAX_INDEX", "Session", "Sessions", "index_of"]

DEFAULT: Final = "0"
#: Indices have 32 bits; those in the upper half belong to names that are not numbers.
MAX_INDEX: Final = 2**32 - 1
_NAMED: Final = 2**31
#: Seconds that a new session may take to change to its folder.
_SETTLE: Final = 30.0
#: Maximum number of sessions of a computer that were created by a request.
_MOST: Final = 1000
#: Lifetime of a terminal's ticket in seconds.
TICKET_LIFETIME: Final = 300

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Session:
    """A session and its current state.

    Attributes:
        state: `idle`, or `running` while a run or a terminal uses it.
        cwd: its working folder; empty before its first run.
        env: the variables that it was created with.
        created_ms: when a request created it, in milliseconds since the epoch.
    """

    session_id: str
    index: int
    state: str
    cwd: str
    env: Mapping[str, str]
    created_ms: int | None


def index_of(session_id: str) -> int:
    """Return the index of a session."""
    if _NUMBER.fullmatch(session_id) and int(session_id) < _NAMED:
        return int(session_id)
    return _NAMED + zlib.crc32(session_id.encode()) % _NAMED


class Sessions:
    """The sessions of the computers of a deployment.

    Args:
        secret: the key that signs tickets.
    """

    def __init__(
        self,
        rows: SessionRows,
        engine: Engine,
        access: Access,
        computers: Computers,
        recorded: Recorded,
        sandboxes: Sandboxes,
        turns: Turns,
        idempotency: Idempotency,
        secret: bytes,
    ) -> None:
        self._rows = rows
        self._engine = engine
        self._access = access
        self._computers = computers
        self._recorded = recorded
        self._sandboxes = sandboxes
        self._turns = turns
        self._idempotency = idempotency
        self._secret = secret
        #: Sessions of each computer that are being saved.
        self._coming: defaultdict[str, set[str]] = defaultdict(set)

    async def listed(self, who: Principal, vm_id: str) -> list[Session]:
        """Return the sessions of a computer by their index, without those that end with a run; the default one always
        exists."""
        self._access.owned(who, vm_id, "looked into")
        return [session for session in await self._all(vm_id) if not own_session(session.session_id)]

    async def _all(self, vm_id: str) -> list[Session]:
        made = {name: row for name, row in self._rows.of(vm_id).items() if not row.deleted}
        with api_errors():
            found = {state.session_id: state for state in await self._engine.sessions(vm_id)}
        sessions = []
        for name in found.keys() | made.keys():
            state, row = found.get(name), made.get(name)
            busy = self._recorded.pending(vm_id, name) or (state is not None and state.state == "running")
            sessions.append(
                Session(
                    name,
                    index_of(name),
                    "running" if busy else "idle",
                    "" if state is None else state.cwd,
                    {} if row is None else row.env,
                    None if row is None else row.created_ms,
                )
            )
        return sorted(sessions, key=lambda session: session.index)

    async def get(self, who: Principal, vm_id: str, session_id: str) -> Session:
        """Return a session.

        Raises:
            ApiError: `not_found`.
        """
        self._access.owned(who, vm_id, "looked into")
        for session in await self._all(vm_id):
            if session.session_id == session_id:
                return session
        raise ApiError("not_found", f"the computer has no session {session_id!r}", resource="session")

    async def at(self, who: Principal, vm_id: str, index: int) -> str:
        """Return the id of the session with an index; if it does not exist, the first command creates it."""
        for session in await self.listed(who, vm_id):
            if session.index == index:
                return session.session_id
        if index >= _NAMED:
            raise ApiError("not_found", f"the computer has no session with index {index}", resource="session")
        return str(index)

    async def create(
        self, who: Principal, vm_id: str, *, env: Mapping[str, str], cwd: str | None, once: Once | None
    ) -> Session:
        """Create a session with variables and a working folder.

        Raises:
            ApiError: `not_found` when the request is a repeat and the session was deleted since.
        """
        self._access.owned(who, vm_id, "run in")

        async def make(asked: tuple[Identity, bytes] | None = None) -> bytes:
            return (await self._make(vm_id, env, cwd, asked)).encode()

        if once is None:
            made = await make()
        else:
            identity, request = Identity(who.org_id, f"sessions:{vm_id}", once.key), once.request
            made = await self._idempotency.once(
                identity, request, lambda: make((identity, request)), journal=False
            )
        return await self.get(who, vm_id, made.decode())

    async def _make(
        self,
        vm_id: str,
        env: Mapping[str, str],
        cwd: str | None,
        asked: tuple[Identity, bytes] | None,
    ) -> str:
        for name, value in env.items():
            if not _VARIABLE.fullmatch(name) or "\0" in value:
                raise ApiError("bad_request", f"env: {name[:80]!r} is not a valid variable")
        if cwd is not None and "\0" in cwd:
            raise ApiError("bad_request", "cwd: contains a NUL character")
        rows = self._rows.of(vm_id)
        if sum(not row.deleted for row in rows.values()) >= _MOST:
            raise ApiError("quota_exceeded", f"the computer has {_MOST} sessions; delete one first")
        with api_errors():
            found = {state.session_id for state in await self._engine.sessions(vm_id)}
        # Looked up again, as another session may have been created meanwhile.
        names = self._rows.of(vm_id).keys() | found | self._coming[vm_id] | {DEFAULT}
        session_id = str(1 + max(index for name in names if (index := index_of(name)) < _NAMED))
        self._coming[vm_id].add(session_id)
        try:
            try:
                await self._settle(vm_id, session_id, env, cwd)
            except BaseException:
                with contextlib.suppress(ApiError):
                    await self._stop(vm_id, session_id)
                raise
            row = SessionRow(session_id, env, cwd, time.time_ns() // 1_000_000, False)
            note = None if asked is None else Note(*asked, "ended", session_id.encode())
            with api_errors():
                # After a crash before this, a repeat of the request makes another session.
                await self._rows.save(vm_id, row, note)
        finally:
            self._coming[vm_id].discard(session_id)
            if not self._coming[vm_id]:
                del self._coming[vm_id]
        return session_id

    async def _settle(self, vm_id: str, session_id: str, env: Mapping[str, str], cwd: str | None) -> None:
        if not env and cwd is None:
            return
        steps = [] if cwd is None else [f"cd -- {shlex.quote(cwd)}"]
        steps += [f"export {name}={shlex.quote(value)}" for name, value in env.items()]
        self._computers.touch(vm_id)
        async with self._turns.turn(vm_id, session_id):
            with self._sandboxes.used():
                outcome = await run(self._engine, vm_id, session_id, " && ".join(steps), timeout=_SETTLE)
        if outcome.exit_code:
            said = outcome.stderr.decode(errors="replace").strip()[-200:]
            raise ApiError(
                "bad_request", f"the session cannot start with this folder and these variables: {said}"
            )

    async def reset(self, who: Principal, vm_id: str, session_id: str) -> Session:
        """Cancel the runs of a session, end its processes and forget its state; it begins again with the variables and
        the folder that it was created with."""
        await self.get(who, vm_id, session_id)
        await self._stop(vm_id, session_id)
        row = self._rows.of(vm_id).get(session_id)
        if row is not None:
            await self._settle(vm_id, session_id, row.env, row.cwd)
        return await self.get(who, vm_id, session_id)

    async def delete(self, who: Principal, vm_id: str, session_id: str) -> None:
        """Cancel the runs of a session, and end it with all its processes."""
        await self.get(who, vm_id, session_id)
        await self._end(vm_id, session_id)

    async def _end(self, vm_id: str, session_id: str) -> None:
        await self._stop(vm_id, session_id)
        with api_errors():
            await self._rows.set_idle(vm_id, session_id, 0)
        if session_id != DEFAULT:
            row = self._rows.of(vm_id).get(session_id) or SessionRow(session_id, {}, None, 0, False)
            with api_errors():
                await self._rows.save(vm_id, row._replace(deleted=True))

    async def _stop(self, vm_id: str, session_id: str) -> None:
        await self._recorded.cancel_session(vm_id, session_id)
        with api_errors():
            await self._engine.end_session(vm_id, session_id)

    async def ticket(self, who: Principal, vm_id: str, session_id: str) -> str:
        """Return a ticket that opens a session's terminal for `TICKET_LIFETIME` seconds, in place of the key."""
        await self.get(who, vm_id, session_id)
        expires = int(time.time()) + TICKET_LIFETIME
        return signing.sign(self._secret, signing.Grant("PTY", vm_id, session_id, 0, expires, who.org_id))

    def check_ticket(self, ticket: str) -> tuple[Principal, str, str]:
        """Verify a ticket for a terminal; return the principal, the computer and the session.

        Raises:
            ApiError: `forbidden`.
        """
        grant = signing.verify(self._secret, ticket, method="PTY", now=time.time())
        return Principal("ticket", grant.version, "", frozenset({grant.vm_id})), grant.vm_id, grant.object
