"""Tar archives of small trees, in memory (POSIX.1-2001 pax), for both ends of a transfer. Pure.

Times are exact to the nanosecond. Names may be any bytes: bytes that are not UTF-8 are surrogates in a str, as in
`os.fsdecode`. Any tar reads the output of `pack`; `unpack` reads files, folders and links written by GNU tar,
bsdtar and busybox.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

__all__ = ["Entry", "Kind", "compress", "expand", "pack", "unpack"]

Kind = Literal["file", "directory", "symlink", "other"]

_BLOCK: Final = 512
#: Name, mode, owner and group, size and time, checksum, type, target of a link, magic.
_HEADER: Final = struct.Struct("100s8s16s24s8sc100s8s247x")
_NAME: Final = 100
_KINDS: Final[dict[bytes, Kind]] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"5": "directory",
    b"2": "symlink",
}
_TYPES: Final = {"file": b"0", "directory": b"5", "symlink": b"2"}
#: Makes zlib write and read gzip.
_GZIP: Final = 31
#: How many parts of an archive are tried before it is compressed, and their size in bytes.
_SAMPLES: Final = 8
_SAMPLE: Final = 8 << 10
#: Longest name or extended header to accept.
_LONGEST: Final = 1 << 20


class Entry(NamedTuple):
    """A file, folder or link of an archive.

    Attributes:
        path: relative, without a slash at either end; neither `pack` nor `unpack` checks it.
        mode: permission bits.
        mtime_ns: time of the last change, in nanoseconds since 1970.
        data: content of a file.
        target: where a link points to.
    """

    path: str
    kind: Kind
    mode: int
    mtime_ns: int
    data: bytes | memoryview = b""
    target: str = ""


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def _sum(header: bytes) -> int:
    """Return the sum of the bytes of a header modulo 65521, many times faster than `sum`. The sum of a header without a
    prefix is below that: name and target add at most 51 000, and the rest is ASCII."""
    return zlib.adler32(header, 0) & 0xFFFF


def _header(name: bytes, kind: bytes, mode: int, size: int, seconds: int, target: bytes = b"") -> bytes:
    numbers = b"%011o\0%011o\0" % (size, seconds)
    # The checksum counts as spaces while it is computed.
    block = _HEADER.pack(
        name, b"%07o" % (mode & 0o7777), b"0000000\0" * 2, numbers, b" " * 8, kind, target, b"ustar\00000"
    )
    return b"%b%06o\0 %b" % (block[:148], _sum(block), block[156:])


@functools.lru_cache(maxsize=64)
def _extended_header(size: int) -> bytes:
    return _header(b"././@PaxHeader", b"x", 0o644, size, 0)


def _records(values: dict[bytes, bytes]) -> bytes:
    """Records of an extended header: each begins with its own length in decimal."""
    out = b""
    for key, value in values.items():
        rest = len(key) + len(value) + 3
        length = rest + len(str(rest))
        length = rest + len(str(length))
        out += b"%d %b=%b\n" % (length, key, value)
    return out


def pack(entries: Iterable[Entry], *, gnu: bool = False) -> Iterator[bytes | memoryview]:
    """Make the archive of `entries`, piece by piece. With `gnu`, long names are as in GNU tar, for readers such as
    busybox that ignore extended headers."""
    for entry in entries:
        name, target = _raw(entry.path), _raw(entry.target)
        if entry.kind == "directory":
            name += b"/"
        seconds, nanos = divmod(entry.mtime_ns, 1_000_000_000)
        extended: dict[bytes, bytes] = {}
        if gnu:
            yield from (
                _long(kind, text) for kind, text in ((b"L", name), (b"K", target)) if len(text) > _NAME
            )
        else:
            if len(name) > _NAME:
                extended[b"path"] = name
            if len(target) > _NAME:
                extended[b"linkpath"] = target
        if nanos or not 0 <= seconds < 8**11:
            # `seconds` is rounded down; before 1970, the decimal number needs it rounded towards zero.
            whole, part = (
                (seconds, nanos) if seconds >= 0 or not nanos else (seconds + 1, 1_000_000_000 - nanos)
            )
            sign = b"-" if seconds < 0 and whole == 0 else b""
            extended[b"mtime"] = sign + b"%d.%09d" % (whole, part)
        if extended:
            if not (gnu or (_is_utf8(name) and _is_utf8(target))):
                extended = {b"hdrcharset": b"BINARY", **extended}
            records = _records(extended)
            yield _extended_header(len(records)) + records + _padding(len(records))
        data = memoryview(entry.data)
        kind = _TYPES[entry.kind]
        head = _header(
            name[:_NAME], kind, entry.mode, data.nbytes, min(max(seconds, 0), 8**11 - 1), target[:_NAME]
        )
        yield head
        if data:
            yield data
            yield _padding(data.nbytes)
    yield bytes(2 * _BLOCK)


def _long(kind: bytes, text: bytes) -> bytes:
    return (
        _header(b"././@LongLink", kind, 0o644, len(text) + 1, 0) + text + bytes(1) + _padding(len(text) + 1)
    )


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _number(field: bytes) -> int:
    if field[:1] in (b"\x80", b"\xff"):
        value = int.from_bytes(field[1:], "big")
        return value - (1 << 8 * (len(field) - 1)) if field[0] == 0xFF else value
    return int(field.strip(b" \0") or b"0", 8)


def _string(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _parsed(records: bytes) -> dict[bytes, bytes]:
    values: dict[bytes, bytes] = {}
    at = 0
    while at < len(records):
        space = records.index(b" ", at)
        length = int(records[at:space])
        key, equals, value = records[space + 1 : at + length - 1].partition(b"=")
        if not equals or length < 5 or records[at + length - 1 : at + length] != b"\n":
            raise ValueError("a record of an extended header is malformed")
        values[key] = value
        at += length
    return values


def _nanoseconds(text: bytes) -> int:
    whole, _, part = text.partition(b".")
    nanos = int((part + b"000000000")[:9])
    seconds = int(whole) * 1_000_000_000
    return seconds - nanos if whole.startswith(b"-") else seconds + nanos


def unpack(archive: bytes | bytearray | memoryview) -> Iterator[Entry]:
    """Iterate over the entries of an archive, in order; contents are views of the archive. A hard link is a file with
    the content of the earlier file.

    Raises:
        ValueError: for a truncated archive, or data that is no archive.
    """
    view = memoryview(archive)
    at = 0
    extended: dict[bytes, bytes] = {}
    earlier: dict[str, memoryview] = {}
    while True:
        head = bytes(view[at : at + _BLOCK])
        if len(head) < _BLOCK:
            raise ValueError("the archive is cut short")
        if not any(head):
            return
        if (_sum(head) - sum(head[148:156]) + 8 * 32 - _number(head[148:156])) % 65521:
            raise ValueError("not a tar archive: the checksum of a header is wrong")
        kind = head[156:157]
        size = int(extended[b"size"]) if b"size" in extended else _number(head[124:136])
        at += _BLOCK
        if size < 0 or at + size > len(view):
            raise ValueError("the archive is cut short")
        data = view[at : at + size]
        at += size + -size % _BLOCK
        if kind in b"xgLK":
            if size > _LONGEST:
                raise ValueError("an extended header is too long")
            if kind == b"x":
                extended |= _parsed(bytes(data))
            elif kind == b"L":
                extended[b"path"] = _string(bytes(data))
            elif kind == b"K":
                extended[b"linkpath"] = _string(bytes(data))
            continue
        name = extended.get(b"path") or _string(head[:100])
        if b"path" not in extended and head[257:263] == b"ustar\0" and head[345]:
            name = _string(head[345:500]) + b"/" + name
        path = _text(name.removeprefix(b"./").rstrip(b"/")) or "."
        target = _text(extended.get(b"linkpath") or _string(head[157:257]))
        mtime_ns = (
            _nanoseconds(extended[b"mtime"])
            if b"mtime" in extended
            else _number(head[136:148]) * 1_000_000_000
        )
        extended = {}
        mode = _number(head[100:108]) & 0o7777
        if kind == b"1":
            first = target.removeprefix("./")
            if first not in earlier:
                raise ValueError(f"{path!r} is another name of a file that is not in the archive")
            yield Entry(path, "file", mode, mtime_ns, earlier[first])
        elif kind in _KINDS:
            if _KINDS[kind] == "file":
                earlier[path] = data
            yield Entry(path, _KINDS[kind], mode, mtime_ns, data, target)
        else:
            yield Entry(path, "other", mode, mtime_ns)


def compress(archive: bytes) -> bytes | None:
    """Compress an archive with gzip; None if a sample of it does not shrink to half, as that takes more time than it
    saves on a fast network."""
    step = len(archive) // _SAMPLES + 1
    sample = b"".join(archive[at : at + _SAMPLE] for at in range(0, len(archive), step))
    return _gzip(archive) if 2 * len(_gzip(sample)) < len(sample) else None


def _gzip(data: bytes) -> bytes:
    engine = zlib.compressobj(1, wbits=_GZIP)
    return engine.compress(data) + engine.flush()


def expand(data: bytes | bytearray, most: int) -> bytes:
    """Undo `compress`.

    Raises:
        ValueError: for data that is damaged or not from gzip, or expands to more than `most` bytes.
    """
    engine = zlib.decompressobj(wbits=_GZIP)
    try:
        archive = engine.decompress(data, most + 1)
    except zlib.error as error:
        raise ValueError(f"not compressed by gzip: {error}") from None
    if len(archive) > most:
        raise ValueError(f"it expands to more than {most} bytes")
    if not engine.eof or engine.unused_data:
        raise ValueError("the compressed archive is cut short, or something follows it")
    return archive
