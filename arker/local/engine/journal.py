"""The output of a run: the latest part in memory, earlier parts in a file, for any number of readers.

The file is a sequence of frames: a letter (`O` for stdout, `E` for stderr), the length of the data as four bytes
(little-endian), and the data. An incomplete frame at the end is ignored.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import struct
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from arker.local.engine.protocol import Output, Stream

_FRAME = struct.Struct("<cI")
_STREAMS: dict[bytes, Stream] = {b"O": Stream.STDOUT, b"E": Stream.STDERR}
_LETTERS: dict[Stream, bytes] = {stream: letter for letter, stream in _STREAMS.items()}

#: Bytes held in memory, and of a segment of the file; each piece counts slightly more than its data.
_MEMORY = 1 << 18
_PIECE_COST = 128
#: Bytes that are read at once to find frames, of which many may be small.
_BLOCK = 1 << 12
#: Bytes that each run may keep, however much other runs of the computer keep.
_ASSURED = 32 << 20


class Segment(NamedTuple):
    """A part of the file: the offset of its first byte of output, and where its frames begin and end."""

    offset: int
    begin: int
    end: int


#: What a file has: a descriptor of it, negative if there is none, its segments, and the bytes of each stream.
_Scanned = tuple[int, list[Segment], dict[Stream, int]]


def _scan(path: str) -> _Scanned:
    """Blocking. Raises OSError."""
    segments: list[Segment] = []
    totals = dict.fromkeys(Stream, 0)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1, segments, totals
    try:
        size = os.fstat(fd).st_size
        position, begin, offset = 0, 0, 0
        block, at = b"", 0
        while position + _FRAME.size <= size:
            if position + _FRAME.size > at + len(block):
                block, at = os.pread(fd, _BLOCK, position), position
            letter, length = _FRAME.unpack_from(block, position - at)
            end = position + _FRAME.size + length
            if letter not in _STREAMS or end > size:
                break
            totals[_STREAMS[letter]] += length
            position = end
            if position - begin >= _MEMORY:
                segments.append(Segment(offset, begin, position))
                begin, offset = position, sum(totals.values())
    except BaseException:
        os.close(fd)
        raise
    if position > begin:
        segments.append(Segment(offset, begin, position))
    return fd, segments, totals


@dataclass(slots=True)
class OutputQuota:
    """Bytes of output that the unfinished runs of a computer may still keep together, beyond the guaranteed part of
    each."""

    free: int


class Journal:
    """The output of a run. Use it from one event loop; its file is read and written through the page cache.

    Args:
        path: the file, created when it is first needed.
        limit: bytes that are kept; the rest is dropped.
        quota: shared with the other runs of the computer until the end of this one.
    """

    def __init__(self, path: str, limit: int, quota: OutputQuota) -> None:
        self._path = path
        self._limit = limit
        self._quota = quota
        #: Bytes that were taken of the quota.
        self._taken = 0
        self._fd = -1
        self._segments: list[Segment] = []
        #: Offsets and pieces in memory, for readers that keep up; and how many of them are in the file as well.
        self._starts: list[int] = []
        self._pieces: list[Output] = []
        self._spilled = 0
        #: Bytes that the pieces in memory count as.
        self._memory = 0
        #: Called when there is output that is not in the file.
        self.on_output: Callable[[], None] = lambda: None
        self._waiting: list[asyncio.Future[None]] = []
        #: Bytes that were kept.
        self.size: int = 0
        #: Whether output was dropped.
        self.cut: bool = False
        #: Bytes of each stream that were received, including dropped ones.
        self.totals: dict[Stream, int] = dict.fromkeys(Stream, 0)
        #: Whether the output is complete.
        self.ended: bool = False
        self._forgotten = False
        #: Held while the file of an ended run is read; None once it is.
        self._unread: asyncio.Lock | None = None

    @classmethod
    def of_ended(cls, path: str) -> Journal:
        """Return the journal of an ended run; `load` reads its file."""
        self = cls(path, 0, OutputQuota(0))
        self.ended = True
        self._unread = asyncio.Lock()
        return self

    async def load(self) -> None:
        """Read the file of an ended run in a thread, once. Raises OSError."""
        if self._unread is not None:
            async with self._unread:
                if self._unread is not None:
                    await asyncio.to_thread(self.load_now)

    def load_now(self) -> None:
        """Find out what is in the file of an ended run. Blocking. Raises OSError."""
        self._fd, self._segments, self.totals = _scan(self._path)
        self.size = sum(self.totals.values())
        self._unread = None

    def append(self, stream: Stream, data: bytes) -> None:
        """Add output, up to the limit and to what the quota allows."""
        self.totals[stream] += len(data)
        room = min(self._limit, max(self.size, _ASSURED) + self._quota.free) - self.size
        if self.cut:  # permanently: no later output follows a gap
            data = b""
        elif room < len(data):
            self.cut = True
            data = data[:room]
        if data:
            beyond = max(self.size + len(data) - max(self.size, _ASSURED), 0)
            self._taken += beyond
            self._quota.free -= beyond
            self._starts.append(self.size)
            self._pieces.append(Output(stream, self.size, data))
            self.size += len(data)
            self._memory += len(data) + _PIECE_COST
            if self._memory > _MEMORY:
                self._drop()
            if self._memory > _MEMORY:
                try:
                    self.spill()
                except OSError:  # the disk is full: the output is cut at what is in the file
                    self.cut = True
                    self.size = self._starts[self._spilled]
                    del self._starts[self._spilled :], self._pieces[self._spilled :]
            elif self._spilled == len(self._pieces) - 1:
                self.on_output()
        self._wake()

    def _drop(self) -> None:
        """Keep only what is not in the file in memory."""
        del self._starts[: self._spilled], self._pieces[: self._spilled]
        self._spilled = 0
        self._memory = sum(len(piece.data) + _PIECE_COST for piece in self._pieces)

    def spill(self) -> None:
        """Write the output to the file that is not in it. Raises OSError; then it stays in memory."""
        if self._spilled == len(self._pieces) or self._forgotten:
            return
        begin = self._segments[-1].end if self._segments else 0
        parts: list[bytes] = []
        for stream, pieces in itertools.groupby(
            self._pieces[self._spilled :], key=lambda piece: piece.stream
        ):
            data = b"".join(piece.data for piece in pieces)
            parts += (_FRAME.pack(_LETTERS[stream], len(data)), data)
        frames = b"".join(parts)
        if self._fd < 0:
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        view = memoryview(frames)
        position = begin
        while view:
            written = os.pwrite(self._fd, view, position)
            position += written
            view = view[written:]
        self._add(Segment(self._starts[self._spilled], begin, begin + len(frames)))
        self._spilled = len(self._pieces)

    def _add(self, segment: Segment) -> None:
        last = self._segments[-1] if self._segments else None
        if last is not None and segment.end - last.begin <= _MEMORY:
            # A command that writes little at a time for days must not take a segment for each.
            self._segments[-1] = Segment(last.offset, last.begin, segment.end)
        else:
            self._segments.append(segment)

    def read(self, offset: int) -> list[Output]:
        """Return some pieces from `offset` on; empty if there are none yet. Raises OSError."""
        if self._starts and offset >= self._starts[0]:
            pieces = self._pieces[bisect_right(self._starts, offset) - 1 :]
        elif offset < self.size:
            index = bisect_right(self._segments, offset, key=lambda segment: segment.offset) - 1
            pieces = self._frames(self._segments[index])
        else:
            return []
        return [
            piece
            if piece.offset >= offset
            else Output(piece.stream, offset, piece.data[offset - piece.offset :])
            for piece in pieces
            if piece.offset + len(piece.data) > offset
        ]

    def _frames(self, segment: Segment) -> list[Output]:
        data = os.pread(self._fd, segment.end - segment.begin, segment.begin)
        pieces, position, offset = [], 0, segment.offset
        while position < len(data):
            letter, length = _FRAME.unpack_from(data, position)
            position += _FRAME.size
            pieces.append(Output(_STREAMS[letter], offset, data[position : position + length]))
            position += length
            offset += length
        return pieces

    async def more(self) -> None:
        """Wait for more output, or for its end."""
        if not self.ended:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future

    def end(self) -> None:
        """Mark the output as complete."""
        self.ended = True
        self.on_output = lambda: None
        self._give_back()
        self._wake()

    def _give_back(self) -> None:
        self._quota.free += self._taken
        self._taken = 0

    def _wake(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def forget(self) -> None:
        """Remove the file; readers get no more output."""
        self._forgotten = True
        self._give_back()
        self.cut = True
        self._starts.clear()
        self._pieces.clear()
        self._spilled = 0
        self._segments.clear()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            with contextlib.suppress(OSError):
                os.unlink(self._path)

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
