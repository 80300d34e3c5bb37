"""Values that calls return: frozen, typed, printable, and independent of any connection."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Literal,
    NoReturn,
    Protocol,
    TypeAlias,
    TypeVar,
    overload,
)

from .errors import ArkerError

if TYPE_CHECKING:
    from arker_api.control.models import VmPage
    from arker_api.regional.models import RunResponse

__all__ = ["Failure", "Outcome", "RunResult", "Success", "Usage", "VmList", "VmSummary"]

T = TypeVar("T")
E = TypeVar("E", bound=Exception)


@dataclass(frozen=True, slots=True)
class Usage:
    """Resources that a run used; None where the deployment cannot tell.

    Attributes:
        cpu_seconds: CPU time, in seconds, of the shell that ran the command and of the processes that the command
            started; None for a run of less than 20 ms.
        peak_memory: Peak memory, in bytes, as sampled some four times a second, of the processes that the command
            started; None for a run of less than about half a second, and for one that started none. The memory of the
            shell itself is not counted.
        bytes_written: Bytes that these wrote to files on a disk, in whole pages, including files deleted since; a lower
            bound. Processes that nothing waited for are sampled some four times a second. None for a run of less than
            20 ms. Files in memory, such as those in `/dev/shm`, and pipes do not count.
        exact: Whether `cpu_seconds` is exact; otherwise it is a lower bound.
    """

    cpu_seconds: float | None = None
    peak_memory: int | None = None
    bytes_written: int | None = None
    exact: bool = False


class _HasOutput(Protocol):
    @property
    def stdout(self) -> bytes: ...
    @property
    def stderr(self) -> bytes: ...


class Texts:
    """The output of a result as text."""

    __slots__ = ()

    @property
    def text(self: _HasOutput) -> str:
        """`stdout` as text, with U+FFFD in place of invalid UTF-8."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def error_text(self: _HasOutput) -> str:
        """`stderr` as text, with U+FFFD in place of invalid UTF-8."""
        return self.stderr.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class RunResult(Texts):
    """The result of a command.

    Attributes:
        stdout: Standard output, byte for byte.
        stderr: Standard error, byte for byte.
        exit_code: Exit status; 128 + n after signal n, 124 when the timeout ended it.
        duration_ms: Wall time of the command at the deployment, in milliseconds.
        session_id: The session that it ran in.
        cwd: The folder of its session afterwards; empty if the request for it failed (over contract 0.3).
        completed: False when the timeout ended it.
        truncated: True when its output exceeded the deployment's limit and the rest was dropped.
        reason: Why it ended: `exited`, `signalled`, `timed_out`, `cancelled`, `out_of_memory`, `disk_full`; None if
            the deployment does not tell.
        usage: Resources that it used; None if the deployment does not tell.
        notes: Remarks of the deployment, one sentence each: processes that were killed because the computer used too
            much memory, although the command continued, or state that its session could not keep.
    """

    stdout: bytes
    stderr: bytes
    exit_code: int
    duration_ms: float
    session_id: str
    cwd: str
    completed: bool = True
    truncated: bool = False
    reason: str | None = None
    usage: Usage | None = None
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the command ended by itself with exit code 0."""
        return self.completed and self.exit_code == 0

    def check(self) -> RunResult:
        """Return this result if it is `ok`.

        Raises:
            ArkerError: `command_failed`, with how it ended and the end of `stderr` in its message and this result as
                `result`.
        """
        if self.ok:
            return self
        # Imported on first use: most results are not checked, or are fine.
        from .events import ending

        # A deployment that reports no reason has only one for a command that did not complete.
        what = ending(self.exit_code, self.reason if self.completed else self.reason or "timed_out")
        tail = self.stderr.decode("utf-8", "replace").strip()[-500:]
        raise ArkerError("command_failed", f"{what}: {tail}" if tail else what, processed="yes", result=self)

    def to_dict(self) -> dict[str, Any]:
        """Convert to a dict for JSON; output that is not UTF-8 is base64, as the `*_encoding` beside it says."""
        stdout, stdout_encoding = _encode(self.stdout)
        stderr, stderr_encoding = _encode(self.stderr)
        return {
            "stdout": stdout,
            "stdout_encoding": stdout_encoding,
            "stderr": stderr,
            "stderr_encoding": stderr_encoding,
            "exit_code": self.exit_code,
            "duration_ms": self.duration_ms,
            "session_id": self.session_id,
            "cwd": self.cwd,
            "completed": self.completed,
            "truncated": self.truncated,
            "reason": self.reason,
            "usage": None if self.usage is None else asdict(self.usage),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunResult:
        """Make the result from a dict that `to_dict` made.

        Raises:
            KeyError, TypeError, ValueError: for any other dict.
        """
        return cls(
            decode(data["stdout"], data["stdout_encoding"]),
            decode(data["stderr"], data["stderr_encoding"]),
            data["exit_code"],
            data["duration_ms"],
            data["session_id"],
            data["cwd"],
            data["completed"],
            data["truncated"],
            data.get("reason"),
            None if data.get("usage") is None else Usage(**data["usage"]),
            tuple(data.get("notes", ())),
        )


def _encode(data: bytes) -> tuple[str, str]:
    try:
        return data.decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), "base64"


def decode(content: object, encoding: object) -> bytes:
    """Decode bytes in an answer. Raises ValueError or TypeError for content that is neither UTF-8 nor base64."""
    if not isinstance(content, str):
        raise TypeError("content is not a string")
    if encoding == "base64":
        return base64.b64decode(content, validate=True)
    if encoding in ("utf-8", "utf8"):
        # JSON strings may contain lone surrogates, which UTF-8 cannot encode.
        return content.encode()
    raise ValueError(f"unknown encoding {encoding!r}")


def run_result(response: RunResponse) -> RunResult:
    """Convert the result in an answer. Raises ValueError or TypeError for one that violates the contract."""
    return RunResult(
        decode(response.stdout, response.stdout_encoding or "utf-8"),
        decode(response.stderr, response.stderr_encoding or "utf-8"),
        int(response.exit_code),
        float(response.duration_ms or 0),
        # 0 is a valid session, and Unset is false.
        str(response.session_id) if isinstance(response.session_id, (str, int)) else "0",
        response.cwd or "",
        response.completed is not False,
        response.stdout_truncated is True or response.stderr_truncated is True,
        *end_of(response.additional_properties),
    )


def end_of(fields: Mapping[str, Any]) -> tuple[str | None, Usage | None, tuple[str, ...]]:
    """Why a run ended, what it used and remarks, if an answer has these fields, which are in no contract."""
    reason, usage, notes = fields.get("reason"), fields.get("usage"), fields.get("notes")
    return (
        reason if isinstance(reason, str) else None,
        usage_of(usage) if isinstance(usage, Mapping) else None,
        tuple(str(note) for note in notes) if isinstance(notes, list) else (),
    )


def usage_of(fields: Mapping[str, Any]) -> Usage:
    """Convert the resources in an answer."""
    return Usage(
        fields.get("cpu_seconds"),
        fields.get("peak_memory"),
        fields.get("bytes_written"),
        fields.get("exact") is True,
    )


@dataclass(frozen=True, slots=True)
class VmSummary:
    """A computer in a list; `client.vm(summary)` is its handle.

    Attributes:
        vm_id: Its id.
        name: Its name, or None.
        base_image: The base image that it descends from.
        region: Where it lives.
        created_at: When it was made, with its time zone (UTC).
    """

    vm_id: str
    name: str | None
    base_image: str
    region: str
    created_at: datetime


def vm_list(page: VmPage) -> VmList:
    """Convert the page in an answer. Raises ValueError or TypeError for one that violates the contract."""
    items = tuple(
        VmSummary(
            _text(item.vm_id),
            item.name or None,
            item.base_image or "",
            item.region or "",
            _utc(item.created_at),
        )
        for item in page.items
    )
    return VmList(items, int(page.total))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value


def _utc(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError("no created_at")
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class VmList:
    """One page of a list; iterable, indexable, and with a length.

    Attributes:
        items: The computers of this page.
        total: Number of computers on all pages.
    """

    items: tuple[VmSummary, ...]
    total: int

    def __iter__(self) -> Iterator[VmSummary]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> VmSummary: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[VmSummary, ...]: ...
    def __getitem__(self, index: int | slice) -> VmSummary | tuple[VmSummary, ...]:
        return self.items[index]


@dataclass(frozen=True, slots=True)
class Success(Generic[T]):
    """The outcome of one of several operations that succeeded.

    Attributes:
        value: Its return value.
        error: None.
        ok: True.
    """

    value: T
    error: None = None
    ok: ClassVar[Literal[True]] = True

    def get(self) -> T:
        """Return the value."""
        return self.value


@dataclass(frozen=True, slots=True)
class Failure(Generic[E]):
    """The outcome of one of several operations that failed.

    Attributes:
        error: The exception that it raised.
        value: None.
        ok: False.
    """

    error: E
    value: None = None
    ok: ClassVar[Literal[False]] = False

    def get(self) -> NoReturn:
        """Raise the error."""
        raise self.error


Outcome: TypeAlias = Success[T] | Failure[E]
"""The outcome of one of several operations. Type checkers narrow it by `outcome.error is None` and by `outcome.ok`;
`outcome.get()` returns the value or raises the error."""


def expected(outcomes: Iterable[Outcome[T, Exception]]) -> list[Outcome[T, ArkerError]]:
    """Return the outcomes, all of whose errors are ArkerErrors. Raise any other error."""
    known: list[Outcome[T, ArkerError]] = []
    for outcome in outcomes:
        if outcome.error is None:
            known.append(outcome)
        elif isinstance(outcome.error, ArkerError):
            known.append(Failure(outcome.error))
        else:
            raise outcome.error
    return known
