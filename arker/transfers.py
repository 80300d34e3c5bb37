"""How files are sent and received: ranges, batches, sizes. No I/O here."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from .contract import LARGEST_CHUNK, LARGEST_FILE
from .errors import ArkerError

_SHA256 = re.compile(r"(?:^|,)[ \t]*sha-256=:([0-9A-Za-z+/]{43}=):")

#: Most entries in one write; the contract has no limit, so this one is modest.
MOST_ENTRIES: Final = 64
#: Bytes passed on at a time: fewer cost speed, more cost memory.
PIECE: Final = 256 * 1024
#: Bytes read from or written to a local file at a time; an asyncio client uses a thread for each.
READ_AHEAD: Final = 2 * PIECE
#: Slowest transfer whose timeout is still long enough, in bytes per second.
SLOWEST: Final = 64 * 1024

Range = tuple[int, int]
T = TypeVar("T")


def too_large(size: int, what: str = "the file") -> ArkerError:
    """Make the error of a file that the client rejects."""
    at_least = f"at least {size}" if size == LARGEST_FILE + 1 else size
    return ArkerError("payload_too_large", f"{what} has {at_least} bytes; the most is {LARGEST_FILE}", 413)


def chunks(size: int, have: Iterable[Range] = ()) -> list[Range]:
    """Return the ranges `[start, end)` of at most LARGEST_CHUNK bytes that are missing from `[0, size)`; `have`
    lists the ranges that are present."""
    missing: list[Range] = []
    position = 0
    for start, end in [*sorted(have), (size, size)]:
        while position < min(start, size):
            stop = min(position + LARGEST_CHUNK, start, size)
            missing.append((position, stop))
            position = stop
        position = max(position, end)
    return missing


def batches(
    items: Iterable[T], size: Callable[[T], int], *, most_bytes: int, most_items: int
) -> list[list[T]]:
    """Pack items, in order, into as few batches as these limits allow; an item that is larger has its own."""
    packed: list[list[T]] = []
    room = 0
    for item in items:
        if not packed or size(item) > room or len(packed[-1]) == most_items:
            packed.append([])
            room = most_bytes
        packed[-1].append(item)
        room -= size(item)
    return packed


def resume_at(status: int, content_range: str | None, wanted: int, size: int) -> int:
    """Return the offset at which the body of an answer to `Range: bytes=wanted-` starts.

    Raises ValueError if the answer does not belong to the file of `size` bytes.
    """
    if status == 200:
        return 0
    if content_range is None or content_range.replace(" ", "") != f"bytes{wanted}-{size - 1}/{size}":
        raise ValueError(f"asked for bytes {wanted}-{size - 1}/{size}, got {str(content_range)[:100]!r}")
    return wanted


def sha256_of(repr_digest: str | None) -> bytes | None:
    """The SHA-256 of a whole file from a `Repr-Digest` header (RFC 9530), or None."""
    found = _SHA256.search(repr_digest or "")
    return base64.b64decode(found[1]) if found else None
