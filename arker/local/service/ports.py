"""Ports of computers: connections to them, and signed links that open one port in a browser."""

from __future__ import annotations

import time
from typing import Final

from arker.local.engine.protocol import ByteStream
from arker.local.engine.protocol import Ports as Engine

from . import signing
from .access import Access, Principal
from .computers import Computers
from .errors import ApiError
from .translation import Sandboxes

__all__ = ["ByteStream", "Ports"]

#: Lifetime of a signed link in seconds.
LIFETIME: Final = signing.LIFETIME


class Ports:
    """The ports of a deployment's computers."""

    def __init__(
        self, engine: Engine, access: Access, computers: Computers, sandboxes: Sandboxes, secret: bytes
    ) -> None:
        self._engine = engine
        self._access = access
        self._computers = computers
        self._sandboxes = sandboxes
        self._secret = secret

    def owned(self, who: Principal, vm_id: str, port: int) -> str:
        """Return the id of a computer whose ports the caller may use.

        Raises:
            ApiError: `bad_request`, `not_found` or `forbidden`.
        """
        _check(port)
        return self._access.owned(who, vm_id, "reached").vm_id

    async def open(self, vm_id: str, port: int) -> ByteStream:
        """Connect to a port of a computer, without checking permissions.

        Raises:
            ApiError: `port_closed` when nothing listens there.
        """
        self._computers.touch(vm_id)
        with self._sandboxes.used():
            return await self._engine.open_port(vm_id, port)

    def link(self, who: Principal, vm_id: str, port: int) -> tuple[str, int]:
        """Return a token that opens one port of a computer, and its expiry in seconds since the epoch.

        Raises:
            ApiError: `bad_request`, `not_found` or `forbidden`.
        """
        vm_id = self.owned(who, vm_id, port)
        expires = int(time.time()) + LIFETIME
        return signing.sign(self._secret, signing.Grant("PORT", vm_id, str(port), 0, expires)), expires

    def opened_by(self, token: str, vm_id: str, port: int) -> int:
        """Return when the access that a token gives to a port expires, in seconds since the epoch.

        Raises:
            ApiError: `forbidden`.
        """
        grant = signing.verify(self._secret, token, method="PORT", now=time.time())
        if grant.vm_id != vm_id or grant.object != str(port):
            raise ApiError("forbidden", "this link is for another port")
        return grant.expires


def _check(port: int) -> None:
    if not 1 <= port <= 65535:
        raise ApiError("bad_request", "port: expected a number from 1 to 65535")
