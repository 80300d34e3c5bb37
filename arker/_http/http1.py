"""HTTP/1.1 as a client needs it (RFC 9112): heads of requests and answers, and bodies of answers, which are decoded
without a copy. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from arker._io import Buffer
from arker.config import SecretBytes

#: Longest head of an answer, and longest line between two chunks, in bytes.
_LONGEST_HEAD: Final = 16 * 1024
_LONGEST_LINE: Final = 4096

_TARGET: Final = re.compile(r"[!-~]+")
_BLANK_LINE: Final = re.compile(rb"\n\r?\n")
#: A line that continues the one before it, which is obsolete.
_CONTINUED: Final = re.compile(r"\r?\n[ \t]+")
_ANSWER: Final = re.compile(
    r"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: [^\0\n\v\f\r]*)?\r?\n"
    r"((?:[-!#$%&'*+.^_`|~0-9A-Za-z]+:[^\0\n\v\f\r]*\r?\n(?:[ \t][^\0\n\v\f\r]*\r?\n)*)*)\r?\n"
)
_HEADER: Final = re.compile(r"([^:\n]+):([^\n]*)\n")
#: Several lengths in a list count as one if they are the same.
_LENGTH: Final = re.compile(r"([0-9]{1,20})(?:[ \t]*,[ \t]*\1)*")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")


class ProtocolError(Exception):
    """An answer is not HTTP/1.1, or incomplete."""


def request_head(method: str, target: str, headers: Sequence[tuple[bytes, bytes]]) -> SecretBytes:
    """Return the request line and all headers. Raises ValueError for a character that would begin another part."""
    parts = [method.encode(), b" ", target.encode(), b" HTTP/1.1\r\n"]
    for name, value in headers:
        parts += (name, b": ", value, b"\r\n")
    parts.append(b"\r\n")
    head = SecretBytes(b"".join(parts))
    lines = len(headers) + 2
    if (
        not _TARGET.fullmatch(target)
        or head.count(b"\n") != lines
        or head.count(b"\r") != lines
        or head.count(b"\0")
    ):
        raise ValueError("the head of a request has a character that none may have")
    return head


class Head(NamedTuple):
    """The head of an answer.

    Attributes:
        status: Its status code.
        headers: Values by lowercase name; several of one name are joined by commas.
        persistent: Whether another request can follow on the connection.
    """

    status: int
    headers: dict[str, str]
    persistent: bool


def answer_head(data: bytes) -> tuple[Head, bytes] | None:
    """Read the head of an answer from all bytes received so far.

    Returns:
        The head, and the bytes after it; None if it is not complete.

    Raises:
        ProtocolError: for anything else.
    """
    blank = _BLANK_LINE.search(data, 0, _LONGEST_HEAD)
    if blank is None:
        if len(data) >= _LONGEST_HEAD:
            raise ProtocolError(f"the head of the answer is longer than {_LONGEST_HEAD} bytes")
        if not data.startswith(b"HTTP/1."[: len(data)]):
            raise ProtocolError("the answer is not HTTP/1.1")
        return None
    found = _ANSWER.fullmatch(data[: blank.end()].decode("latin-1"))
    if found is None:
        raise ProtocolError("the head of the answer is not HTTP/1.1")
    version, status, fields = found.groups()
    headers: dict[str, str] = {}
    for name, value in _HEADER.findall(_CONTINUED.sub(" ", fields)):
        name, value = name.lower(), value.strip(" \t\r")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    options = headers.get("connection", "").lower().split(",")
    persistent = version != "0" and "close" not in map(str.strip, options)
    return Head(int(status), headers, persistent), data[blank.end() :]


class Sized:
    """A body of known length."""

    __slots__ = ("_data", "_left")

    def __init__(self, length: int, data: bytes) -> None:
        self._data = data
        self._left = length

    @property
    def ended(self) -> bool:
        """Whether the body is complete."""
        return not self._left

    @property
    def beyond(self) -> bytes:
        """Bytes that follow the body, when it has ended."""
        return self._data

    def feed(self, data: bytes) -> None:
        """Add received bytes, none for the end of the connection; call it when `piece` returned None. Raises
        ProtocolError."""
        if not data:
            raise ProtocolError(f"the connection was closed {self._left} bytes before the end")
        self._data = data

    def piece(self) -> Buffer | None:
        """Return the next piece of the body; None when more bytes are needed, and when it has ended."""
        data, self._data = self._data[: self._left], self._data[self._left :]
        self._left -= len(data)
        return data or None


class UntilClosed:
    """A body that ends with the connection."""

    __slots__ = ("_data", "ended")

    #: Nothing can follow.
    beyond: Final = b""

    def __init__(self, data: bytes) -> None:
        self._data = data
        #: Whether the body is complete.
        self.ended = False

    def feed(self, data: bytes) -> None:
        """Add received bytes; see `Sized.feed`."""
        self._data = data
        self.ended = not data

    def piece(self) -> Buffer | None:
        """Return the next piece of the body; see `Sized.piece`."""
        data, self._data = self._data, b""
        return data or None


class Chunked:
    """A body in chunks."""

    __slots__ = ("_after", "_data", "_left", "_trailer", "ended")

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
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
        """Add received bytes; see `Sized.feed`."""
        if not data:
            raise ProtocolError("the connection was closed before the end of the answer")
        self._data = memoryview(bytes(self._data) + data if self._data else data)

    def piece(self) -> Buffer | None:
        """Return the next piece of the body; see `Sized.piece`. Raises ProtocolError."""
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
                    raise ProtocolError("a chunk of the answer is longer than it says")
                self._after = False
            else:
                size = _CHUNK.fullmatch(line)
                if size is None:
                    raise ProtocolError("a chunk of the answer has no size")
                self._left = int(size[1], 16)
                self._after = self._left > 0
                self._trailer = not self._after
        return None

    def _line(self) -> bytes | None:
        line, end, _ = bytes(self._data[:_LONGEST_LINE]).partition(b"\r\n")
        if end:
            self._data = self._data[len(line) + 2 :]
            return line
        if len(line) == _LONGEST_LINE:
            raise ProtocolError("a line between two chunks of the answer is too long")
        return None


Body = Sized | UntilClosed | Chunked


def answer_body(method: str, head: Head, data: bytes) -> Body:
    """Return what decodes the body of an answer (RFC 9112, section 6.3). Raises ProtocolError.

    Args:
        method: Of the request.
        head: Of the answer; its status is 200 or more.
        data: Bytes received after the head.
    """
    if method == "HEAD" or head.status in (204, 304):
        return Sized(0, data)
    coding, length = head.headers.get("transfer-encoding"), head.headers.get("content-length")
    if coding is not None:
        if coding.lower() != "chunked":
            raise ProtocolError(f"the answer has a transfer coding other than chunks: {coding!r}")
        return Chunked(data)
    if length is None:
        return UntilClosed(data)
    found = _LENGTH.fullmatch(length)
    if found is None:
        raise ProtocolError(f"the answer has no length: {length!r}")
    return Sized(int(found[1]), data)
