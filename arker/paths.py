"""Which paths the contract allows."""

from __future__ import annotations

from .errors import bad_request

__all__ = ["check_path", "path_problem"]

HOME = "/home/user/"
#: What Linux takes, in bytes: PATH_MAX less the NUL at its end, and NAME_MAX.
LONGEST = 4095
LONGEST_NAME = 255


def check_path(path: str) -> str:
    """`path` as it is, if it can name a file.

    Raises:
        ArkerError: `bad_request`, 400, saying what is wrong: not absolute below `/home/user/`, a `..`
            segment, a NUL, a folder, too long (4095 bytes, 255 a segment), not encodable.
        TypeError: when it is not a str.
    """
    if not isinstance(path, str):
        raise TypeError(f"a path inside a computer is a str, not {type(path).__name__}")
    wrong = path_problem(path)
    if wrong:
        raise bad_request(
            f"path {path[:200]!r} {wrong}; a path is absolute, below {HOME}, such as {HOME}hello.txt"
        )
    return path


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
    if sum(sizes) + len(sizes) - 1 > LONGEST:
        return f"is longer than {LONGEST} bytes"
    if max(sizes) > LONGEST_NAME:
        return f"has a segment longer than {LONGEST_NAME} bytes"
    return ""
