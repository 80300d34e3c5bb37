"""File systems: folders of the deployment that outlive computers and can be mounted into several of them.

A mount takes effect at the computer's next start.
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from arker.ids import new_ulid
from arker.local.engine.protocol import Engine
from arker.local.storage.errors import NameTaken
from arker.local.storage.filesystems import Filesystem, FilesystemRows, Mount

from .access import Access, Principal
from .errors import ApiError
from .translation import api_errors

__all__ = ["Filesystem", "Filesystems", "Mount", "Mounted"]

#: Folder of mounts without a path.
_BELOW: Final = "/mnt/"
_LONGEST: Final = 255
#: Folders that a computer needs as they are, and those with all that is in them.
_NEEDED: Final = frozenset({"/home", "/home/user", "/opt", "/tmp", "/var"})  # noqa: S108
_SYSTEM: Final = (
    "/bin/", "/boot/", "/dev/", "/etc/", "/lib/", "/lib32/", "/lib64/", "/libx32/", "/opt/arker/", "/proc/", "/run/",
    "/sbin/", "/sys/", "/usr/", "/var/tmp/",  # noqa: S108
)  # fmt: skip


class Mounted(NamedTuple):
    """A mount, whether the computer has mounted it already, and why it could not."""

    mount: Mount
    there: bool
    failure: str | None = None


class Filesystems:
    """The file systems of a deployment."""

    def __init__(self, rows: FilesystemRows, engine: Engine, access: Access) -> None:
        self._rows = rows
        self._engine = engine
        self._access = access

    async def start(self) -> None:
        """Tell the engine the mounts of all computers."""
        for vm_id in self._rows.mounted():
            await self._tell(vm_id)

    async def _tell(self, vm_id: str) -> None:
        with api_errors():
            mounts = {mount.path: mount.filesystem_id for mount in self._rows.mounts(vm_id)}
            await self._engine.set_mounts(vm_id, mounts)

    async def create(self, who: Principal, name: str) -> Filesystem:
        """Create an empty file system.

        Raises:
            ApiError: `already_exists`.
        """
        who.check_unlimited("use file systems")
        made = Filesystem(f"fs_{new_ulid().lower()}", who.org_id, name, time.time_ns() // 1_000_000)
        try:
            with api_errors():
                await self._rows.add(made)
        except NameTaken:
            raise ApiError(
                "already_exists", f"there is a file system named {name[:80]!r} already", resource="filesystem"
            ) from None
        return made

    def get(self, who: Principal, filesystem_id: str) -> Filesystem:
        """Return a file system of the caller's organization.

        Raises:
            ApiError: `not_found`.
        """
        who.check_unlimited("use file systems")
        found = self._rows.find(who.org_id, filesystem_id)
        if found is None:
            raise ApiError(
                "not_found", f"there is no file system {filesystem_id[:80]!r}", resource="filesystem"
            )
        return found

    def page(
        self, who: Principal, prefix: str, after: tuple[int, str] | None, limit: int
    ) -> list[Filesystem]:
        """Return file systems of the caller's organization whose names begin with `prefix`, newest first."""
        who.check_unlimited("use file systems")
        return self._rows.page(who.org_id, prefix, after, limit)

    async def delete(self, who: Principal, filesystem_id: str) -> None:
        """Remove a file system with its files.

        Raises:
            ApiError: `not_found`, or `unsupported_operation` when it is mounted.
        """
        self.get(who, filesystem_id)
        with api_errors():
            if not await self._rows.remove(filesystem_id):
                raise ApiError(
                    "unsupported_operation",
                    "a computer has this file system mounted; delete the mount first",
                    details={"reason": "feature_not_supported", "feature": "shared_filesystem"},
                )
            await self._engine.delete_filesystem(filesystem_id)

    async def mounts(self, who: Principal, vm_id: str) -> list[Mounted]:
        """Return the mounts of a computer, oldest first."""
        self._access.owned(who, vm_id, "looked into")
        with api_errors():
            there = await self._engine.mounted(vm_id)
        return [
            Mounted(mount, mount.path in there and there[mount.path] is None, there.get(mount.path))
            for mount in self._rows.mounts(vm_id)
        ]

    async def mount(self, who: Principal, vm_id: str, filesystem_id: str, path: str | None) -> Mounted:
        """Mount a file system into a computer, from its next start on. Return the existing mount if it is the same.

        Raises:
            ApiError: `conflict` when the path or the file system has another mount in the computer.
        """
        self._access.owned(who, vm_id, "changed")
        found = self.get(who, filesystem_id)
        path = _checked(f"{_BELOW}{found.name}" if path is None else path)
        if (mounted := await self._same(who, vm_id, filesystem_id, path)) is not None:
            return mounted
        made = Mount(f"mnt_{new_ulid().lower()}", vm_id, filesystem_id, path)
        try:
            with api_errors():
                await self._rows.add_mount(made)
        except NameTaken:
            # Another request mounted something at the same time.
            mounted = await self._same(who, vm_id, filesystem_id, path)
            if mounted is None:
                raise _taken(path) from None
            return mounted
        await self._tell(vm_id)
        return Mounted(made, False)

    async def _same(self, who: Principal, vm_id: str, filesystem_id: str, path: str) -> Mounted | None:
        """Return the mount of a file system at a path if there is one.

        Raises:
            ApiError: `conflict` when the path or the file system has another mount.
        """
        for mounted in await self.mounts(who, vm_id):
            same_path = mounted.mount.path == path
            same_filesystem = mounted.mount.filesystem_id == filesystem_id
            if same_path and same_filesystem:
                return mounted
            nested = path.startswith(f"{mounted.mount.path}/") or mounted.mount.path.startswith(f"{path}/")
            if same_path or same_filesystem or nested:
                raise _taken(path)
        return None

    async def unmount(self, who: Principal, vm_id: str, mount_id: str) -> None:
        """Unmount a file system from a computer, from its next start on. Its files are kept.

        Raises:
            ApiError: `not_found`.
        """
        self._access.owned(who, vm_id, "changed")
        who.check_unlimited("use file systems")
        if not any(mount.mount_id == mount_id for mount in self._rows.mounts(vm_id)):
            raise ApiError("not_found", f"the computer has no mount {mount_id[:80]!r}", resource="mount")
        with api_errors():
            await self._rows.remove_mount(mount_id)
        await self._tell(vm_id)


def _taken(path: str) -> ApiError:
    return ApiError(
        "conflict",
        f"the computer has another mount at {path} (or above or below it), or this file system at another path",
        resource="mount",
    )


def _checked(path: str) -> str:
    path = path.rstrip("/")
    root, *names = path.split("/")
    if root or not names or {"", ".", ".."} & {*names} or "\0" in path or len(path.encode()) > _LONGEST:
        raise ApiError(
            "bad_request", f"path: expected an absolute path of at most {_LONGEST} bytes, without . and .."
        )
    if path in _NEEDED or f"{path}/".startswith(_SYSTEM):
        raise ApiError(
            "unsupported_operation",
            f"path: a computer needs {path} as it is; mount the file system elsewhere",
            details={"reason": "feature_not_supported", "feature": "shared_filesystem"},
        )
    return path
