"""Limits, ranges and path rules of the contract, which client and deployment share. Pure."""

from __future__ import annotations

from typing import Final, Literal, get_args

#: Largest file of the sync operation, in bytes.
LARGEST_FILE: Final = 100_000_000
#: Largest chunk of a file in one entry of a write, in bytes.
LARGEST_CHUNK: Final = 4 * 1024 * 1024
#: Computers on a page of a list: default, and maximum.
PAGE: Final = 25
LARGEST_PAGE: Final = 100
#: Orders of a list.
Sort = Literal["created_at", "-created_at", "region", "-region"]
SORTS: Final[tuple[str, ...]] = get_args(Sort)
#: Prefix of all paths of the sync operation.
HOME: Final = "/home/user/"
#: Longest path and longest part of a path on Linux, in bytes: PATH_MAX without the terminating NUL, and NAME_MAX.
LONGEST_PATH: Final = 4095
LONGEST_NAME: Final = 255


def path_problem(path: str, below: str = HOME) -> str:
    """Return why `path` cannot be the path of a file in a computer; empty if it can."""
    if not path.startswith(below):
        return f"is not below {below}" if below != "/" else "is not absolute"
    if "\0" in path:
        return "contains a NUL character"
    segments = path.split("/")
    if ".." in segments:
        return "contains a .. segment"
    if segments[-1] in ("", "."):
        return "names a folder, not a file"
    try:
        sizes = [len(segment.encode()) for segment in segments]
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if sum(sizes) + len(sizes) - 1 > LONGEST_PATH:
        return f"is longer than {LONGEST_PATH} bytes"
    if max(sizes) > LONGEST_NAME:
        return f"has a segment longer than {LONGEST_NAME} bytes"
    return ""
