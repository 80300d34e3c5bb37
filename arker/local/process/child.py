"""The child process of `launcher`: reads settings from a socket, answers with its URL, and ends when the socket
closes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from typing import Final

from pydantic import BaseModel, ValidationError

from arker.local.engine import SandboxUnavailable
from arker.local.storage.errors import StateError

from .launcher import remove
from .server import Ready, StateInUseError, configure_logging, serve
from .settings import Settings, explain

#: Environment variable of the child that holds the descriptor of the socket.
VARIABLE: Final = "ARKER_LAUNCH_FD"
#: Seconds to wait for another deployment that holds the state folder but does not serve yet.
_OTHER: Final = 10.0


class Order(BaseModel):
    """The request of the launcher."""

    parent: int
    key: str
    #: Whether the deployment removes the state folder at its end, even when its launcher is gone.
    temporary: bool
    settings: Settings


def main() -> None:
    """Serve with the launcher's settings until told to stop or until the launcher dies."""
    channel = socket.socket(fileno=int(os.environ.pop(VARIABLE)))
    os.set_inheritable(channel.fileno(), False)
    with channel, channel.makefile("rb") as lines:
        line = lines.readline()
        if not line:
            return
        try:
            answer = _serve(Order.model_validate_json(line), channel)
        except ValidationError as error:
            answer = {"error": explain(error).replace("settings.", "")}
        if answer is not None:
            # The launcher may be gone by now.
            with contextlib.suppress(OSError):
                channel.sendall(json.dumps(answer).encode() + b"\n")


def _serve(order: Order, channel: socket.socket) -> dict[str, object] | None:
    """Serve to the end; return an answer for the launcher if none was sent."""
    configure_logging(order.settings.log_level)
    try:
        parent = os.pidfd_open(order.parent)
    except OSError:
        return None
    if os.getppid() != order.parent:
        return None

    def ready(what: Ready) -> None:
        channel.sendall(json.dumps({"url": what.url}).encode() + b"\n")

    deadline = time.monotonic() + _OTHER
    while True:
        try:
            serve(order.settings, on_ready=ready, guest_key=order.key, stop_on=(parent, channel.fileno()))
        except StateInUseError as error:
            if error.url is not None:
                return {"other": error.url}
            # It is starting or stopping: shortly it reports where it serves, or the folder is free.
            if time.monotonic() > deadline:
                return {"error": str(error)}
            time.sleep(0.05)
        except (StateError, SandboxUnavailable, OSError) as error:
            return {"error": str(error), "unfit": True}
        else:
            if order.temporary:
                remove(order.settings.state)
            return None
