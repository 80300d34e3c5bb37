"""What client and deployment both hold to: limits, ranges and paths of the contract. Pure."""

from __future__ import annotations

from typing import Final, Literal, get_args

#: Largest file that the sync operation takes, in bytes.
LARGEST_FILE: Final = 100_000_000
#: Largest chunk of a file in one entry of a write, in bytes.
LARGEST_CHUNK: Final = 4 * 1024 * 1024
#: Computers on a page of a list: by default, and at the most.
PAGE: Final = 25
LARGEST_PAGE: Final = 100
#: Orders of a list.
Sort = Literal["created_at", "-created_at", "region", "-region"]
SORTS: Final[tuple[str, ...]] = get_args(Sort)
#: What the paths of the sync operation begin with.
HOME: Final = "/home/user/"
#: Longest path and longest part of one, in bytes, as Linux takes them: PATH_MAX less the NUL at its end, and NAME_MAX.
LONGEST_PATH: Final = 4095
LONGEST_NAME: Final = 255


def path_problem(path: str, below: str = HOME) -> str:
    """What keeps `path` from being that of a file in a computer; empty when nothing does."""
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
