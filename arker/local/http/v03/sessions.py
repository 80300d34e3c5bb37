"""Sessions: created, listed, inspected, changed, deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from arker.local.http.bodies import body
from arker.local.http.endpoint import Endpoint, idempotency_key, json, once, owned, platform, who
from arker.local.http.schemas import query
from arker.local.service.sessions import TICKET_LIFETIME
from arker.local.service.terminals import TerminalSize

from . import rendering
from .schemas import CreateSessionRequest, Empty, PatchSessionRequest, SessionQuery, page


class Sessions(Endpoint):
    """The sessions of a computer."""

    only_0_3 = True
    operations: ClassVar[Mapping[str, str]] = {"get": "listSessions", "post": "createSession"}

    async def get(self, request: Request) -> Response:
        """GET /api/v1/vms/{vm_id}/sessions."""
        asked = query(SessionQuery, request)
        computer = owned(request, "looked into")
        after = (-1, "") if asked.cursor is None else asked.cursor
        found = [
            session
            for session in await platform(request).sessions.listed(who(request), computer.vm_id)
            if (session.index, session.session_id) > after and asked.state in (None, session.state)
        ]
        shown, following = page(found, asked.limit, lambda session: (session.index, session.session_id))
        return json(
            {"sessions": [rendering.session(computer, one) for one in shown], "next_cursor": following}
        )

    async def post(self, request: Request) -> Response:
        """POST /api/v1/vms/{vm_id}/sessions."""
        # The contract has no key here: clients without one are as before.
        key = idempotency_key(request)
        asked = await body(request, CreateSessionRequest)
        computer = owned(request, "run in")
        made = await platform(request).sessions.create(
            who(request), computer.vm_id, env=asked.env or {}, cwd=asked.cwd, once=once(key, asked)
        )
        return json(rendering.session(computer, made))


class OneSession(Endpoint):
    """A session."""

    only_0_3 = True
    operations: ClassVar[Mapping[str, str]] = {
        "get": "getSession",
        "patch": "patchSession",
        "delete": "deleteSession",
    }

    async def get(self, request: Request) -> Response:
        """GET /api/v1/vms/{vm_id}/sessions/{sid}."""
        computer = owned(request, "looked into")
        sid = request.path_params["sid"]
        found = await platform(request).sessions.get(who(request), computer.vm_id, sid)
        return json(rendering.session(computer, found))

    async def patch(self, request: Request) -> Response:
        """PATCH /api/v1/vms/{vm_id}/sessions/{sid}."""
        asked = await body(request, PatchSessionRequest)
        computer = owned(request, "changed")
        sid = request.path_params["sid"]
        found = await platform(request).sessions.get(who(request), computer.vm_id, sid)
        if asked.cols is not None and asked.rows is not None:
            size = TerminalSize(asked.cols, asked.rows)
            await platform(request).terminals.resize(computer.vm_id, found.session_id, size)
        if asked.timeout_secs is not None:
            await platform(request).terminals.expire(computer.vm_id, found.session_id, asked.timeout_secs)
        return json({"ok": True, "session_id": found.session_id})

    async def delete(self, request: Request) -> Response:
        """DELETE /api/v1/vms/{vm_id}/sessions/{sid}."""
        computer = owned(request, "changed")
        await platform(request).sessions.delete(who(request), computer.vm_id, request.path_params["sid"])
        return json({"deleted": True})


class ResetSession(Endpoint):
    """A session that begins again."""

    operations: ClassVar[Mapping[str, str]] = {"post": "resetSession"}

    async def post(self, request: Request) -> Response:
        """POST /api/v1/local/vms/{vm_id}/sessions/{sid}/reset."""
        computer = owned(request, "run in")
        sid = request.path_params["sid"]
        again = await platform(request).sessions.reset(who(request), computer.vm_id, sid)
        return json(rendering.session(computer, again))


class PtyTicket(Endpoint):
    """A ticket for the terminal of a session."""

    only_0_3 = True
    operations: ClassVar[Mapping[str, str]] = {"post": "mintSessionPtyTicket"}

    async def post(self, request: Request) -> Response:
        """POST /api/v1/vms/{vm_id}/sessions/{sid}/pty-ticket."""
        if request.headers.get("content-length", "0") != "0":
            await body(request, Empty)
        computer = owned(request, "run in")
        sid = request.path_params["sid"]
        ticket = await platform(request).sessions.ticket(who(request), computer.vm_id, sid)
        return json({"ticket": ticket, "expires_in": TICKET_LIFETIME})


ROUTES: Final = [
    Route("/api/v1/vms/{vm_id}/sessions", Sessions),
    Route("/api/v1/vms/{vm_id}/sessions/{sid}", OneSession),
    Route("/api/v1/vms/{vm_id}/sessions/{sid}/pty-ticket", PtyTicket),
    Route("/api/v1/local/vms/{vm_id}/sessions/{sid}/reset", ResetSession),
]
