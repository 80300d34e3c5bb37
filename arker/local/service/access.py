"""Who asks, and what they may do with which computer."""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass

from arker.ids import is_vm_id
from arker.local.storage.computers import Computer, Computers
from arker.local.storage.database import LOCAL_ORG
from arker.local.storage.keys import KeyRows

from . import keys
from .errors import ApiError


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a valid key's id and the organization that it belongs to."""

    key_id: str
    org_id: str
    org_name: str


class Access:
    """Keys, and the rules about computers.

    Args:
        guest_key: a key that is valid for the lifetime of this process and stored nowhere.
    """

    def __init__(self, rows: KeyRows, computers: Computers, guest_key: str | None) -> None:
        self._rows = rows
        self._computers = computers
        self._guest = None if guest_key is None else keys.digest(guest_key)
        self._used: dict[str, int] = {}

    def authenticate(self, key: str) -> Principal:
        """The owner of a key.

        Raises:
            ApiError: `unauthorized`.
        """
        digest = keys.digest(key)
        if self._guest is not None and hmac.compare_digest(digest, self._guest):
            return Principal("guest", LOCAL_ORG, "Local")
        found = self._rows.find(digest)
        if found is None:
            raise ApiError(
                "unauthorized",
                "this API key is not valid here: it is of another deployment, was revoked or has expired",
            )
        principal = Principal(*found)
        self._used[principal.key_id] = time.time_ns() // 1_000_000
        return principal

    def seen(self, who: Principal, vm_id: str) -> Computer:
        """A computer that the caller may know of: its organization's, or a public one.

        Raises:
            ApiError: `bad_request` or `not_found`.
        """
        if not is_vm_id(vm_id):
            raise ApiError(
                "bad_request", "vm_id: expected 26 base32 digits, then optionally `_` and letters or digits"
            )
        computer = self._computers.find(vm_id)
        if computer is None or not (computer.org_id == who.org_id or computer.is_public):
            raise missing(vm_id)
        return computer

    def owned(self, who: Principal, vm_id: str, action: str) -> Computer:
        """A computer of the caller's organization; `action` completes "cannot be ..." in the refusal.

        Raises:
            ApiError: `bad_request`, `not_found` or `forbidden`.
        """
        computer = self.seen(who, vm_id)
        if computer.org_id != who.org_id:
            what = (
                f"the base image `{computer.name}`"
                if computer.kind == "base"
                else "a public computer of another organization"
            )
            raise ApiError("forbidden", f"{vm_id} is {what} and cannot be {action}; fork it and use the fork")
        return computer

    def named(self, who: Principal, name: str) -> Computer:
        """What the caller may fork under a name or id.

        Raises:
            ApiError: `not_found`, or `conflict` when the name is ambiguous.
        """
        if is_vm_id(name):
            return self.seen(who, name)
        found = self._computers.named(who.org_id, name)
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(computer.vm_id for computer in found[:5]) + (", ..." if len(found) > 5 else "")
            raise ApiError(
                "conflict", f"several computers are named {name!r}: fork one of them by its id: {ids}"
            )
        raise ApiError("not_found", f"there is no image or computer named {name!r} that this key may fork")

    async def flush(self) -> None:
        """Note when keys were last used."""
        used, self._used = self._used, {}
        if used:
            await self._rows.used(used)


def missing(vm_id: str) -> ApiError:
    """The refusal for a computer that is not there, or not for the caller."""
    return ApiError("not_found", f"there is no computer {vm_id} that this key may use")
