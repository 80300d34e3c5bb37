"""Puts files into the layers of a computer at rest, without a mount and without a copy of their data; and looks at
their folders."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from arker.local.engine import sandbox_files, trees
from arker.local.engine.images import HOME
from arker.local.engine.protocol import StorageFull

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def link(layers: Sequence[Path], path: str, source: int) -> bool:
    """Link the open file `source` at `path`, in the first of `layers` (highest first); it is on disk when this returns.

    Return False, without a visible change, if it is not that simple: the path is not below the home folder, leads over
    links or missing folders or ends in something else than a file, the first layer has that name already, something is
    not permitted, or the layers are on another file system. Raises OSError for a full disk.
    """
    *folders, name = path.split("/")[1:]
    if (
        not path.startswith(f"{HOME}/")
        or {"", ".", ".."} & {*folders, name}
        or sandbox_files.is_partial(name)
    ):
        return False
    with contextlib.ExitStack() as opened:
        try:
            # The same folder in each layer that has it; always in the first one.
            stack = [_open(opened, str(layer)) for layer in layers]
            for folder in folders:
                stack = _inside(opened, stack, folder)
                if not stack:
                    return False
            mode = _mode(stack, name)
            if mode is None or not os.access(".", os.W_OK | os.X_OK, dir_fd=stack[0]):
                return False
            os.fchmod(source, mode)
            os.fsync(source)
            # The link of procfs is followed: it leads to the file itself.
            os.link(f"/proc/self/fd/{source}", name, dst_dir_fd=stack[0], follow_symlinks=True)
            os.fsync(stack[0])
        except OSError as error:
            if isinstance(sandbox_files.translate(error, path), StorageFull):
                raise
            return False
    return True


def obstacle(layers: Sequence[Path], path: str) -> str | None:
    """Return the first part of a path at which `layers` (highest first) have something else than a folder, such as a
    link, or a folder that cannot be read; None if there is none. Missing folders are no obstacle."""
    with contextlib.ExitStack() as opened:
        stack = [_open(opened, str(layer)) for layer in layers]
        at = ""
        for name in path.split("/")[1:]:
            at += f"/{name}"
            found: list[int] = []
            for parent in stack:
                info = sandbox_files.entry(parent, name)
                if info is None:
                    continue
                if not stat.S_ISDIR(info.st_mode):
                    if not found and not trees.is_whiteout(info):
                        return at
                    break
                try:
                    found.append(_open(opened, name, parent))
                except PermissionError:
                    return at
                if trees.is_opaque(found[-1]):
                    break
            if not found:
                return None
            stack = found
    return None


def _open(opened: contextlib.ExitStack, name: str, parent: int | None = None) -> int:
    fd = os.open(name, _FOLDER, dir_fd=parent)
    opened.callback(os.close, fd)
    return fd


def _inside(opened: contextlib.ExitStack, stack: Sequence[int], name: str) -> list[int]:
    """Open the folder `name` in each layer that has it, as far as an overlay merges them; make it in the first layer if
    it is missing there. Return an empty list if there is no such folder, or one with unusual attributes."""
    found: list[int] = []
    in_first = False
    for parent in stack:
        info = sandbox_files.entry(parent, name)
        if info is None:
            continue
        if not stat.S_ISDIR(info.st_mode):
            break
        in_first = in_first or parent == stack[0]
        found.append(_open(opened, name, parent))
        if trees.is_opaque(found[-1]):
            break
    if not found or in_first:
        return found
    if any(not mark.startswith((trees.MARKS, "security.")) for mark in os.listxattr(found[0])):
        return []
    # As the kernel copies a folder up: with its mode and times, and without a trace in the folder above.
    above, like = os.fstat(stack[0]), os.fstat(found[0])
    os.mkdir(name, 0o700, dir_fd=stack[0])
    made = _open(opened, name, stack[0])
    os.fchmod(made, stat.S_IMODE(like.st_mode))
    os.utime(made, ns=(like.st_atime_ns, like.st_mtime_ns))
    os.utime(stack[0], ns=(above.st_atime_ns, above.st_mtime_ns))
    os.fsync(stack[0])
    return [made, *found]


def _mode(stack: Sequence[int], name: str) -> int | None:
    """Return the mode of a new file: that of the file it replaces, else 0644; None if it cannot simply be linked."""
    first, *others = stack
    if sandbox_files.entry(first, name) is not None:
        return None
    for folder in others:
        info = sandbox_files.entry(folder, name)
        if info is None:
            continue
        if trees.is_whiteout(info):
            break
        marked = any(
            mark.startswith(trees.MARKS)
            for mark in os.listxattr(f"/proc/self/fd/{folder}/{name}", follow_symlinks=False)
        )
        is_plain = stat.S_ISREG(info.st_mode) and info.st_mode & 0o200 and not marked
        return stat.S_IMODE(info.st_mode) if is_plain else None
    return 0o644
