"""The events of a run as values, and their form on the wire. Pure."""

from __future__ import annotations

import codecs
import contextlib
import json
import signal
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from ._io import Buffer
from .errors import ArkerError
from .results import Usage, usage_of

__all__ = ["OutputCut", "RunInfo", "RunOutput"]

StreamName: TypeAlias = Literal["stdout", "stderr"]

#: The media type of frames; see the deployment's `http/events.py`.
FRAMES: Final = "application/vnd.arker.events"
_FRAME: Final = struct.Struct("<cI")
_LARGEST: Final = 64 << 20
_STREAMS: Final[Mapping[bytes, StreamName]] = {b"O": "stdout", b"E": "stderr"}


@dataclass(frozen=True, slots=True)
class RunOutput:
    """A piece of the output of a run, in the order in which the deployment read it.

    Attributes:
        stream: `stdout` or `stderr`.
        offset: Bytes of both streams before this piece; a stream can be resumed from an offset.
        data: The bytes. A character may be split between two pieces; `lines()` joins them.
    """

    stream: StreamName
    offset: int
    data: bytes

    @property
    def text(self) -> str:
        """`data` as text, with U+FFFD in place of invalid UTF-8."""
        return self.data.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class OutputCut:
    """Output after this was not kept: the run wrote more than the deployment keeps of a run. The command continues.

    Attributes:
        offset: Bytes of both streams that were kept.
    """

    offset: int


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run as the deployment knows it.

    Attributes:
        run_id: Its id; `computer.get_run(run_id)` returns its handle.
        session_id: The session that it runs in.
        command: The command line.
        state: `running`, `completed`, `cancelled`, or `failed` if the deployment could not observe its end.
        started_at: When it started.
        exit_code: 128 + n after signal n, 124 after its timeout; None while it runs, and if it is unknown.
        reason: Why it ended: `exited`, `signalled`, `timed_out`, `cancelled`, `out_of_memory`, `disk_full`,
            `computer_stopped` or `infrastructure`; None while it runs, and if the deployment does not tell.
        cwd: The folder of its session afterwards.
        duration_ms: Its duration, in milliseconds; None while it runs, and if it is unknown.
        usage: Resources that it used.
        notes: Remarks of the deployment, one sentence each.
        takes_input: Whether `run.write()` gives it input; False once it has ended.
    """

    run_id: str
    session_id: str
    command: str
    state: str
    started_at: datetime
    exit_code: int | None = None
    reason: str | None = None
    cwd: str = ""
    duration_ms: float | None = None
    usage: Usage = field(default_factory=Usage)
    notes: tuple[str, ...] = ()
    takes_input: bool = False


Event: TypeAlias = RunOutput | OutputCut | RunInfo


def run_info(fields: Mapping[str, Any]) -> RunInfo:
    """Convert the run in an answer. Raises KeyError, TypeError or ValueError for an invalid one."""
    return RunInfo(
        str(fields["run_id"]),
        str(fields["session_id"]),
        str(fields["command"]),
        str(fields["state"]),
        datetime.fromisoformat(fields["started_at"]),
        fields.get("exit_code"),
        fields.get("reason"),
        fields.get("cwd") or "",
        None if fields.get("duration_ms") is None else float(fields["duration_ms"]),
        usage_of(fields.get("usage") or {}),
        tuple(fields.get("notes") or ()),
        fields.get("takes_input") is True,
    )


class Frames:
    """Decodes the frames of an answer from pieces of any size."""

    def __init__(self, offset: int) -> None:
        #: Offset of the output in the next frame, in bytes.
        self.offset: int = offset
        #: Whether the last frame has arrived.
        self.ended: bool = False
        self._letter = b""
        #: What has arrived of the head or the data of a frame, and how long it is.
        self._parts: list[Buffer] = []
        self._missing = _FRAME.size

    def feed(self, piece: Buffer) -> Iterator[Event]:
        """Return the events that this piece completes; the first and the last of all events are the run. Raises
        ArkerError."""
        rest = memoryview(piece)
        while len(rest) >= self._missing:
            part, rest = rest[: self._missing], rest[self._missing :]
            data = b"".join([*self._parts, part]) if self._parts else bytes(part)
            self._parts.clear()
            if self._letter:
                letter, self._letter, self._missing = self._letter, b"", _FRAME.size
                yield from self._event(letter, data)
            else:
                self._letter, self._missing = _FRAME.unpack(data)
                if self._missing > _LARGEST:
                    raise ArkerError("internal", "the answer is not a stream of events", processed="maybe")
        if rest:
            self._parts.append(rest)
            self._missing -= len(rest)

    def _event(self, letter: bytes, data: bytes) -> Iterator[Event]:
        if (stream := _STREAMS.get(letter)) is not None:
            offset, self.offset = self.offset, self.offset + len(data)
            yield RunOutput(stream, offset, data)
        elif letter == b"C":
            yield OutputCut(self.offset)
        elif letter in (b"S", b"X"):
            self.ended = letter == b"X"
            try:
                yield run_info(json.loads(data))
            except (LookupError, TypeError, ValueError) as error:
                raise ArkerError("internal", "the answer is no run", processed="maybe") from error


class Lines:
    """Decodes lines of text from pieces of bytes, incrementally, with U+FFFD in place of invalid UTF-8."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes, *, final: bool = False) -> list[str]:
        """Return the lines that are complete now, without line ends; with `final`, also the last one."""
        text = self._rest + self._decoder.decode(data, final)
        *lines, self._rest = text.split("\n")
        if final and self._rest:
            lines.append(self._rest)
            self._rest = ""
        return [line.removesuffix("\r") for line in lines]


_ENDINGS: Final[Mapping[str, str]] = {
    "timed_out": "ended by its timeout",
    "cancelled": "cancelled",
    "out_of_memory": "ended because its computer used too much memory",
    "disk_full": "ended because its computer wrote too much to its disk",
    "computer_stopped": "ended because its computer stopped",
    "infrastructure": "ended by a failure of the deployment",
}


def ending(exit_code: int | None, reason: str | None) -> str:
    """How a command ended, to follow "the command was"."""
    name = ""
    if exit_code is not None:
        with contextlib.suppress(ValueError):
            name = signal.Signals(exit_code - 128).name
    if reason == "signalled" and exit_code is not None:
        number = exit_code - 128
        return f"ended by signal {number} ({name})" if name else f"ended by signal {number}"
    if reason is not None and reason != "exited":
        return _ENDINGS.get(reason, f"ended: {reason}")
    return f"exit code {exit_code} (128 + {name})" if name else f"exit code {exit_code}"


def signal_name(number: int | str) -> str:
    """The name of a signal, such as `SIGINT`. Raises ValueError for an unknown number."""
    name = number if isinstance(number, str) else signal.Signals(number).name
    return name if name.startswith("SIG") else f"SIG{name}"
