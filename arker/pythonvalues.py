"""What an interpreter in a computer returns, and its form on the wire. Pure; see `_interpreter` for the other side."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Final

from ._io import Buffer
from .errors import ArkerError
from .events import RunInfo
from .results import Texts, Usage

__all__ = ["PythonDisplay", "PythonError", "PythonResult"]

#: Runs the program that comes first on standard input, with the rest of that input.
_LOADER: Final = (
    'import os,sys;sys.version_info<(3,8)and(sys.stderr.write("it needs Python 3.8 or newer\\n"),os._exit(127));'
    'f=open(os.dup(0),"rb");g={"__name__":"arker"};'
    'exec(compile(f.read(%d),"<arker>","exec"),g);g["main"](f)'
)
_LETTER: Final = 1
_LENGTH: Final = 2
#: Exit codes of a shell that could not start a program.
_NOT_STARTED: Final = (126, 127)


@dataclass(frozen=True, slots=True)
class PythonError:
    """An exception of the code, or the end of its process.

    Attributes:
        name: The class of the exception, such as `ZeroDivisionError`; `ProcessEnded` when the process ended.
        message: Its text.
        traceback: The traceback, with the source lines of all calls; empty when the process ended.
        line: The line of the code of this call that raised it, from 1; None if it is not known.
    """

    name: str
    message: str
    traceback: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class PythonDisplay:
    """A picture or a table that a call produced.

    Attributes:
        media_type: `image/png` or `text/html`.
        data: The bytes; HTML is UTF-8.
    """

    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class PythonResult(Texts):
    """The result of a call of an interpreter.

    Attributes:
        stdout: Standard output, byte for byte, up to 16 MiB. It includes what threads and processes of earlier calls
            printed since the last call.
        stderr: The same for standard error.
        value: `repr` of the last expression, at most a million characters; None if the code does not end with one, or
            if its value is None.
        displays: The figures of matplotlib that the call drew, as PNG, and the value of the last expression as HTML or
            PNG if it has such a form, as tables of pandas do: 16 MiB of them together.
        error: The exception that ended the code, or None.
        duration_ms: Its duration, in milliseconds.
        truncated: True when it produced more output or larger displays than are kept.
        timed_out: True when its timeout ended it.
        restarted: True when the variables of earlier calls are gone, because the process ended before or during this
            call; `notes` says why.
        notes: Remarks, one sentence each.
        reason: Why the code ended: `exited`, also by an exception; `timed_out`; or, if its process ended, the `reason`
            of a `RunResult`, such as `out_of_memory`.
        usage: CPU time that the process and the programs that it waited for took during the call; None where it is not
            known, as when the process ended.
    """

    stdout: bytes = b""
    stderr: bytes = b""
    value: str | None = None
    displays: tuple[PythonDisplay, ...] = ()
    error: PythonError | None = None
    duration_ms: float = 0.0
    truncated: bool = False
    timed_out: bool = False
    restarted: bool = False
    notes: tuple[str, ...] = ()
    reason: str | None = "exited"
    usage: Usage = field(default_factory=Usage)

    @property
    def ok(self) -> bool:
        """Whether the code ran to its end without an exception."""
        return self.error is None

    @property
    def pngs(self) -> list[bytes]:
        """The pictures among `displays`."""
        return [display.data for display in self.displays if display.media_type == "image/png"]

    @property
    def html(self) -> str | None:
        """The value of the last expression as HTML, if it has that form."""
        found = [display.data for display in self.displays if display.media_type == "text/html"]
        return found[0].decode() if found else None

    def check(self) -> PythonResult:
        """Return this result if it is `ok`.

        Raises:
            ArkerError: `command_failed`, with the end of the traceback in its message.
        """
        if self.error is None:
            return self
        what = self.error.traceback.strip()[-1000:] or f"{self.error.name}: {self.error.message}"
        raise ArkerError("command_failed", what, processed="yes")


def program() -> bytes:
    """Return the program of the interpreter."""
    return files("arker").joinpath("_interpreter.py").read_bytes()


def command(executable: str, program: bytes, cwd: str | None, env: Mapping[str, str] | None) -> str:
    """Return the command that runs the program, which comes first on its standard input."""
    change = "" if cwd is None else f"cd -- {shlex.quote(cwd)} || exit {_NOT_STARTED[-1]}; "
    variables = [f"{name}={value}" for name, value in (env or {}).items()]
    # In place of its shell, which would report its death on standard error.
    words = ["env", *variables, executable, "-X", "utf8", "-c", _LOADER % len(program)]
    return f"{change}exec {shlex.join(words)}"


def call_frame(
    nonce: bytes, number: int, code: str, timeout: float | None, idle: float | None, interrupted: bool
) -> bytes:
    """Encode a call; `interrupted` says whether an interrupt was sent since the last one."""
    fields = {
        "nonce": nonce.hex(),
        "number": number,
        "code": code,
        "timeout": timeout,
        "idle": idle,
        "interrupted": interrupted,
    }
    body = json.dumps(fields).encode()
    return len(body).to_bytes(4, "little") + body


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the interpreter: `P` a part of the answer, `E` the end of a call."""

    letter: bytes
    data: bytes


class Records:
    """Separates the records of one stream from the output between them, in pieces of any size."""

    def __init__(self, nonce: bytes) -> None:
        self._nonce = nonce
        self._head = len(nonce) + _LETTER + _LENGTH
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[bytes | Record]:
        """Return the output and the records that are complete now, in order."""
        data, at = self._rest + piece, 0
        while (found := data.find(self._nonce, at)) >= 0:
            if found > at:
                yield data[at:found]
            at = found
            begin = found + self._head
            if len(data) < begin:
                break
            end = begin + int.from_bytes(data[begin - _LENGTH : begin], "little")
            if len(data) < end:
                break
            letter = found + len(self._nonce)
            yield Record(data[letter : letter + _LETTER], data[begin:end])
            at = end
        else:
            # The end of the piece may be the beginning of a nonce.
            longest = min(len(self._nonce) - 1, len(data) - at)
            kept = next((size for size in range(longest, 0, -1) if data.endswith(self._nonce[:size])), 0)
            if len(data) - kept > at:
                yield data[at : len(data) - kept]
            at = len(data) - kept
        self._rest = data[at:]

    def end(self) -> bytes:
        """Return the output that was withheld, when no more comes."""
        rest, self._rest = self._rest, b""
        return b"" if rest.startswith(self._nonce) else rest


def answer(data: Buffer) -> dict[str, Any]:
    """Decode the answer to a call, as fields of `PythonResult`. Raises ArkerError."""
    try:
        fields = json.loads(bytes(data))
        error = fields["error"]
        return {
            "value": fields["value"],
            "error": None if error is None else PythonError(**error),
            "displays": tuple(
                PythonDisplay(str(kind), base64.b64decode(content)) for kind, content in fields["shown"]
            ),
            "duration_ms": float(fields["seconds"]) * 1000,
            "truncated": fields["omitted"] > 0,
            "usage": Usage(cpu_seconds=float(fields["cpu"]), exact=True),
        }
    except (LookupError, TypeError, ValueError, AttributeError) as failure:
        message = "the interpreter sent no answer that can be read"
        raise ArkerError("internal", message, processed="maybe") from failure


def never_began(info: RunInfo, executable: str, stderr: bytes) -> ArkerError | None:
    """Return the error of an interpreter that did not start; None if it did."""
    if info.exit_code not in _NOT_STARTED:
        return None
    detail = stderr.decode("utf-8", "replace").strip()[-300:]
    return ArkerError("command_not_found", f"{executable} does not start: {detail}", processed="no")


def ending(info: RunInfo) -> str:
    """Say how the process of an interpreter ended."""
    code = info.exit_code
    if info.reason == "cancelled":
        how = "was ended"
    elif info.reason == "out_of_memory":
        how = "ran out of memory"
    elif code is not None and code > 128 and info.reason != "exited":
        how = f"was killed by signal {code - 128}"
    elif code is None:
        how = f"is gone ({info.reason})"
    else:
        how = f"ended with exit code {code}"
    return f"The process {how}; its variables are lost."
