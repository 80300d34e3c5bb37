"""Responses that are sent in one piece, so that the client wakes up once."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

#: Key in the message of a head whose body, or its first piece, follows at once.
FOLLOWED: Final = "arker.followed"


class Answer(Response):
    """A response with its whole body."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        if scope["type"] == "websocket":
            await super().__call__(scope, receive, send)
            return
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
                FOLLOWED: True,
            }
        )
        await send({"type": "http.response.body", "body": self.body})
