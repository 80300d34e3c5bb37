"""Patterns for paths: `*`, `?`, `[abc]` within a name, and `**` for any number of folders. Pure."""

from __future__ import annotations

import fnmatch
import re


class Glob:
    """A pattern for paths relative to a folder, like those of `pathlib.Path.glob`; a leading dot is not special.

    Matching takes time proportional to the lengths of path and pattern, because both are untrusted.
    """

    def __init__(self, pattern: str) -> None:
        self._parts = [
            None if part == "**" else re.compile(fnmatch.translate(part))
            for part in pattern.split("/")
            if part not in ("", ".")
        ]
        #: Whether the pattern can match deeper than the entries of the folder.
        self.deep: bool = len(self._parts) > 1 or None in self._parts

    def _after(self, path: str) -> set[int]:
        """Return the possible positions in the pattern after `path`."""
        states = self._skip({0})
        for name in path.split("/"):
            moved: set[int] = set()
            for state in states:
                if state < len(self._parts):
                    part = self._parts[state]
                    if part is None:
                        moved.add(state)
                    elif part.match(name):
                        moved.add(state + 1)
            states = self._skip(moved)
        return states

    def _skip(self, states: set[int]) -> set[int]:
        """Add the positions behind each `**`, which may match no folder at all."""
        for state in list(states):
            while state < len(self._parts) and self._parts[state] is None:
                state += 1
                states.add(state)
        return states

    def matches(self, path: str) -> bool:
        """Return whether the pattern matches `path`."""
        return len(self._parts) in self._after(path)

    def may_hold(self, path: str) -> bool:
        """Return whether something below the folder `path` may match."""
        return any(state < len(self._parts) for state in self._after(path))
