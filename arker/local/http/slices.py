"""Splits large JSON bodies, so that no step of parsing them takes long.

A parser in C holds the GIL during one call, even in a thread: 30 MB of small values take
seconds, during which the event loop is blocked. So a worker thread splits the text at the elements of one array, in
short steps, and parses slices of a few elements. Strings are cheap to skip and to parse, whatever their
size; everything else counts as structure, which is limited for each element.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

#: Maximum number of bytes outside of strings in an element, and in everything but the elements, by default.
MAX_STRUCTURE: Final = 16 * 1024
#: Target size of a slice in bytes; elements are never split.
_SLICE: Final = 64 * 1024

_SPECIAL: Final = re.compile(rb'["\[\]{},]')
_TEXT: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


class StructureError(ValueError):
    """There is more structure than in any valid body, or brackets or quotes do not match."""


class Cut:
    """Splits an object at its member `array`, step by step, so that parsing can stop at the first invalid slice.

    Only the brackets are checked: the parts must still be parsed.

    Args:
        most: maximum number of bytes outside of strings in an element, and in everything but the elements.

    Attributes:
        before: the text up to the opening bracket of the array; all of it when there is no array.
        after: the text from its closing bracket on, once all slices were read.
    """

    def __init__(self, data: bytes | bytearray, array: str | None, most: int = MAX_STRUCTURE) -> None:
        self._data = data
        self._array = None if array is None else f'"{array}"'.encode()
        self._most = most
        self.before: bytes = b""
        self.after: bytes = b""

    def slices(self) -> Iterator[bytes]:
        """Yield the elements of the array, some at a time. Stops at an element that is neither an object nor an array.

        Raises:
            StructureError: there is too much structure, or brackets or quotes do not match.
        """
        data = self._data
        depth = structure = position = 0
        name: bytes | None = None  # the last string in the object itself
        begin = end = -1  # bounds of the array
        start = 0  # start of the slice
        nested = False  # whether the element has brackets
        while position < len(data):
            found = _SPECIAL.search(data, position, position + _SLICE)
            stop = found.end() if found else min(position + _SLICE, len(data))
            structure += stop - position
            if structure > self._most:
                raise StructureError
            position = stop
            char = found[0] if found else b""
            in_array = begin >= 0 > end
            if char == b'"':
                position = _end_of_string(data, position)
                name = bytes(data[stop - 1 : position]) if depth == 1 and position - stop < 64 else None
            elif char in (b"[", b"{"):
                if char == b"[" and depth == 1 and name is not None and name == self._array:
                    if begin >= 0:
                        raise StructureError
                    begin = start = position
                    self.before = bytes(data[:begin])
                    structure = 0
                nested = True
                depth += 1
            elif char in (b"]", b"}"):
                depth -= 1
                if in_array and depth == 1:
                    end = position - 1
                    self.after = bytes(data[end:])
                    structure = 0
                    yield bytes(data[start:end])
            elif char == b"," and in_array and depth == 2:
                if not nested:
                    raise StructureError
                structure, nested = 0, False
                if position - start > _SLICE:
                    yield bytes(data[start : position - 1])
                    start = position
        if begin < 0:
            self.before = bytes(data)
        elif end < 0:
            raise StructureError


def _end_of_string(data: bytes | bytearray, position: int) -> int:
    """Return the position behind the string whose first character is at `position`."""
    while position < len(data):
        found = _TEXT.match(data, position, position + _SLICE)
        assert found is not None
        stop = found.end()
        if data[stop : stop + 1] == b'"':
            return stop + 1
        if stop == position:
            break
        position = stop
    raise StructureError
