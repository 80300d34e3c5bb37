"""The events of a run as a streaming response: server-sent events, or the same in binary frames for programs.

A frame is a letter, the length of the data as four bytes (little-endian), and the data. Letters: `S` the
run as JSON, as the first frame; `O` and `E` stdout and stderr; `C` a cut, after which output was not kept; `K` no data,
to keep the connection alive; `X` the run as JSON, at its end.
"""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from arker.local.service.activity import state_of
from arker.local.service.errors import ApiError
from arker.local.service.handles import Cut, End, Output, Run, Stream

from .answers import FOLLOWED
from .bodies import cancelled_with
from .rendering import end_fields, text, timestamp

FRAMES: Final = "application/vnd.arker.events"
SSE: Final = "text/event-stream"
#: Seconds without output after which a keep-alive is sent.
ALIVE_EVERY: Final = 15.0
#: Seconds for which the first event waits for output: most commands are short, and what they do fits one piece.
FIRST_WITHIN: Final = 0.001
#: Maximum number of readers of one run at a time.
MOST_FOLLOWERS: Final = 1024
#: Above so many readers, each gets output less often and more at a time, because sending takes time that other requests
#: need. Seconds between two batches for one reader, per reader.
_FEW_FOLLOWERS: Final = 32
_APART: Final = 0.0002
#: Bytes that are sent at a time.
_SENT: Final = 256 * 1024

_FRAME: Final = struct.Struct("<cI")
_LETTERS: Final = {Stream.STDOUT: b"O", Stream.STDERR: b"E"}


def run_fields(run: Run, vm_id: str, *, takes_input: bool) -> dict[str, Any]:
    """Return a run as JSON fields; `takes_input` while it runs."""
    fields: dict[str, Any] = {
        "run_id": run.id,
        "vm_id": vm_id,
        "session_id": run.session_id,
        "command": run.command,
        "started_at": timestamp(run.started_ms),
        "state": "running",
    }
    end = run.outcome
    if end is None:
        fields["takes_input"] = takes_input
    else:
        fields |= {
            "state": state_of(end),
            "exit_code": end.exit_code,
            "cwd": end.cwd,
            "stdout_bytes": end.stdout_bytes,
            "stderr_bytes": end.stderr_bytes,
            **end_fields(end.reason, end.usage, end.notes),
        }
        if end.seconds is not None:
            fields |= {
                "completed_at": timestamp(run.started_ms + round(end.seconds * 1000)),
                "duration_ms": round(end.seconds * 1000, 3),
            }
    return fields


def frame(letter: bytes, data: bytes = b"") -> bytes:
    """Encode a frame."""
    return _FRAME.pack(letter, len(data)) + data


def _as_frame(event: Output | Cut | End, last: Callable[[], dict[str, Any]]) -> tuple[bytes, ...]:
    if isinstance(event, Output):
        # In two parts, as its data may be large.
        return _FRAME.pack(_LETTERS[event.stream], len(event.data)), event.data
    if isinstance(event, Cut):
        return (frame(b"C"),)
    return (frame(b"X", to_json(last())),)


def _as_sse(event: Output | Cut | End, last: Callable[[], dict[str, Any]]) -> tuple[bytes, ...]:
    if isinstance(event, Output):
        content, encoding = text(event.data)
        data = {"offset": event.offset, "data": content, "encoding": encoding}
        after = event.offset + len(event.data)
        return (b"id: %d\nevent: %s\ndata: %s\n\n" % (after, event.stream.encode(), to_json(data)),)
    if isinstance(event, Cut):
        return (b"event: cut\ndata: %s\n\n" % to_json({"offset": event.offset}),)
    return (b"event: end\ndata: %s\n\n" % to_json(last()),)


class Events(Response):
    """Stream the events of a run from `offset` until its end; without `follow`, those available now. When the
    deployment stops, the response ends without an end event."""

    def __init__(
        self,
        run: Run,
        vm_id: str,
        offset: int,
        *,
        follow: bool,
        frames: bool,
        takes_input: bool,
        stopping: asyncio.Event,
        followers: Counter[str],
    ) -> None:
        super().__init__(media_type=FRAMES if frames else SSE, headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._run = run
        self._vm_id = vm_id
        self._offset = offset
        self._follow = follow
        self._frames = frames
        self._takes_input = takes_input
        self._stopping = stopping
        self._followers = followers
        #: Whether something was sent since it was set to False.
        self._sent = False
        #: Events that are not sent yet: the first one, and at last those that go with the end of the response.
        self._held = b""

    def _fields(self) -> dict[str, Any]:
        return run_fields(self._run, self._vm_id, takes_input=self._takes_input)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        run_id = self._run.id
        if self._followers[run_id] >= MOST_FOLLOWERS:
            raise ApiError(
                "rate_limited",
                f"a run has at most {MOST_FOLLOWERS} readers at a time: read it once, and pass it on to others",
                retry_after=1,
            )
        self._followers[run_id] += 1
        try:
            await self._send(scope, receive, send)
        finally:
            self._followers[run_id] -= 1
            if not self._followers[run_id]:
                del self._followers[run_id]

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        first = to_json(self._fields())
        self._held = frame(b"S", first) if self._frames else b"event: run\ndata: %s\n\n" % first
        start = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
            FOLLOWED: True,
        }
        send = _with_head(send, start)
        telling = asyncio.create_task(self._tell(send))
        watching = asyncio.create_task(self._keep_alive(send))
        with cancelled_with(Request(scope, receive)):
            try:
                await asyncio.wait({telling, watching}, return_when=asyncio.FIRST_COMPLETED)
                if telling.done():
                    telling.result()
            finally:
                for task in (telling, watching):
                    task.cancel()
                await asyncio.wait({telling, watching})
        await send({"type": "http.response.body", "body": self._held})

    async def _tell(self, send: Send) -> None:
        spell = _as_frame if self._frames else _as_sse
        async for batch in self._run.batches(self._offset, follow=self._follow):
            parts = [self._held]
            self._held = b""
            size = 0
            for event in batch:
                parts += spell(event, self._fields)
                size += len(parts[-1])
                if size >= _SENT:
                    await _piece(send, b"".join(parts))
                    parts.clear()
                    size = 0
            rest = b"".join(parts)
            if batch and isinstance(batch[-1], End):
                # Nothing follows but the end of the response: one write for both.
                self._held = rest
                return
            if rest:
                await _piece(send, rest)
            self._sent = True
            followers = self._followers[self._run.id]
            if followers > _FEW_FOLLOWERS and self._run.outcome is None:
                await asyncio.sleep(followers * _APART)

    async def _keep_alive(self, send: Send) -> None:
        pause, alive = FIRST_WITHIN, frame(b"K") if self._frames else b": alive\n\n"
        while True:
            self._sent = False
            try:
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            except TimeoutError:
                if not self._sent:
                    held, self._held = self._held, b""
                    await _piece(send, held or alive)
                pause = ALIVE_EVERY
            else:
                return


def _with_head(send: Send, start: Message) -> Send:
    """Return a `send` for the body that sends the head just before: a client that waits wakes up once for both."""
    head: Message | None = start

    async def send_both(message: Message) -> None:
        nonlocal head
        if head is not None:
            begin, head = head, None
            await send(begin)
        await send(message)

    return send_both


async def _piece(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})
