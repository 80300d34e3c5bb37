"""Which bytes of a file have arrived: half-open ranges, kept merged and in order."""

from __future__ import annotations

from collections.abc import Iterable

from arker.local.storage.uploads import Range


def merge(ranges: Iterable[Range]) -> list[Range]:
    """Return the same bytes as the fewest ranges, in order; touching ranges are joined, empty ones dropped."""
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def length(ranges: Iterable[Range]) -> int:
    """Return the number of bytes in merged ranges."""
    return sum(end - start for start, end in ranges)


def covers(ranges: Iterable[Range], size: int) -> bool:
    """Return whether merged ranges cover all `size` bytes of a file."""
    return length(ranges) == size
