"""Computers: fork, run, delete."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, overload
from urllib.parse import quote

from arker_api.regional.api.computers import delete_vm, fork_vm
from arker_api.regional.api.runs import run_command
from arker_api.regional.models import ForkRequest, ForkResponse, RunRequest

from arker._http._async.pipeline import Budget
from arker._io_async import CANCELLED, async_opening, async_shielded
from arker.commands import check_session, command_line, command_of
from arker.config import check_seconds
from arker.errors import ArkerError
from arker.hooks import leaving, logger
from arker.ids import new_ulid
from arker.operations import Operation, same, with_local_fields
from arker.results import Outcome, RunResult, expected, run_result

from .cancelling import Running, cancelled_with
from .gather import async_gather

if TYPE_CHECKING:
    import os

    from arker_api.control.models import ForkResponse as ForkByNameResponse

    from arker.info import ComputerInfo

    from .client import AsyncArker
    from .feeding import AsyncStdin
    from .files.api import AsyncFiles
    from .files.path import AsyncComputerPath
    from .files.sync import AsyncSync
    from .ports import AsyncPort
    from .python import AsyncPython
    from .runs import AsyncRun, AsyncRunStream, Callback
    from .sessions import AsyncSession
    from .terminal import AsyncTerminal

#: How many forks of one computer are in progress at a time.
_AT_A_TIME = 16
#: Seconds that forks in progress get to end when their call is interrupted, so that their children can be
#: deleted; and seconds for each of these deletions.
_DRAIN = 5.0
_ELSEWHERE = (
    "contract 0.3 forks in the region of the host (`Arker(provider=, region=)` chooses it): leave out region="
)


class AsyncComputer:
    """A computer; made by `client.vm()` and `fork()`.

    It holds no state but its id or name: two handles with the same one and the same deployment are equal. A
    with-statement deletes the computer at its end.
    """

    __slots__ = ("_by_id", "_client", "_id")

    def __init__(self, client: AsyncArker, id: str, *, by_id: bool = True) -> None:
        self._client = client
        self._id = id
        self._by_id = by_id

    @property
    def id(self) -> str:
        """The id, or the name that the handle was made with."""
        return self._id

    @property
    def sync(self) -> AsyncSync:
        """The files that contract 0.1 serves, those below `/home/user/` and of up to 100 MB each."""
        # Imported on first use: it takes a quarter of the import time.
        from .files.sync import AsyncSync

        return AsyncSync(self._client, self._id)

    @property
    def files(self) -> AsyncFiles:
        """The files, folders and trees of this computer, at any path and of any size."""
        # Imported on first use: many programs do not need it.
        from .files.api import AsyncFiles

        return AsyncFiles(self)

    def path(self, path: str | bytes | os.PathLike[str]) -> AsyncComputerPath:
        """Return a path in this computer, which has the methods of `pathlib.Path`.

        Args:
            path: Relative to the home folder, unless it is absolute.

        Raises:
            ArkerError: `bad_request` if the path is empty or has a NUL character, or if the computer is known by a name
                only.
        """
        from .files.path import AsyncComputerPath

        return AsyncComputerPath(self.files, path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._id!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AsyncComputer):
            return NotImplemented
        return (self._id, self._client._deployment) == (other._id, other._client._deployment)

    def __hash__(self) -> int:
        return hash((self._id, self._client._deployment))

    @property
    def _segment(self) -> str:
        """The id or name as a segment of a path."""
        return quote(self._id, safe="")

    @overload
    @async_opening
    async def fork(
        self,
        *,
        name: str | None = None,
        is_public: bool = False,
        region: str | None = None,
        timeout: float | None = None,
    ) -> AsyncComputer: ...

    @overload
    @async_opening
    async def fork(
        self,
        *,
        count: int,
        name: str | None = None,
        is_public: bool = False,
        region: str | None = None,
        timeout: float | None = None,
    ) -> AsyncBranches: ...

    @async_opening
    async def fork(
        self,
        *,
        count: int | None = None,
        name: str | None = None,
        is_public: bool = False,
        region: str | None = None,
        timeout: float | None = None,
    ) -> AsyncComputer | AsyncBranches:
        """Make a new computer with the files of this one, in constant time.

        Args:
            count: How many to make; default one. With a count, an `AsyncBranches` with an outcome for each is
                returned.
            name: Its name; with a count, `-0`, `-1` ... are added.
            is_public: Whether other organizations may fork the child.
            region: Where to make it; default the region of the parent. Over contract 0.3 it is the region of the
                client's host, and none can be given.
            timeout: Longest time for each call, in seconds; default `Timeouts.total`.

        Raises:
            ArkerError: `not_found`, `forbidden`, `quota_exceeded` ...; with a count, failures are in the
                outcomes.
            ValueError: for a count below 1.
        """
        if count is None:
            return await self._fork(name, is_public, region, timeout)
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"count is 1 or more, not {count!r}")
        made: list[AsyncComputer] = []

        async def one(name: str | None) -> AsyncComputer:
            child = await self._fork(name, is_public, region, timeout)
            made.append(child)
            return child

        names = [None if name is None else f"{name}-{n}" for n in range(count)]
        try:
            jobs = [functools.partial(one, name) for name in names]
            return AsyncBranches(expected(await async_gather(jobs, _AT_A_TIME, drain=_DRAIN)))
        except BaseException:
            # Interrupted: no caller receives the computers that were made.
            await _delete_all(made, timeout=_DRAIN)
            raise

    async def _fork(
        self, name: str | None, is_public: bool, region: str | None, timeout: float | None
    ) -> AsyncComputer:
        client = self._client
        key = new_ulid()

        def child(response: ForkResponse | ForkByNameResponse) -> AsyncComputer:
            if not isinstance(response.vm_id, str) or not response.vm_id:
                raise TypeError("no vm_id")
            return AsyncComputer(client, response.vm_id)

        operation: Operation[..., ForkResponse | ForkByNameResponse]
        wanted = {field: value for field, value in (("name", name), ("region", region)) if value is not None}
        if self._by_id:
            operation = fork_vm
            parts = fork_vm.build(self._id, body=ForkRequest(is_public, **wanted), idempotency_key=key)
        else:
            # Imported on first use, as is all that only some programs need: `import` should be cheap.
            from arker_api.control.api.computers import fork_by_name
            from arker_api.control.models import ForkByNameRequest

            operation = fork_by_name
            by_name = ForkByNameRequest(self._id, is_public, **wanted)
            parts = fork_by_name.build(body=by_name, idempotency_key=key)

        async def fork(budget: Budget) -> AsyncComputer:
            async def old() -> AsyncComputer:
                return await client._pipeline.operate(budget, client._timeouts, operation, parts, child)

            async def new() -> AsyncComputer:
                from .v03 import fork_of

                if region is not None:
                    raise ArkerError("unsupported_operation", _ELSEWHERE)
                made = await fork_of(client, budget, self._id, name, is_public, key)
                return AsyncComputer(client, made)

            return await client._either(operation.HOST, old, new)

        async def undo() -> None:
            # The same key returns the child, if one was made.
            try:
                made = await fork(Budget(client._policy, _DRAIN / 2))
                await made.delete(timeout=_DRAIN / 2)
            except ArkerError as error:
                logger.warning("a fork of %s was cancelled, and may have been made: %s", self._id, error)

        try:
            return await fork(client._budget(timeout))
        except CANCELLED:
            # No caller receives the child.
            if client._policy.resend:
                await async_shielded(undo, _DRAIN)
            else:
                logger.warning(
                    "a fork of %s was cancelled, and may have been made, %s",
                    self._id,
                    f"under the name {name!r}" if name is not None else f"for the Idempotency-Key {key}",
                )
            raise

    async def run(
        self,
        command: str | Sequence[str],
        *,
        session_id: str | int | None = None,
        timeout: float | None = None,
        on_stdout: Callback | None = None,
        on_stderr: Callback | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: AsyncStdin | None = None,
    ) -> RunResult:
        """Run a shell command and wait for its end. A non-zero exit code is a result, not an error.

        Cancelling the call (Ctrl-C, a cancelled task, closing the client) also ends the command, if the deployment
        can do that; it takes at most a second.

        The command runs at most once: if the connection breaks after it may have started, the call raises an error
        with `processed="maybe"` and does not run it again; see `RetryPolicy`.

        `on_stdout`, `on_stderr`, `cwd` and `env` need contract 0.3, where output comes by polling, or a deployment of
        your own; `stdin` needs the latter. Others raise `unsupported_operation`.

        Args:
            command: A line for the shell; a list of arguments is quoted for it.
            session_id: The session to run it in: a persistent shell with its own folder, variables and functions.
                Default: session 0. A new name makes a new session.
            timeout: Longest time that the command may run, in seconds; then it is killed (`completed` False, exit code
                124). Rounded up to a whole second, unless callbacks, `cwd`, `env` or `stdin` are given and the
                deployment is your own. Default: no limit, but the call waits for at most `Timeouts.run`.
            on_stdout: Called with each piece of standard output while the command runs. An exception in it ends the
                command and the call.
            on_stderr: The same for standard error.
            cwd: Its folder, for this command only, which then runs in a subshell of the session. A relative path, and
                `~`, start at the home folder.
            env: Variables, for this command only, as with `cwd`.
            stdin: Its input: bytes, text, a file or an iterable of bytes or text, read as fast as the command reads.
                What reading it raises ends the command. Default: none.

        Raises:
            ArkerError: `vm_busy` when the session already runs a command, `bad_request` when there is no such `cwd`
                (over contract 0.3 alone, that is exit code 1), `not_found`, `timeout` when no answer came within the
                command's limit plus `Timeouts.read`, and any other failure.
            TypeError, ValueError: for arguments of the wrong kind.
        """
        client = self._client
        streams = on_stdout is not None or on_stderr is not None or stdin is not None
        if streams or cwd is not None or env is not None:
            async with await self.stream(
                command, session_id=session_id, timeout=timeout, cwd=cwd, env=env, stdin=stdin
            ) as stream:
                return await stream.collect(on_stdout, on_stderr)
        check_session(session_id)
        command = command_line(command)
        timeouts = client._timeouts
        body = RunRequest(command, 0 if session_id is None else session_id)
        limit = timeouts.run
        if timeout is not None:
            body.timeout = limit = math.ceil(check_seconds("timeout", timeout))
        run = Running(self, command, new_ulid())
        parts = with_local_fields(run_command.build(self._id, body=body, idempotency_key=run.key))
        longest = limit + timeouts.read
        budget = Budget(client._policy, longest + timeouts.total)

        async def old() -> RunResult:
            return await client._pipeline.operate(
                budget, timeouts, run_command, parts, run_result, read=longest
            )

        async def new() -> RunResult:
            from .v03 import run_in

            seconds = None if timeout is None else math.ceil(timeout)
            return await run_in(client, budget, run, session_id or 0, seconds)

        return await cancelled_with(client, run, functools.partial(client._either, "regional", old, new))

    @async_opening
    async def stream(
        self,
        command: str | Sequence[str],
        *,
        session_id: str | int | None = None,
        timeout: float | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: AsyncStdin | None = None,
    ) -> AsyncRunStream:
        """Start a shell command, and return an iterable of its output as it arrives.

        `async with computer.stream(...) as stream` ends the command when its block is left early, by an
        exception, a timeout or otherwise; so does `stream.aclose()`. Without them the command continues if nobody
        reads. `start()` is for commands that continue. Needs contract 0.3, where output comes by polling, or your own
        deployment.

        Args:
            command: A line for the shell; a list of arguments is quoted for it.
            session_id: The session to run it in; default is session 0.
            timeout: Longest time that the command may run, in seconds; over contract 0.3 alone rounded up to a whole
                second. Default: no limit.
            cwd: Its folder, for this command only, which then runs in a subshell of the session. A relative path, and
                `~`, start at the home folder.
            env: Variables, for this command only, as with `cwd`.
            stdin: Its input: bytes, text, a file or an iterable of bytes or text, read as fast as the command reads.
                What reading it raises ends the command. Default: none.

        Raises:
            ArkerError: `vm_busy` when the session already runs a command, `bad_request` when there is no such `cwd`,
                and any other failure.
            TypeError, ValueError: for arguments of the wrong kind.
        """
        from .runs import open_run

        where = 0 if session_id is None else session_id
        return await open_run(self, command_of(command, where, timeout, cwd, env), stdin)

    async def start(
        self,
        command: str | Sequence[str],
        *,
        session_id: str | int | None = None,
        timeout: float | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
    ) -> AsyncRun:
        """Start a shell command and return at once. The run continues until it ends or is cancelled; meanwhile its
        computer does not stop by itself. Cancelling this call before it returned ends the command, as in `run()`. Needs
        contract 0.3 or your own deployment.

        Args:
            command: A line for the shell; a list of arguments is quoted for it.
            session_id: The session to run it in, which is busy until the run ends. Default: a new session, which
                starts with the state of session 0 and leaves that one free; over contract 0.3 alone it starts
                without.
            timeout: Longest time that the command may run, in seconds; over contract 0.3 alone rounded up to a whole
                second. Default: no limit.
            cwd: Its folder, for this command only, which then runs in a subshell of the session. A relative path, and
                `~`, start at the home folder.
            env: Variables, for this command only, as with `cwd`.
            stdin: Whether `run.write()` gives it input; otherwise its input is empty.

        Raises:
            ArkerError: `vm_busy` when the session already runs a command, `bad_request` when there is no such `cwd`,
                and any other failure.
            TypeError, ValueError: for arguments of the wrong kind.
        """
        from .runs import start_run

        return await start_run(self, command_of(command, session_id, timeout, cwd, env), stdin=stdin)

    async def runs(self, *, running: bool | None = None, limit: int = 100) -> list[AsyncRun]:
        """Return the runs started by `start()` and `stream()`, newest first. The deployment keeps the last 1100 of a
        computer that ended, with up to 1 GiB of their output together.

        Args:
            running: True for only those still running, False for only those that ended; default both.
            limit: Most runs to return, up to 1000.

        Raises:
            ArkerError: any failure.
        """
        from .runs import list_runs

        return await list_runs(self, running, limit)

    async def get_run(self, run_id: str) -> AsyncRun:
        """Return a run by its id, from any process.

        Args:
            run_id: Its id.

        Raises:
            ArkerError: `not_found`.
            ValueError: for an invalid id.
        """
        from .runs import find_run

        return await find_run(self, run_id)

    @overload
    async def wait_for(
        self, *, output: str | re.Pattern[str], run: AsyncRun, timeout: float = 60.0
    ) -> re.Match[str]: ...

    @overload
    async def wait_for(self, *, port: int, run: AsyncRun | None = None, timeout: float = 60.0) -> None: ...

    @overload
    async def wait_for(self, *, path: str, run: AsyncRun | None = None, timeout: float = 60.0) -> None: ...

    async def wait_for(
        self,
        *,
        port: int | None = None,
        path: str | None = None,
        output: str | re.Pattern[str] | None = None,
        run: AsyncRun | None = None,
        timeout: float = 60.0,
    ) -> re.Match[str] | None:
        """Wait until a server accepts connections, a path exists, or a run has written something.

        Args:
            port: The port of the server.
            path: The path.
            output: Text or a pattern to find in a line of standard output or standard error of `run`, from its start;
                the match is returned. A line that is not complete is searched, too.
            run: The run that should do this; if it ends first, this raises `command_failed`.
            timeout: Longest time to wait, in seconds; the run continues afterwards.

        Raises:
            ArkerError: `timeout`; `command_failed` when the run ended before, with its result as `result`; any other
                failure.
            TypeError: unless exactly one of `port`, `path` and `output` is given, or for `output` without `run`.
        """
        from .waiting import wait_for_output, wait_until

        if sum(wanted is not None for wanted in (port, path, output)) != 1:
            raise TypeError("wait_for takes one of port, path and output")
        if output is not None:
            if run is None:
                raise TypeError("output= needs run=")
            return await wait_for_output(run, output, timeout)
        if port is not None:
            await self.port(port).wait(run=run, timeout=timeout)
        if path is not None:
            await wait_until(functools.partial(self.files.exists, path), f"a file {path!r}", timeout, run)
        return None

    async def healthy(self, *, timeout: float = 30.0) -> bool:
        """Whether the deployment can run a command in it now. False after a failure means that the deployment probably
        caused it, and not the command; True says nothing about the cause.

        Args:
            timeout: Longest time for the command to start and end, in seconds.

        Raises:
            ArkerError: what is not a failure of the deployment: `not_found`, `unauthorized`, `quota_exceeded` ...;
                `conflict` when the computer has broken its own system.
        """
        from .waiting import healthy

        return await healthy(self, timeout)

    @async_opening
    async def terminal(
        self,
        *,
        session_id: str | int | None = None,
        columns: int = 80,
        rows: int = 24,
        command: str | None = None,
        persist: bool = True,
        idle: float | None = None,
    ) -> AsyncTerminal:
        """Attach to the terminal of a session, making it if there is none. The last 256 KiB of its output come first.
        Another client that was attached is detached. Needs `wsproto`.

        Args:
            session_id: The session; the terminal's shell starts with its state, and does not change it. Default: 0.
            columns: Width of the window, 1 to 1000.
            rows: Height of the window, 1 to 1000.
            command: Path of a program to run in place of a shell.
            persist: False to end the terminal when this attachment ends.
            idle: Seconds without an attached client after which the terminal ends. Default: never.

        Raises:
            ArkerError: `not_found`, `quota_exceeded`, `bad_request` for any other size, and any other failure.
            ImportError: without `wsproto`.
            TypeError, ValueError: for arguments of the wrong kind.
        """
        from .terminal import open_terminal

        check_session(session_id)
        where = 0 if session_id is None else session_id
        return await open_terminal(
            self, session_id=where, columns=columns, rows=rows, command=command, persist=persist, idle=idle
        )

    @async_opening
    async def session(self, *, cwd: str | None = None, env: Mapping[str, str] | None = None) -> AsyncSession:
        """Make a session: a persistent shell with its own folder, variables and functions.

        Args:
            cwd: Its first folder; a relative path, and `~`, start at the home folder. Default: the home folder.
            env: Its first variables, exported.

        Raises:
            ArkerError: `bad_request` when there is no such folder, `quota_exceeded`, `unsupported_operation` where
                only contract 0.1 is served, and any other failure.
        """
        from .sessions import make_session

        return await make_session(self, cwd=cwd, env=env)

    async def sessions(self) -> list[AsyncSession]:
        """Return its sessions; the default one, `0`, is always among them.

        Raises:
            ArkerError: any failure.
        """
        from .sessions import all_sessions

        return await all_sessions(self)

    async def get_session(self, session_id: str | int = 0) -> AsyncSession:
        """Return a session by its id, from any process.

        Args:
            session_id: Its id; default 0, the session that `run()` uses.

        Raises:
            ArkerError: `not_found`, and any other failure.
        """
        from .sessions import find_session

        return await find_session(self, session_id)

    def port(self, number: int) -> AsyncPort:
        """Return a handle of a port, to reach a server inside. Sends no request.

        Args:
            number: From 1 to 65535.

        Raises:
            ValueError: for any other number.
        """
        from .ports import AsyncPort

        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 65535:
            raise ValueError(f"a port is a number from 1 to 65535, not {number!r}")
        return AsyncPort(self, number)

    def python(
        self,
        *,
        executable: str = "python3",
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        idle: float | None = 3600.0,
    ) -> AsyncPython:
        """Return a Python interpreter that keeps its variables from call to call. Sends no request: its process starts
        with the first call, in a session of its own. Needs your own deployment, and Python 3.8 or newer in the
        computer.

        Args:
            executable: Name or path of its Python, such as that of a virtual environment.
            cwd: Its folder; a relative path, and `~`, start at the home folder. Default: the folder of session 0.
            env: Variables beside those of session 0.
            idle: Seconds without a call after which its process ends; until then its computer does not stop by itself.
                None for never.

        Raises:
            ValueError: for a negative `idle`.
        """
        from arker.filevalues import remote_path

        from .python import AsyncPython

        limit = None if idle is None else check_seconds("idle", idle)
        return AsyncPython(self, executable, None if cwd is None else remote_path(cwd), env, limit)

    async def delete(self, *, timeout: float | None = None) -> None:
        """Delete the computer: end its processes and remove its files. Its forks stay.

        Args:
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total`.

        Raises:
            ArkerError: `not_found` when it does not exist, unless an earlier try of this call may have deleted it.
        """
        client = self._client
        parts = delete_vm.build(self._id)
        budget = client._budget(timeout)
        try:
            await client._pipeline.operate(budget, client._timeouts, delete_vm, parts, same)
        except ArkerError as error:
            # An earlier try without an answer has deleted it.
            if error.code != "not_found" or not budget.doubtful:
                raise
        client._speaks.sessions.pop(self._id, None)

    async def info(self, *, timeout: float | None = None) -> ComputerInfo:
        """Return its id, name, state, parent, sessions, description, resources and so on.

        Args:
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total`.

        Raises:
            ArkerError: `not_found`, and any other failure.
        """
        from .v03 import info_of

        return await info_of(self._client, self._client._budget(timeout), self._id)

    async def update(self, *, description: str | None, timeout: float | None = None) -> ComputerInfo:
        """Change the description.

        Args:
            description: At most 1024 characters; None removes it.
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total`.

        Raises:
            ArkerError: `not_found`, and any other failure.
        """
        from .v03 import describe

        return await describe(self._client, self._client._budget(timeout), self._id, description)

    async def rename(self, name: str, *, timeout: float | None = None) -> None:
        """Change the name. A handle that was made with the old name does not follow.

        Args:
            name: Its new name, 1 to 128 characters, which no other computer of the organization has.
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total`.

        Raises:
            ArkerError: `already_exists`, `not_found`, `unsupported_operation` on a deployment that is not your own, and
                any other failure.
        """
        from .lifecycle import rename

        await rename(self, self._client._budget(timeout), name)

    async def stop(self, *, timeout: float | None = None) -> None:
        """End everything that runs in it. Files and the state of idle sessions stay, and the next use starts it again.
        An idle computer stops by itself.

        Args:
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total`.

        Raises:
            ArkerError: `not_found`, `unsupported_operation` on a deployment that is not your own, ...
        """
        from .lifecycle import stop

        await stop(self, self._client._budget(timeout))

    async def __aenter__(self) -> AsyncComputer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with leaving(error, f"{self._id} was not deleted"):
            await self.delete()


class AsyncBranches(Sequence[Outcome[AsyncComputer, ArkerError]]):
    """The result of `fork(count=n)`: an outcome for each child, in order. A with-statement deletes the
    computers that were made at its end."""

    __slots__ = ("_outcomes",)

    def __init__(self, outcomes: list[Outcome[AsyncComputer, ArkerError]]) -> None:
        self._outcomes = tuple(outcomes)

    @property
    def computers(self) -> list[AsyncComputer]:
        """The computers that were made."""
        return [outcome.value for outcome in self._outcomes if outcome.value is not None]

    async def all_or_none(self) -> list[AsyncComputer]:
        """Return all computers; if one could not be made, delete the others and raise.

        Raises:
            ArkerError: The error of the first fork that failed.
        """
        failed = next((outcome.error for outcome in self._outcomes if outcome.error is not None), None)
        if failed is not None:
            await _delete_all(self.computers)
            raise failed
        return self.computers

    @overload
    def __getitem__(self, index: int) -> Outcome[AsyncComputer, ArkerError]: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Outcome[AsyncComputer, ArkerError], ...]: ...
    def __getitem__(
        self, index: int | slice
    ) -> Outcome[AsyncComputer, ArkerError] | tuple[Outcome[AsyncComputer, ArkerError], ...]:
        return self._outcomes[index]

    def __len__(self) -> int:
        return len(self._outcomes)

    def __iter__(self) -> Iterator[Outcome[AsyncComputer, ArkerError]]:
        return iter(self._outcomes)

    def __repr__(self) -> str:
        failed = len(self._outcomes) - len(self.computers)
        return f"{type(self).__name__}({len(self.computers)} made, {failed} failed)"

    async def __aenter__(self) -> AsyncBranches:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failures = await _delete_all(self.computers)
        if failures and error is None:
            raise failures[0]


async def _delete_all(computers: Sequence[AsyncComputer], *, timeout: float | None = None) -> list[Exception]:
    """Delete computers, and return the errors; a computer that does not exist is not an error."""
    jobs = [functools.partial(computer.delete, timeout=timeout) for computer in computers]
    outcomes = await async_gather(jobs, _AT_A_TIME, drain=_DRAIN)
    failures = [
        outcome.error
        for outcome in outcomes
        if outcome.error is not None
        and not (isinstance(outcome.error, ArkerError) and outcome.error.code == "not_found")
    ]
    for failure in failures:
        logger.warning("a computer was not deleted: %s", failure)
    return failures
