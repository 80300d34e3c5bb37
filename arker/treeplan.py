"""Compute the changes that make one tree equal to another. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .filevalues import FileInfo

__all__ = ["Listing", "Plan", "plan", "unsafe_link", "unsafe_path"]


@dataclass(slots=True)
class Listing:
    """What is in a tree, by relative path.

    Attributes:
        entries: What takes part.
        skipped: What cannot be read or sent, with the reasons; of a folder, its entries.
        ignored: What is left alone because it was asked for.
        leftovers: What transfers that ended long ago left behind.
    """

    entries: dict[str, FileInfo] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Plan:
    """The changes to make, by relative path, each list in order.

    Attributes:
        send: Entries to create or replace.
        compare: Files of the same size but another time, whose contents have to be compared.
        mark: Entries that differ only in their mode or time; `version` is that of the entry in the target.
        clear: Entries to remove first, because an entry of another kind takes their place.
        remove: Entries that are not in the source, only the topmost ones.
        skipped: Entries to skip, with the reasons.
        unchanged: How many entries need no change.
    """

    send: list[FileInfo] = field(default_factory=list)
    compare: list[FileInfo] = field(default_factory=list)
    mark: list[FileInfo] = field(default_factory=list)
    clear: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    unchanged: int = 0


def plan(source: Listing, target: Listing, *, delete: bool, checksum: bool) -> Plan:
    """Plan to make the entries of `target` equal to those of `source`. With `delete`, also remove entries that are not
    in the source; with `checksum`, also compare files of the same size and time.

    What is ignored or cannot be read in the target stays there, with the folders that it is in. What cannot be read in
    the source is not taken for missing.
    """
    todo = Plan(skipped=dict(source.skipped))
    kept = {*target.ignored, *target.skipped, *source.skipped}
    kept |= {top for path in kept for top in _tops(path)}
    blocked: list[str] = []
    for path in sorted(source.entries, key=_order):
        entry, there = source.entries[path], target.entries.get(path)
        if any(_below(path, top) for top in blocked[-1:]):
            todo.skipped[path] = "what it is in was left out"
            continue
        if there is not None and there.kind != entry.kind and "directory" in (there.kind, entry.kind):
            if not delete or path in kept:
                why = "it has entries that stay" if delete else "`delete` was not asked for"
                todo.skipped[path] = f"there is a {there.kind} of this name, and {why}"
                blocked.append(path)
                continue
            todo.clear.append(path)
            there = None
        if there is None or _differs(entry, there):
            todo.send.append(entry)
        elif entry.kind == "file" and (checksum or there.mtime_ns != entry.mtime_ns):
            todo.compare.append(entry)
        elif entry.kind != "symlink" and there.mode != entry.mode:
            todo.mark.append(replace(entry, version=there.version))
        else:
            todo.unchanged += 1
    if delete:
        last = ""
        cleared = set(todo.clear)
        for path in sorted(target.entries.keys() - source.entries.keys(), key=_order):
            if path in target.skipped:
                todo.skipped[path] = target.skipped[path]
            tops = _tops(path)
            if (
                path in kept
                or (last and _below(path, last))
                or not (cleared.isdisjoint(tops) and source.skipped.keys().isdisjoint(tops))
            ):
                continue
            todo.remove.append(path)
            last = path
    return todo


def _differs(entry: FileInfo, there: FileInfo) -> bool:
    """Whether two entries differ, judged without their contents."""
    if entry.kind != there.kind:
        return True
    return entry.target != there.target if entry.kind == "symlink" else entry.size != there.size


def _order(path: str) -> list[str]:
    return path.split("/")


def _tops(path: str) -> list[str]:
    """The folders that a path is in."""
    return [path[:at] for at, char in enumerate(path) if char == "/"]


def _below(path: str, top: str) -> bool:
    return path.startswith(f"{top}/")


def unsafe_path(path: str, *, windows: bool) -> str:
    """Why a received relative path must not be used on this machine; empty if it may."""
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
