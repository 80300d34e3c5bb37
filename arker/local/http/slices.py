"""Large JSON bodies, cut so that no step of parsing them takes long.

A parser in C holds the interpreter's lock for as long as one call takes, also in a thread: 30 MB of small values take
seconds, in which the event loop stands still. So a worker thread cuts the text at the elements of one array, in steps
that each take little, and parses slices of some elements. Strings are cheap to pass over and to parse, whatever their
size; all else counts as structure, and one element may have so much of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

#: Bytes outside of strings that an element, or all but the elements, may have as a rule.
MAX_STRUCTURE: Final = 16 * 1024
#: Bytes of a slice, as a rule: one element is never cut.
_SLICE: Final = 64 * 1024

_SPECIAL: Final = re.compile(rb'["\[\]{},]')
_TEXT: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


class StructureError(ValueError):
    """There is more structure than anything valid has, or brackets or quotes do not match."""


class Cut:
    """An object that is cut at its member `array`, step by step, so that the first slice that is wrong can be the last.

    Nothing but the brackets is checked: the parts are still to be parsed.

    Args:
        most: bytes outside of strings that an element, or all but the elements, may have.

    Attributes:
        before: the text up to the opening bracket of the array; all of it when there is no array.
        after: the text from its closing bracket on, once all slices were taken.
    """

    def __init__(self, data: bytes | bytearray, array: str | None, most: int = MAX_STRUCTURE) -> None:
        self._data = data
        self._array = None if array is None else f'"{array}"'.encode()
        self._most = most
        self.before: bytes = b""
        self.after: bytes = b""

    def slices(self) -> Iterator[bytes]:
        """The elements of the array, some at a time. An element that is neither an object nor an array ends it.

        Raises:
            StructureError: there is too much of it, or it does not match.
        """
        data = self._data
        depth = structure = position = 0
        name: bytes | None = None  # the last string in the object itself
        begin = end = -1  # of the array
        start = 0  # of the slice
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
    """The position behind the string whose first character is at `position`."""
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
