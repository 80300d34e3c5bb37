"""Forks, lists, looks up and deletes computers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from arker.ids import new_ulid
from arker.local.engine.protocol import Engine, Load, VmMissing
from arker.local.storage import computers as rows
from arker.local.storage.computers import Computer, ComputerFilter
from arker.local.storage.errors import ImageGone, NameTaken, TooManyComputers
from arker.local.storage.notes import Identity, Note

from .access import Access, Principal, missing
from .activity import Activity
from .errors import ApiError
from .idempotency import Idempotency, Once
from .images import Images
from .reserve import Reserve
from .translation import api_errors
from .uploads import Uploads

__all__ = ["REGION", "Computer", "ComputerFilter", "Computers", "Look", "Wanted"]

log: logging.Logger = logging.getLogger("arker.platform")

#: The only region of a deployment.
REGION: Final = "local"


class Look(NamedTuple):
    """What the caller sees of a computer.

    Attributes:
        computer: its row.
        root: the base image that it descends from; None if that was removed.
        mine: whether it belongs to the caller; otherwise the other fields do not reveal its activity.
        state: `running` while it has other processes than idle shells, else `idle`.
        last_active_ms: when it was last used, in milliseconds since the epoch.
    """

    computer: Computer
    root: Computer | None
    mine: bool
    state: str
    last_active_ms: int


class Named(NamedTuple):
    """A name, as `Access.named` finds it: a computer of the organization, else an image, else a public computer; with
    `org`, one of this organization."""

    name: str
    org: str | None = None


class Wanted(NamedTuple):
    """The properties of a new computer.

    Attributes:
        unique: whether its name must be unused.
        warm: whether it inherits the state of the shells of its source.
    """

    name: str | None
    is_public: bool
    description: str | None = None
    unique: bool = False
    warm: bool = True


class Computers:
    """The computers of a deployment.

    Args:
        most: maximum number of computers of one organization; 0 for no limit.

    Attributes:
        resources: the limits of a computer: `vcpu`, `memory_mib`, `disk_mib`.
    """

    def __init__(
        self,
        table: rows.Computers,
        engine: Engine,
        access: Access,
        images: Images,
        uploads: Uploads,
        idempotency: Idempotency,
        reserve: Reserve,
        activity: Activity,
        *,
        most: int,
        resources: Mapping[str, int | None],
    ) -> None:
        self._rows = table
        self._engine = engine
        self._access = access
        self._images = images
        self._uploads = uploads
        self._idempotency = idempotency
        self._reserve = reserve
        self._activity = activity
        self._most = most
        self.resources: Mapping[str, int | None] = resources
        self._active: dict[str, int] = {}

    async def fork(
        self,
        who: Principal,
        source: str | Named,
        wanted: Wanted,
        *,
        once: Once | None,
        scope: str,
        answer: Callable[[Computer], bytes],
        region: str | None = None,
    ) -> bytes:
        """Fork a computer, which `source` says by its id or its name. Return what `answer` makes of the new one, which
        may be deleted already if the request is a repeat.

        Args:
            scope: with the key of `once`, what identifies the request.

        Raises:
            ApiError: `already_exists` for a name that is taken.
        """
        if isinstance(source, Named):
            await self._images.refresh()
        who.check_unlimited("fork")
        if region not in (None, REGION):
            raise ApiError("bad_request", f"region: there is no region {region!r} here, only `{REGION}`")

        async def make(asked: tuple[Identity, bytes] | None = None) -> bytes:
            # Looked up only when the key is new: a repeat is answered even if the source was deleted or renamed since.
            if isinstance(source, Named):
                parent = self._access.named(who, source.name, source.org)
            else:
                parent = self._access.seen(who, source)
            now = time.time_ns() // 1_000_000
            child = Computer(
                new_ulid(), who.org_id, "computer", wanted.name, parent.image, wanted.is_public, parent.vm_id,
                now, now, wanted.description,
            )  # fmt: skip
            began = time.monotonic()
            made = await self._make(parent, child, wanted, answer, asked)
            took = (time.monotonic() - began) * 1000
            self._activity.add(who, "fork", child.vm_id, at_ms=now, total_ms=took, source_vm_id=parent.vm_id)
            return made

        if once is None:
            return await make()
        identity, request = Identity(who.org_id, scope, once.key), once.request
        return await self._idempotency.once(
            identity, request, lambda: make((identity, request)), journal=False
        )

    async def _make(
        self,
        parent: Computer,
        child: Computer,
        wanted: Wanted,
        answer: Callable[[Computer], bytes],
        asked: tuple[Identity, bytes] | None,
    ) -> bytes:
        if self._most and self._rows.count(child.org_id) >= self._most:
            raise self._too_many()
        self._reserve.refill()
        said = answer(child)
        with api_errors():
            await self._rows.announce(child.vm_id)
            if parent.kind == "base":
                await self._engine.create(child.vm_id, parent.image)
            else:
                # The state of a shell, above all its environment, stays within the organization.
                warm = wanted.warm and parent.org_id == child.org_id
                await self._engine.fork(parent.vm_id, child.vm_id, sessions=warm)
        note = None if asked is None else Note(*asked, "ended", said)
        try:
            with api_errors():
                await self._rows.add(child, most=self._most, note=note, unique=wanted.unique)
        except asyncio.CancelledError:
            # The row exists nevertheless: a repeat of the request under the key gets this computer.
            raise
        except BaseException as error:
            # If it cannot be deleted now, the next start deletes it.
            with contextlib.suppress(ApiError):
                await self._delete_files(child.vm_id)
            if isinstance(error, TooManyComputers):
                raise self._too_many() from None
            if isinstance(error, NameTaken):
                raise _taken(str(child.name)) from None
            if isinstance(error, ImageGone):
                raise ApiError("not_found", f"the image {child.image!r} was removed") from None
            raise
        self.touch(child.vm_id)
        return said

    def _too_many(self) -> ApiError:
        return ApiError(
            "quota_exceeded",
            f"the organization has {self._most} computers, as many as it may have; delete one first",
            retry_after=10,
        )

    async def delete(self, who: Principal, vm_id: str) -> None:
        """Delete a computer. Its row is deleted first, so that a crash in between leaves files without a row, which the
        next start removes, and never a row without files."""
        vm_id = self._access.owned(who, vm_id, "deleted").vm_id
        if not await self._reserve.spend(lambda: self.delete_row(vm_id)):
            raise missing(vm_id)
        self._active.pop(vm_id, None)
        self._uploads.forget_computer(vm_id)
        await self._reserve.spend(lambda: self._delete_files(vm_id))

    async def delete_row(self, vm_id: str) -> bool:
        """Delete the row of a computer and all records about it; return False if there is none."""
        with api_errors():
            return await self._rows.delete(vm_id)

    async def _delete_files(self, vm_id: str) -> None:
        with api_errors():
            with contextlib.suppress(VmMissing):
                await self._engine.delete(vm_id)
            await self._rows.cleared(vm_id)

    async def tidy(self) -> None:
        """Clean up after a crash: delete files without a row, and rows whose files are gone. If the engine cannot be
        reached, this is left for the next time."""
        for vm_id in self._rows.leftovers():
            log.warning("removing a computer whose creation or deletion was interrupted: vm=%s", vm_id)
            try:
                await self._delete_files(vm_id)
            except ApiError as error:
                log.error("the computer cannot be removed: vm=%s error=%s", vm_id, error.message)
        for vm_id in await self._engine.missing(self._rows.ids()):
            log.error("removing a computer whose files are gone: vm=%s", vm_id)
            await self.delete_row(vm_id)
            await self._rows.cleared(vm_id)

    async def look(self, who: Principal, vm_id: str) -> Look:
        """Return what the caller sees of a computer."""
        computer = self._access.seen(who, vm_id)
        with api_errors():
            return self._look(who, computer, await self._engine.in_use([computer.vm_id]))

    def _look(self, who: Principal, computer: Computer, in_use: set[str]) -> Look:
        mine = computer.org_id == who.org_id
        state = "running" if mine and computer.vm_id in in_use else "idle"
        active = self._active.get(computer.vm_id) or computer.last_active_ms
        return Look(computer, self._rows.base(computer.image), mine, state, active)

    async def newest(
        self, who: Principal, wanted: ComputerFilter, state: str | None, limit: int
    ) -> list[Look]:
        """Return computers of an organization, newest first; of another organization, those that it has published."""
        if wanted.org_id != who.org_id:
            if wanted.is_public is False:
                return []
            wanted = wanted._replace(is_public=True)
        wanted = wanted._replace(vm_ids=who.vm_ids)
        looks: list[Look] = []
        while len(looks) < limit:
            found = self._rows.newest(wanted, limit)
            with api_errors():
                in_use = await self._engine.in_use([computer.vm_id for computer in found])
            looks += [
                look
                for computer in found
                if (look := self._look(who, computer, in_use)).state == (state or look.state)
            ]
            if len(found) < limit:
                break
            wanted = wanted._replace(after=(found[-1].created_ms, found[-1].vm_id))
        return looks[:limit]

    async def describe(self, who: Principal, vm_id: str, description: str | None) -> None:
        """Set the description of a computer."""
        vm_id = self._access.owned(who, vm_id, "changed").vm_id
        with api_errors():
            await self._rows.describe(vm_id, description)

    async def rename(self, who: Principal, vm_id: str, name: str) -> Computer:
        """Change the name of a computer; return it as it is now.

        Raises:
            ApiError: `already_exists`.
        """
        computer = self._access.owned(who, vm_id, "renamed")
        try:
            with api_errors():
                await self._rows.rename(computer, name)
        except NameTaken:
            raise _taken(name) from None
        return computer._replace(name=name)

    async def stop(self, who: Principal, vm_id: str) -> None:
        """End everything that runs in a computer. Its files and the state of its idle sessions stay."""
        vm_id = self._access.owned(who, vm_id, "stopped").vm_id
        with api_errors():
            await self._engine.stop(vm_id)

    def page(
        self, who: Principal, *, part_of_name: str, oldest_first: bool, limit: int, offset: int
    ) -> tuple[list[Computer], int]:
        """Return a page of the organization's computers by age, and the number of computers on all pages."""
        return self._rows.page(
            who.org_id, part_of_name=part_of_name, oldest_first=oldest_first, limit=limit, offset=offset,
            vm_ids=who.vm_ids,
        )  # fmt: skip

    async def loads(self, who: Principal, *, limit: int, offset: int) -> list[tuple[Computer, bool, Load]]:
        """Return a page of the organization's computers, newest first: whether each is running, and what it uses."""
        found, _ = self.page(who, part_of_name="", oldest_first=False, limit=limit, offset=offset)
        with api_errors():
            running = await self._engine.running()
            loads = await self._engine.loads([computer.vm_id for computer in found])
        return [
            (computer, computer.vm_id in running, loads[computer.vm_id])
            for computer in found
            if computer.vm_id in loads
        ]

    def touch(self, vm_id: str) -> None:
        """Note that a computer is used now."""
        self._active[vm_id] = time.time_ns() // 1_000_000

    async def flush(self) -> None:
        """Save when computers were last used."""
        active, self._active = self._active, {}
        if active:
            await self._rows.touch(active)


def _taken(name: str) -> ApiError:
    return ApiError("already_exists", f"there is a computer named {name!r} already", resource="vm")
