"""The headers of a request."""

from __future__ import annotations

from typing import TypeVar

from starlette.requests import HTTPConnection

D = TypeVar("D", str, None)


def header(connection: HTTPConnection, name: bytes, default: D) -> str | D:
    """Return the first header with a name (in lower case), or `default`. `connection.headers` takes several times as
    long, and a request is asked for many headers."""
    for found, value in connection.scope["headers"]:
        if found == name:
            text: str = value.decode("latin-1")
            return text
    return default
