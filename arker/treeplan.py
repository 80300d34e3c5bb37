"""What has to be done to make one tree like another. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .filevalues import FileInfo

__all__ = ["Plan", "batches", "plan", "unsafe_link", "unsafe_path"]


@dataclass(slots=True)
class Plan:
    """What has to be done, by relative path, each list in order.

    Attributes:
        send: Entries to be created or replaced.
        compare: Files of the same size and another time, whose contents decide.
        mark: Entries that differ in their mode alone.
        clear: What has to be removed first, as something of another kind takes its place.
        remove: What is not in the source, the topmost of it only.
        skipped: What is left out, and why.
        unchanged: How many entries need nothing.
    """

    send: list[FileInfo] = field(default_factory=list)
    compare: list[FileInfo] = field(default_factory=list)
    mark: list[FileInfo] = field(default_factory=list)
    clear: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    unchanged: int = 0


def plan(
    source: Mapping[str, FileInfo], target: Mapping[str, FileInfo], *, delete: bool, checksum: bool
) -> Plan:
    """Make `target` like `source`: with `delete` also remove what is not in it; with `checksum` do not take files
    of the same size and time for the same."""
    todo = Plan()
    blocked: list[str] = []
    for path in sorted(source, key=_order):
        entry, there = source[path], target.get(path)
        if any(_below(path, top) for top in blocked[-1:]):
            todo.skipped[path] = "what it is in was left out"
            continue
        if there is not None and there.kind != entry.kind and "directory" in (there.kind, entry.kind):
            if not delete:
                todo.skipped[path] = f"there is a {there.kind} of this name, and `delete` was not asked for"
                blocked.append(path)
                continue
            todo.clear.append(path)
            there = None
        if there is None or _differs(entry, there):
            todo.send.append(entry)
        elif entry.kind == "file" and (checksum or there.mtime_ns != entry.mtime_ns):
            todo.compare.append(entry)
        elif entry.kind != "symlink" and there.mode != entry.mode:
            todo.mark.append(entry)
        else:
            todo.unchanged += 1
    if delete:
        last = ""
        for path in sorted(target.keys() - source.keys(), key=_order):
            if last and _below(path, last):
                continue
            if not any(_below(path, top) for top in todo.clear):
                todo.remove.append(path)
                last = path
    return todo


def _differs(entry: FileInfo, there: FileInfo) -> bool:
    """Whether two entries differ without a look into them."""
    if entry.kind != there.kind:
        return True
    return entry.target != there.target if entry.kind == "symlink" else entry.size != there.size


def _order(path: str) -> list[str]:
    return path.split("/")


def _below(path: str, top: str) -> bool:
    return path.startswith(f"{top}/")


def batches(entries: list[FileInfo], most_bytes: int, most_entries: int) -> list[list[FileInfo]]:
    """Entries in order, in as few lists as have room for so much."""
    packed: list[list[FileInfo]] = []
    room = 0
    for entry in entries:
        if not packed or entry.size > room or len(packed[-1]) == most_entries:
            packed.append([])
            room = most_bytes
        packed[-1].append(entry)
        room -= entry.size
    return packed


def unsafe_path(path: str, *, windows: bool) -> str:
    """Why a relative path from elsewhere must not be used on this machine; empty when it may."""
    parts = path.split("/")
    if not path or path.startswith("/") or any(part in ("", ".", "..") for part in parts) or "\0" in path:
        return "not a path inside of the folder"
    if windows and any(set(part) & set('\\:*?"<>|') or part[-1] in ". " for part in parts):
        return "not a name that this system can have"
    return ""


def unsafe_link(path: str, target: str) -> bool:
    """Whether a link at the relative `path` leads out of the tree."""
    if target.startswith(("/", "\\")) or "\0" in target or ":" in target.partition("/")[0]:
        return True
    depth = path.count("/")
    for part in target.split("/"):
        if part == "..":
            depth -= 1
            if depth < 0:
                return True
        elif part not in ("", "."):
            depth += 1
    return False
