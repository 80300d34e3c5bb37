# Derived from arker/_async/terminal.py by `make generate`; do not edit.
"""Terminals: the screen and keyboard of a session, over a WebSocket."""

from __future__ import annotations

import base64
import functools
import json
import os
import re
import threading
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from arker._http._sync.transport import Reply
from arker._http.deadline import FURTHEST
from arker.config import check_seconds
from arker.errors import NEEDS_0_3, ArkerError, bad_request, needing

if TYPE_CHECKING:
    from wsproto.events import Event

    from .computer import Computer

#: Most bytes of one message.
_MESSAGE: Final = 64 << 10
#: Longest time to send a message, in seconds.
_SENDING: Final = 300.0
#: Largest width and height of a window.
_CELLS: Final = 1000
_EXIT: Final = re.compile(r"exit code (\d+)")


class Terminal:
    """A terminal of a session: `write` types, `read` returns what is drawn; made by `computer.terminal()`.

    One task may read while another writes. Leaving its with-statement detaches: the terminal continues, and the next
    client that attaches sees what was drawn meanwhile.
    """

    __slots__ = ("_events", "_exit_code", "_protocol", "_reply", "_stream", "_turn", "_unsent")

    def __init__(self, reply: Reply) -> None:
        from wsproto.connection import Connection, ConnectionType

        self._reply = reply
        self._stream = reply.upgraded()
        self._protocol = Connection(ConnectionType.CLIENT)
        self._events: Iterator[Event] = iter(())
        self._exit_code: int | None = None
        #: Whoever has the turn sends what the others leave: a reader answers pings while a writer may wait.
        self._turn = threading.Lock()
        self._unsent: deque[bytes] = deque()

    @property
    def exit_code(self) -> int | None:
        """The exit code of its shell, after `read` has returned b"", if the deployment reports it; else None."""
        return self._exit_code

    def read(self, *, timeout: float | None = None) -> bytes:
        """Return what is drawn next; b"" when the terminal has ended, or another client has attached to it.

        Args:
            timeout: Longest time to wait, in seconds; reading may continue afterwards. Default: no limit.

        Raises:
            ArkerError: `timeout`, or `network` when the connection broke.
        """
        from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

        while True:
            for event in self._events:
                if isinstance(event, BytesMessage | TextMessage):
                    data = event.data if isinstance(event.data, str) else bytes(event.data)
                    if data:
                        return data.encode() if isinstance(data, str) else data
                elif isinstance(event, Ping):
                    self._send(event.response())
                elif isinstance(event, CloseConnection):
                    found = _EXIT.fullmatch(event.reason or "")
                    self._exit_code = int(found[1]) if found else None
                    self.detach()
                    return b""
            raw = self._stream.read(FURTHEST if timeout is None else timeout)
            if not raw:
                raise ArkerError("network", "the connection to the terminal was cut", processed="yes")
            self._protocol.receive_data(raw)
            self._events = self._protocol.events()

    def write(self, data: bytes | str) -> None:
        """Type into the terminal. Waits while the program does not read.

        Args:
            data: What to type; text is encoded as UTF-8. Enter is a carriage return, Ctrl-C is `\\x03`.

        Raises:
            ArkerError: `network` when the connection broke or is closed.
        """
        from wsproto.events import BytesMessage

        raw = data.encode() if isinstance(data, str) else data
        for start in range(0, len(raw), _MESSAGE):
            self._send(BytesMessage(raw[start : start + _MESSAGE]))

    def resize(self, columns: int, rows: int) -> None:
        """Set the size of the window; its programs are notified.

        Args:
            columns: Width, 1 to 1000.
            rows: Height, 1 to 1000.

        Raises:
            ArkerError: `bad_request` for any other size, `network` when the connection broke or is closed.
        """
        _check_size(columns, rows)
        self._control({"type": "resize", "cols": columns, "rows": rows})

    def kill(self) -> None:
        """End the terminal, with its shell and all its processes; then `read` returns b"".

        Raises:
            ArkerError: `network` when the connection broke or is closed.
        """
        self._control({"type": "kill"})

    def detach(self) -> None:
        """Close the connection; the terminal continues. May be called twice.

        Raises:
            ArkerError: never.
        """
        self._reply.close()

    def _control(self, message: dict[str, Any]) -> None:
        from wsproto.events import TextMessage

        self._send(TextMessage(json.dumps(message)))

    def _send(self, event: Event) -> None:
        from wsproto.utilities import LocalProtocolError

        try:
            self._unsent.append(self._protocol.send(event))
        except LocalProtocolError as error:
            raise ArkerError("network", "the terminal is closed", processed="no") from error
        while self._unsent and self._turn.acquire(blocking=False):
            try:
                while self._unsent:
                    self._stream.write(self._unsent.popleft(), _SENDING)
            finally:
                self._turn.release()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()


def open_terminal(
    computer: Computer,
    *,
    session_id: str | int,
    columns: int,
    rows: int,
    command: str | None,
    persist: bool,
    idle: float | None,
) -> Terminal:
    """Attach to the terminal of a session. Raises ArkerError."""
    try:
        import wsproto  # noqa: F401
    except ImportError as error:
        raise ImportError("terminals need wsproto: pip install 'wsproto>=1.2,<2'") from error
    _check_size(columns, rows)
    client = computer._client
    fields: dict[str, Any] = {"cols": columns, "rows": rows}
    if command is not None:
        fields["command"] = command
    if not persist:
        fields["persist"] = "false"
    if idle is not None:
        fields["cancel_ttl_secs"] = max(1, round(check_seconds("idle", idle)))
    path = f"/api/v1/vms/{computer._segment}/sessions/{quote(str(session_id), safe='')}/pty"
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
    }
    make = functools.partial(
        client._pipeline.request,
        "get",
        f"{path}?{urlencode(fields)}",
        client._timeouts,
        control=False,
        repeatable=True,
        headers=headers,
    )
    with needing(NEEDS_0_3):
        return Terminal(client._pipeline.hold(client._budget(None), make, 101))


def _check_size(columns: int, rows: int) -> None:
    if not (1 <= columns <= _CELLS and 1 <= rows <= _CELLS):
        raise bad_request(f"a window has 1 to {_CELLS} columns and rows, not {columns} by {rows}")
