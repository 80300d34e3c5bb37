"""A command to run, and how, as a checked value. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .config import check_seconds

__all__ = ["Command", "check_session", "command_line", "command_of"]

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Command:
    """A command to run.

    Attributes:
        line: The line for the shell.
        session_id: The session to run it in; None for one of its own.
        timeout: Longest time that it may run, in seconds; None for no limit.
        cwd: Absolute path of its folder, if it is not that of the session.
        env: Variables for it alone.
    """

    line: str
    session_id: str | None = None
    timeout: float | None = None
    cwd: str | None = None
    #: Not in the repr, as values may be secret.
    env: Mapping[str, str] | None = field(default=None, repr=False)

    def fields(self) -> dict[str, Any]:
        """The fields of a request for it."""
        given = {
            "session_id": self.session_id,
            "timeout": self.timeout,
            "cwd": self.cwd,
            "env": None if self.env is None else dict(self.env),
        }
        return {"command": self.line, **{name: value for name, value in given.items() if value is not None}}

    def in_a_subshell(self) -> str:
        """The line, for a deployment that has neither folders nor variables of single commands."""
        if self.cwd is None and self.env is None:
            return self.line
        steps = [] if self.cwd is None else [f"cd -- {shlex.quote(self.cwd)}"]
        steps += [f"export {name}={shlex.quote(value)}" for name, value in (self.env or {}).items()]
        return f"( {' && '.join(steps) or ':'} || exit; eval {shlex.quote(self.line)} )"


def command_of(
    command: str | Sequence[str],
    session_id: str | int | None,
    timeout: float | None,
    cwd: str | None,
    env: Mapping[str, str] | None,
) -> Command:
    """Check the arguments of a call, and return the command. Raises TypeError, ValueError, ArkerError."""
    # Imported on first use: a plain `run` needs no more of this module than its checks.
    from .filevalues import remote_path

    check_session(session_id)
    for name, value in (env or {}).items():
        if not isinstance(name, str):
            raise TypeError(f"env has names that are str, not {type(name).__name__}")
        if not isinstance(value, str):
            raise TypeError(f"env[{name!r}] is a str, not {type(value).__name__}"[:200])
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a variable")
    return Command(
        command_line(command),
        None if session_id is None else str(session_id),
        None if timeout is None else check_seconds("timeout", timeout),
        None if cwd is None else remote_path(cwd),
        env,
    )


def check_session(session_id: str | int | None) -> None:
    """Raise TypeError or ValueError for what cannot name a session."""
    if isinstance(session_id, bool) or not isinstance(session_id, (str, int, type(None))):
        raise TypeError(f"session_id is a str or an int, not {type(session_id).__name__}")
    if session_id == "":
        raise ValueError("session_id is empty; leave it out for the default")


def command_line(command: str | Sequence[str]) -> str:
    """Return the line for the shell: a str unchanged; a list of arguments quoted, so that none is split.

    Raises TypeError, ValueError.
    """
    if isinstance(command, str):
        return command
    if not isinstance(command, Sequence) or isinstance(command, (bytes, bytearray, memoryview)):
        raise TypeError(f"command is a str or a list of str, not {type(command).__name__}")
    arguments = list(command)
    for number, argument in enumerate(arguments):
        if not isinstance(argument, str):
            # Not the argument itself, which may be secret.
            raise TypeError(f"command[{number}] is a str, not {type(argument).__name__}")
    if not arguments:
        raise ValueError("command is an empty list")
    return shlex.join(arguments)
