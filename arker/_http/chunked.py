"""Bodies in chunks (RFC 9112, section 7.1), decoded without a copy. Pure."""

from __future__ import annotations

import re
from typing import Final

from h11 import RemoteProtocolError

#: Longest line between two chunks, in bytes.
_LINE: Final = 4096
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")


class Chunked:
    """Decodes a body in chunks from pieces of any size."""

    __slots__ = ("_after", "_data", "_left", "_trailer", "ended")

    def __init__(self) -> None:
        self._data = memoryview(b"")
        #: Bytes that are left of the chunk.
        self._left = 0
        #: Whether the end of line after a chunk is next.
        self._after = False
        self._trailer = False
        #: Whether the body is complete.
        self.ended: bool = False

    @property
    def beyond(self) -> bytes:
        """Bytes that are not decoded yet, or follow the body."""
        return bytes(self._data)

    def feed(self, data: bytes) -> None:
        """Add received bytes; call it when `piece` returned None."""
        self._data = memoryview(bytes(self._data) + data if self._data else data)

    def piece(self) -> memoryview | None:
        """Return the next piece of the body; None when more bytes are needed, and when it has ended. Raises
        h11.RemoteProtocolError."""
        while not self.ended:
            if self._left:
                piece = self._data[: self._left]
                self._data = self._data[len(piece) :]
                self._left -= len(piece)
                return piece or None
            line = self._line()
            if line is None:
                return None
            if self._trailer:
                self.ended = not line
            elif self._after:
                if line:
                    raise RemoteProtocolError("a chunk of the answer is longer than it says")
                self._after = False
            else:
                size = _SIZE.fullmatch(line)
                if size is None:
                    raise RemoteProtocolError("a chunk of the answer has no size")
                self._left = int(size[1], 16)
                self._after = self._left > 0
                self._trailer = not self._after
        return None

    def _line(self) -> bytes | None:
        line, end, _ = bytes(self._data[:_LINE]).partition(b"\r\n")
        if end:
            self._data = self._data[len(line) + 2 :]
            return line
        if len(line) == _LINE:
            raise RemoteProtocolError("a line between two chunks of the answer is too long")
        return None
