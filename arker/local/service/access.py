"""Authentication of keys, and permissions on computers."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Sequence
from typing import NamedTuple

from arker.ids import is_vm_id, new_ulid
from arker.local.storage.computers import Computer, Computers
from arker.local.storage.database import LOCAL_ORG, PLATFORM_ORG
from arker.local.storage.keys import KeyRow, KeyRows

from . import keys
from .errors import ApiError
from .translation import api_errors

__all__ = ["Access", "KeyRow", "Principal", "missing"]


class Principal(NamedTuple):
    """The caller: the id of a valid key, the organization that it belongs to, and the computers that it is limited to;
    None for all of the organization."""

    key_id: str
    org_id: str
    org_name: str
    vm_ids: frozenset[str] | None = None

    def check_unlimited(self, action: str) -> None:
        """Check that the key is for all of its organization; `action` completes "cannot ..." in the error message.

        Raises:
            ApiError: `forbidden`.
        """
        if self.vm_ids is not None:
            raise ApiError("forbidden", f"this API key is limited to some computers and cannot {action}")


class Access:
    """Authenticates keys, and checks permissions on computers.

    Args:
        guest_key: a key that is valid for the lifetime of this process and is not stored.
    """

    def __init__(self, rows: KeyRows, computers: Computers, guest_key: str | None) -> None:
        self._rows = rows
        self._computers = computers
        self._guest = None if guest_key is None else keys.digest(guest_key)
        self._used: dict[str, int] = {}

    def authenticate(self, key: str) -> Principal:
        """Return the owner of a key.

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
                "this API key is not valid here: it belongs to another deployment, was revoked or has expired",
            )
        key_id, org_id, org_name, vm_ids = found
        principal = Principal(key_id, org_id, org_name, None if vm_ids is None else frozenset(vm_ids))
        self._used[principal.key_id] = time.time_ns() // 1_000_000
        return principal

    def keys(self, who: Principal) -> list[KeyRow]:
        """Return the valid keys of the caller's organization, newest first."""
        who.check_unlimited("manage keys")
        return self._rows.of(who.org_id)

    async def create_key(
        self, who: Principal, name: str, vm_ids: Sequence[str] | None = None
    ) -> tuple[KeyRow, str]:
        """Create a key for the caller's organization; return its record and the key itself. It expires when the
        caller's key does, so that a temporary key cannot create a permanent one.

        Args:
            vm_ids: ids or names of the computers that it is limited to; None for all of the organization.

        Raises:
            ApiError: `forbidden`, or what `owned` raises.
        """
        who.check_unlimited("manage keys")
        if vm_ids is not None:
            found = [self.owned(who, vm_id, "the limit of a key").vm_id for vm_id in vm_ids]
            vm_ids = list(dict.fromkeys(found))
        key, slug = keys.generate(), re.sub("[^a-z0-9_-]", "-", name.lower())[:13]
        made = KeyRow(f"{slug}-{new_ulid().lower()}", time.time_ns() // 1_000_000, vm_ids)
        with api_errors():
            await self._rows.add(made, who.org_id, name, keys.digest(key), maker=who.key_id)
        return made, key

    async def revoke_key(self, who: Principal, key_id: str) -> None:
        """Revoke a key of the caller's organization; takes effect at once.

        Raises:
            ApiError: `not_found`.
        """
        who.check_unlimited("manage keys")
        with api_errors():
            if not await self._rows.revoke(who.org_id, key_id):
                raise ApiError("not_found", f"there is no key {key_id[:80]!r}", resource="api_key")

    def organization(self, name: str) -> str:
        """Return the id of an organization that contract 0.3 names. The platform's own one, which owns the base images,
        is `ArkerHQ` in the contract."""
        return PLATFORM_ORG if name == "ArkerHQ" else name

    def seen(self, who: Principal, vm_id: str) -> Computer:
        """Return a computer that the caller may see. By id: one of its organization, or a public one. By name: a base
        image, else one of its organization.

        Raises:
            ApiError: `not_found`, or `conflict` when the name is ambiguous.
        """
        if not is_vm_id(vm_id):
            return _only(_within(who, self._computers.addressed(who.org_id, vm_id)), vm_id)
        computer = self._computers.find(vm_id)
        if computer is None or not (computer.org_id == who.org_id or computer.is_public):
            raise missing(vm_id)
        if not _within(who, [computer]):
            raise missing(vm_id)
        return computer

    def owned(self, who: Principal, vm_id: str, action: str) -> Computer:
        """Return a computer of the caller's organization; `action` completes "cannot be ..." in the error message.

        Raises:
            ApiError: `not_found`, `conflict` or `forbidden`.
        """
        computer = self.seen(who, vm_id)
        if computer.org_id != who.org_id:
            what = (
                f"the base image `{computer.name}`"
                if computer.kind == "base"
                else "a public computer of another organization"
            )
            raise ApiError(
                "forbidden", f"{vm_id[:80]} is {what} and cannot be {action}; fork it and use the fork"
            )
        return computer

    def named(self, who: Principal, name: str, org: str | None = None) -> Computer:
        """Return the computer that the caller may fork under a name or id; with `org`, the one of this organization, if
        it is the caller's or has published the computer.

        Raises:
            ApiError: `not_found`, or `conflict` when the name is ambiguous.
        """
        if is_vm_id(name):
            return self.seen(who, name)
        if org is not None:
            return _only(self._computers.within(who.org_id, self.organization(org), name), name)
        return _only(self._computers.named(who.org_id, name), name)

    async def flush(self) -> None:
        """Save when keys were last used."""
        used, self._used = self._used, {}
        if used:
            await self._rows.used(used)


def missing(vm_id: str) -> ApiError:
    """Return the error for a computer that does not exist or that the caller may not see."""
    return ApiError("not_found", f"there is no computer {vm_id} that this key may use", resource="vm")


def _within(who: Principal, found: Sequence[Computer]) -> Sequence[Computer]:
    return [computer for computer in found if who.vm_ids is None or computer.vm_id in who.vm_ids]


def _only(found: Sequence[Computer], name: str) -> Computer:
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(computer.vm_id for computer in found[:5]) + (", ..." if len(found) > 5 else "")
        raise ApiError(
            "conflict",
            f"several computers are named {name[:80]!r}: name one of them by its id: {ids}",
            resource="vm",
        )
    raise ApiError(
        "not_found", f"there is no image or computer named {name[:80]!r} that this key may use", resource="vm"
    )
