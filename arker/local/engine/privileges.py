"""Drop root permanently, keeping the store reachable."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from arker.local.engine import _linux, cgroups
from arker.local.engine.protocol import SandboxUnavailable

#: The uid of a deployment started by root: it needs no passwd entry, and fits into a rootless container.
DEFAULT_UID = 64000


def drop_privileges(store: Path, uid: int | None = None) -> Path:
    """Become an unprivileged user for the rest of this process, and give the folder `store` to that user.

    With a bwrap started by root, sandboxes could write the host's /proc/sys. `uid` defaults to the owner of `store`,
    or DEFAULT_UID if that is root. Parent folders of the store and of this Python's own modules that the user
    may not search (such as root's home with mode 0700) are replaced, for this process and its children, by ones with
    nothing else in them. If there is a writable cgroup v2 tree, the user gets a part of it. Returns `store`.
    Raises SandboxUnavailable when the store cannot be made reachable; needs uid 0, and no other threads.
    """
    store = store.absolute()
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    if uid is None:
        uid = store.stat().st_uid or DEFAULT_UID
    _give(store, uid)
    _open_ways([store, *_own_folders()], store, uid)
    cgroups.make_part(uid)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _linux.set_dumpable()
    return store


def _give(folder: Path, uid: int) -> None:
    """Change the owner of all files of root in a folder. A layer that the user owns already belongs to the user
    entirely."""
    #: Folders that were root's, so that no other user can have created their entries.
    closed: set[tuple[int, int]] = set()
    for parent, folders, names, fd in os.fwalk(folder, follow_symlinks=False):
        here = os.fstat(fd)
        ours = here.st_uid == 0 or (here.st_dev, here.st_ino) in closed
        for name in (".", *folders, *names):
            info = os.stat(name, dir_fd=fd, follow_symlinks=False)
            owner = info.st_uid
            if owner == 0 and stat.S_ISDIR(info.st_mode):
                closed.add((info.st_dev, info.st_ino))
            elif owner == 0 and info.st_nlink > 1 and not ours:
                raise SandboxUnavailable(
                    f"{Path(parent, name)} is another name of a file that belongs to root"
                )
            if owner == 0:
                os.chown(name, uid, uid, dir_fd=fd, follow_symlinks=False)
            elif owner != uid:
                raise SandboxUnavailable(
                    f"{Path(parent, name)} belongs to user {owner}, the store to user {uid}"
                )
            elif name == "layers":
                folders.remove(name)


def _own_folders() -> Iterable[Path]:
    """Return the folders with this Python's modules and programs."""
    for name in {sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path}:
        path = Path(name or ".").absolute()
        if path.is_dir():
            yield path


def _closed_ancestor(path: Path, uid: int) -> Path | None:
    """Return the first parent folder of `path` that the user may not search."""
    for folder in reversed(path.parents):
        info = folder.stat()
        allowed = stat.S_IXUSR if info.st_uid == uid else stat.S_IXOTH
        if not info.st_mode & allowed:
            return folder
    return None


def _open_ways(paths: list[Path], store: Path, uid: int) -> None:
    blocked: dict[Path, list[Path]] = {}
    for path in paths:
        for way in {path, path.resolve()}:
            closed = _closed_ancestor(way, uid)
            if closed is not None:
                blocked.setdefault(closed, []).append(way)
    if not blocked:
        return
    try:
        _linux.private_mounts()
    except PermissionError as error:
        if _closed_ancestor(store, uid) is None:
            return  # later imports may fail, and report it
        raise SandboxUnavailable(
            f"user {uid}, which the deployment runs as, cannot enter {_closed_ancestor(store, uid)}; "
            "choose another state folder, such as /var/lib/arker"
        ) from error
    # Root's own umask may keep others out of the folders that are made here.
    before = os.umask(0o022)
    for closed, wanted in blocked.items():
        kept = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in sorted(set(wanted))]
        _linux.mount_tmpfs(str(closed), "mode=0711")
        for path, fd in kept:
            if not path.exists():
                path.mkdir(mode=0o755, parents=True)
                _linux.bind(f"/proc/self/fd/{fd}", str(path))
            os.close(fd)
    os.umask(before)
