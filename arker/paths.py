"""Checks of file paths before a request is sent."""

from __future__ import annotations

from .contract import HOME, path_problem
from .errors import bad_request


def check_path(path: str) -> str:
    """Return `path` unchanged if it can name a file.

    Raises:
        ArkerError: `bad_request`, 400, with the reason: not absolute below `/home/user/`, a `..`
            segment, a NUL, a folder, too long (4095 bytes, 255 per segment), not encodable.
        TypeError: if it is not a str.
    """
    if not isinstance(path, str):
        raise TypeError(f"a path inside a computer is a str, not {type(path).__name__}")
    wrong = path_problem(path)
    if wrong:
        raise bad_request(
            f"path {path[:200]!r} {wrong}; a path is absolute, below {HOME}, such as {HOME}hello.txt"
        )
    return path
