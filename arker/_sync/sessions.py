# Derived from arker/_async/sessions.py by `make generate`; do not edit.
"""Sessions: persistent shells with handles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

from arker_api.v03.api.sessions import create_session, delete_session, get_session, list_sessions
from arker_api.v03.models import CreateSessionRequest
from arker_api.v03.types import UNSET, Unset

from arker._io_sync import opening
from arker.errors import ArkerError
from arker.filevalues import remote_path
from arker.hooks import leaving
from arker.ids import new_ulid
from arker.info import SessionInfo, given, session_info
from arker.operations import Operation, same
from arker.results import RunResult

from .v03 import ask

if TYPE_CHECKING:
    from .computer import Computer
    from .feeding import Stdin
    from .runs import Callback, Run, RunStream
    from .terminal import Terminal

T = TypeVar("T")
R = TypeVar("R")

#: The session that a deployment of your own always has.
_DEFAULT: Final = "0"
#: Sessions per page.
_PAGE: Final = 1000


class Session:
    """A session: a shell that keeps its folder, variables and functions from one command to the next. Made by
    `computer.session()`; found again by `computer.get_session()`. A with-statement closes it at its end."""

    __slots__ = ("_closed", "_computer", "_cwd", "_env", "_info")

    def __init__(
        self,
        computer: Computer,
        info: SessionInfo,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._computer = computer
        self._info = info
        self._cwd = cwd
        self._env = env
        self._closed = False

    @property
    def id(self) -> str:
        """The id; the `session_id` of `computer.run()`."""
        return self._info.session_id

    @property
    def info(self) -> SessionInfo:
        """The last known state of the session; `refresh()` updates it."""
        return self._info

    @property
    def computer(self) -> Computer:
        """The computer that it is in."""
        return self._computer

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r}, {self._info.state})"

    def refresh(self) -> SessionInfo:
        """Ask the deployment for the state of the session; return it.

        Raises:
            ArkerError: `not_found` when it does not exist, and any other failure.
        """
        vm_id = self._computer.id
        parts = get_session.build(vm_id, self.id)
        self._info = _ask(self._computer, get_session, parts, session_info)
        return self._info

    def run(
        self,
        command: str | Sequence[str],
        *,
        timeout: float | None = None,
        on_stdout: Callback | None = None,
        on_stderr: Callback | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: Stdin | None = None,
    ) -> RunResult:
        """Run a command in this session and wait for its end; see `computer.run()`.

        Args:
            command: A line for the shell; a list of arguments is quoted for it.
            timeout: Longest time that the command may run, in seconds.
            on_stdout: Called with each piece of standard output while the command runs.
            on_stderr: The same for standard error.
            cwd: Its folder, for this command only.
            env: Variables, for this command only.
            stdin: Its input: bytes, text, a file or an iterable of bytes or text.

        Raises:
            ArkerError: `vm_busy` when the session already runs a command, `invalid_state` when it was closed, and any
                other failure.
            TypeError, ValueError: for arguments of the wrong kind.
        """
        return self._computer.run(
            command,
            session_id=self._usable(),
            timeout=timeout,
            on_stdout=on_stdout,
            on_stderr=on_stderr,
            cwd=cwd,
            env=env,
            stdin=stdin,
        )

    @opening
    def stream(
        self,
        command: str | Sequence[str],
        *,
        timeout: float | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: Stdin | None = None,
    ) -> RunStream:
        """Start a command in this session and return its output as it arrives; see `computer.stream()`.

        Args:
            command: A line for the shell; a list of arguments is quoted for it.
            timeout: Longest time that the command may run, in seconds.
            cwd: Its folder, for this command only.
            env: Variables, for this command only.
            stdin: Its input: bytes, text, a file or an iterable of bytes or text.

        Raises:
            ArkerError: `vm_busy` when the session already runs a command, `invalid_state` when it was closed, and any
                other failure.
            TypeError, ValueError: for arguments of the wrong kind.
        """
        return self._computer.stream(
            command, session_id=self._usable(), timeout=timeout, cwd=cwd, env=env, stdin=stdin
        )

    def start(
        self,
        command: str | Sequence[str],
        *,
        timeout: float | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
    ) -> Run:
        """Start a command in this session, which is busy until it ends, and return at once; see `computer.start()`.

        Args:
            command: A line for the shell; a list of arguments is quoted for it.
            timeout: Longest time that the command may run, in seconds.
            cwd: Its folder, for this command only.
            env: Variables, for this command only.
            stdin: Whether `run.write()` provides its input.

        Raises:
            ArkerError: `vm_busy` when the session already runs a command, `invalid_state` when it was closed, and any
                other failure.
            TypeError, ValueError: for arguments of the wrong kind.
        """
        return self._computer.start(
            command, session_id=self._usable(), timeout=timeout, cwd=cwd, env=env, stdin=stdin
        )

    @opening
    def terminal(
        self,
        *,
        columns: int = 80,
        rows: int = 24,
        command: str | None = None,
        persist: bool = True,
        idle: float | None = None,
    ) -> Terminal:
        """Attach to the terminal of this session; see `computer.terminal()`.

        Args:
            columns: Width of the window, 1 to 1000.
            rows: Height of the window, 1 to 1000.
            command: Path of a program to run in place of a shell.
            persist: False to end the terminal when this attachment ends.
            idle: Seconds without an attached client after which the terminal ends. Default: never.

        Raises:
            ArkerError: any failure.
            ImportError: without `wsproto`.
            TypeError, ValueError: for arguments of the wrong kind.
        """
        return self._computer.terminal(
            session_id=self._usable(), columns=columns, rows=rows, command=command, persist=persist, idle=idle
        )

    def reset(self) -> None:
        """End everything that runs in the session and forget its folder, variables, functions and options. It begins
        again with the folder and variables that it was made with.

        A deployment other than your own makes a new session instead, with another `id`.

        Raises:
            ArkerError: `not_found` when it does not exist, and any other failure.
        """
        try:
            self._info = _reset(self._computer, self.id)
        except ArkerError as error:
            if not error._unknown_path:
                raise
            self.close()
            self._info = (make_session(self._computer, cwd=self._cwd, env=self._env)).info
            self._closed = False

    def close(self) -> None:
        """End everything that runs in the session, and delete it; the default session begins again instead. Ignored
        when it does not exist any more.

        Raises:
            ArkerError: any failure.
        """
        vm_id = self._computer.id
        self._computer._client._speaks.sessions.get(vm_id, set()).discard(self.id)
        try:
            _ask(self._computer, delete_session, delete_session.build(vm_id, self.id), same)
        except ArkerError as error:
            if error.code != "not_found":
                raise
        self._closed = self.id != _DEFAULT

    def _usable(self) -> str:
        """The id. A deployment of your own would begin a new session under that of a closed one. Raises ArkerError."""
        if self._closed:
            raise ArkerError("invalid_state", f"the session {self.id} was closed", processed="no")
        return self.id

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with leaving(error, f"session {self.id} was not closed"):
            self.close()


def make_session(computer: Computer, *, cwd: str | None, env: Mapping[str, str] | None) -> Session:
    """Make a session. Raises ArkerError."""
    vm_id = computer.id
    folder = None if cwd is None else remote_path(cwd)
    body = CreateSessionRequest.from_dict({"env": None if env is None else dict(env), "cwd": folder})
    parts = create_session.build(vm_id, body=body)
    # The contract has no key here. The embedded deployment honours it; others ignore it.
    parts["headers"]["Idempotency-Key"] = new_ulid()
    info = _ask(computer, create_session, parts, session_info)
    return _handle(computer, info, cwd, env)


def find_session(computer: Computer, session_id: str | int) -> Session:
    """Return a session by its id. Raises ArkerError."""
    vm_id = computer.id
    parts = get_session.build(vm_id, str(session_id))
    info = _ask(computer, get_session, parts, session_info)
    return _handle(computer, info)


def all_sessions(computer: Computer) -> list[Session]:
    """Return the sessions of a computer. Raises ArkerError."""
    vm_id = computer.id
    found: list[Session] = []
    cursor: str | Unset = UNSET
    while True:
        parts = list_sessions.build(vm_id, cursor=cursor, limit=_PAGE)
        page = _ask(computer, list_sessions, parts, same)
        found += [_handle(computer, session_info(session)) for session in page.sessions]
        following = given(page.next_cursor, str)
        if following is None:
            return found
        cursor = following


def _handle(
    computer: Computer,
    info: SessionInfo,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Session:
    # Over contract 0.3, `run` takes this id for itself, not for a name.
    computer._client._speaks.sessions.setdefault(computer._id, set()).add(info.session_id)
    return Session(computer, info, cwd=cwd, env=env)


def _ask(
    computer: Computer, operation: Operation[..., T], parts: dict[str, Any], convert: Callable[[T], R]
) -> R:
    client = computer._client
    return ask(client, client._budget(None), operation, parts, convert)


def _reset(computer: Computer, session_id: str) -> SessionInfo:
    client = computer._client
    path = f"vms/{computer._segment}/sessions/{quote(session_id, safe='')}/reset"
    request = client._pipeline.local_request("post", path, client._timeouts)
    return client._pipeline.ask(
        client._budget(None), request, lambda body: session_info(get_session.parse(body))
    )
