"""The terminal of a session by WebSocket: binary messages carry its input and output."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from arker.local.http.endpoint import Endpoint, authenticate, platform, who
from arker.local.http.schemas import Body, parse
from arker.local.http.upgrades import Taken, upgrade_of
from arker.local.service.access import Principal
from arker.local.service.errors import ApiError
from arker.local.service.terminals import Terminal, TerminalSize

if TYPE_CHECKING:
    from arker.local.http.websockets import WebSocket

#: Close codes of a terminal: its shell ended, another client attached.
ENDED: Final = 1000
REPLACED: Final = 4001

_Cells = Annotated[int, Field(ge=1, le=1000)]


class _Control(Body):
    """A text message of a client."""

    type: str
    cols: _Cells = 80
    rows: _Cells = 24


class Pty(Endpoint):
    """The terminal of a session."""

    only_0_3 = True
    operations: ClassVar[Mapping[str, str]] = {"get": "attachSessionPty"}
    #: A ticket replaces the key.
    public: ClassVar[bool] = True

    async def get(self, request: Request) -> Response:
        """GET /api/v1/vms/{vm_id}/sessions/{sid}/pty."""
        principal = _principal(request)
        services = platform(request)
        vm_id = services.access.owned(principal, request.path_params["vm_id"], "run in").vm_id
        session = await services.sessions.get(principal, vm_id, request.path_params["sid"])
        asked = request.query_params
        size = TerminalSize(_number(asked, "cols", 80, 1000), _number(asked, "rows", 24, 1000))
        idle = _number(asked, "cancel_ttl_secs", 0, 10**9, least=0)
        persist = asked.get("persist", "true").lower() != "false"
        upgrade_of(request, "websocket")
        terminal = await services.terminals.open(
            vm_id, session.session_id, size, command=asked.get("command") or None, idle=idle or None
        )
        try:
            # Imported on first use: many deployments never have a terminal.
            from arker.local.http.websockets import accept

            socket = await accept(request)
            await _serve(socket, terminal)
        finally:
            if not persist:
                await terminal.kill()
            await terminal.close()
        return Taken()


def _principal(request: Request) -> Principal:
    ticket = request.query_params.get("ticket")
    if ticket is None:
        authenticate(request)
        return who(request)
    principal, vm_id, session_id = platform(request).sessions.check_ticket(ticket)
    found = platform(request).access.owned(principal, request.path_params["vm_id"], "run in")
    if (found.vm_id, request.path_params["sid"]) != (vm_id, session_id):
        raise ApiError("forbidden", "this ticket is for another terminal")
    return principal


def _number(asked: Mapping[str, Any], name: str, default: int, most: int, *, least: int = 1) -> int:
    text = asked.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 12 and least <= int(text) <= most):
        raise ApiError("bad_request", f"{name}: expected a number from {least} to {most}")
    return int(text)


async def _serve(socket: WebSocket, terminal: Terminal) -> None:
    """Relay input and output until either side ends."""
    drawing = asyncio.create_task(_draw(socket, terminal))
    typing = asyncio.create_task(_type(socket, terminal))
    try:
        await asyncio.wait({drawing, typing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (drawing, typing):
            task.cancel()
        for result in await asyncio.gather(drawing, typing, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, OSError):
                raise result
        with contextlib.suppress(OSError):
            await socket.close()


async def _draw(socket: WebSocket, terminal: Terminal) -> None:
    while data := await terminal.receive():
        await socket.send(data)
    try:
        async with asyncio.timeout(0.2):
            code = await terminal.wait()
    except TimeoutError:
        await socket.close(REPLACED, "another client attached")
    else:
        # A client that reads only the close code sees a normal end.
        await socket.close(ENDED, "" if code is None else f"exit code {code}")


async def _type(socket: WebSocket, terminal: Terminal) -> None:
    while (message := await socket.receive()) is not None:
        if isinstance(message, bytes):
            await terminal.send(message)
            continue
        with contextlib.suppress(
            ApiError
        ):  # invalid messages are ignored, because the contract has no error for them
            asked = parse(_Control, bytearray(message.encode()))
            if asked.type == "resize":
                await terminal.resize(TerminalSize(asked.cols, asked.rows))
            elif asked.type == "kill":
                await terminal.kill()


ROUTES: Final = [Route("/api/v1/vms/{vm_id}/sessions/{sid}/pty", Pty)]
