"""Computers: fork, run, delete."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, overload

from arker_api.control.api.computers import fork_by_name
from arker_api.control.models import ForkByNameRequest
from arker_api.control.models import ForkResponse as ForkByNameResponse
from arker_api.regional.api.computers import delete_vm, fork_vm
from arker_api.regional.api.runs import run_command
from arker_api.regional.models import Deleted, ForkRequest, ForkResponse, RunRequest

from arker._http._async.pipeline import CANCELLING, Budget
from arker._io_async import CANCELLED, async_all_the_same
from arker.config import check_seconds
from arker.errors import ArkerError, bad_request
from arker.events import command_line
from arker.hooks import logger
from arker.ids import new_ulid
from arker.operations import Operation
from arker.results import Outcome, RunResult, expected, run_result

from .gather import async_gather

if TYPE_CHECKING:
    from arker.info import ComputerInfo

    from .client import AsyncArker
    from .files import AsyncSync
    from .filesystem import AsyncFiles
    from .ports import AsyncPort
    from .runs import AsyncRun, AsyncRunStream, Callback
    from .terminal import AsyncTerminal

#: Forks of one computer on their way at a time.
_AT_A_TIME = 16
#: Seconds that forks under way get to end when the call for them is interrupted, so that their children can
#: be deleted; and that each of these gets to be.
_DRAIN = 5.0


class AsyncComputer:
    """A computer, or the name of one to fork; made by `client.vm()` and `fork()`.

    It holds no state but its id: two with one id of one deployment are equal. In a with-statement it is
    deleted at the end.
    """

    __slots__ = ("_by_id", "_client", "_id")

    def __init__(self, client: AsyncArker, id: str, *, by_id: bool = True) -> None:
        self._client = client
        self._id = id
        self._by_id = by_id

    @property
    def id(self) -> str:
        """The id; of a computer that is known by a name only, the name."""
        return self._id

    @property
    def sync(self) -> AsyncSync:
        """Its files.

        Raises:
            ArkerError: `bad_request` for a computer that is known by a name only.
        """
        # When it is needed: it is a quarter of the import.
        from .files import AsyncSync

        return AsyncSync(self._client, self._known_id("sync"))

    @property
    def files(self) -> AsyncFiles:
        """The files, folders and trees of this computer, at any path and of any size.

        Raises:
            ArkerError: `bad_request` for a computer that is known by a name only.
        """
        # Not every program needs it, and it takes some time.
        from .filesystem import AsyncFiles

        self._known_id("files")
        return AsyncFiles(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._id!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AsyncComputer):
            return NotImplemented
        return (self._id, self._client._deployment) == (other._id, other._client._deployment)

    def __hash__(self) -> int:
        return hash((self._id, self._client._deployment))

    def _known_id(self, what: str) -> str:
        if not self._by_id:
            raise bad_request(
                f"{self._id!r} is a name, and {what} needs an id: fork it, "
                "or find the id with client.list(q=...)"
            )
        return self._id

    @overload
    async def fork(
        self,
        *,
        name: str | None = None,
        is_public: bool = False,
        region: str | None = None,
        timeout: float | None = None,
    ) -> AsyncComputer: ...

    @overload
    async def fork(
        self,
        *,
        count: int,
        name: str | None = None,
        is_public: bool = False,
        region: str | None = None,
        timeout: float | None = None,
    ) -> AsyncBranches: ...

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
            count: How many; default one. With a count the answer is an `AsyncBranches` with an outcome for
                each.
            name: Its name; with a count, `-0`, `-1` ... is added.
            is_public: Whether other organizations may fork the child.
            region: Where to make it; default where the parent is.
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
            # Interrupted: nobody will ever hold those that were made.
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
            operation = fork_by_name
            by_name = ForkByNameRequest(self._id, is_public, **wanted)
            parts = fork_by_name.build(body=by_name, idempotency_key=key)

        async def fork(budget: Budget) -> AsyncComputer:
            async def old() -> AsyncComputer:
                return await client._pipeline.operate(budget, client._timeouts, operation, parts, child)

            async def new() -> AsyncComputer:
                from .today import fork_of

                made = await fork_of(client, budget, self._id, name, is_public, key)
                return AsyncComputer(client, made)

            return await client._either(operation.HOST, old, new)

        async def undo() -> None:
            # Under the same key: it answers with the child that was made, if one was.
            try:
                made = await fork(Budget(client._policy, _DRAIN / 2))
                await made.delete(timeout=_DRAIN / 2)
            except ArkerError as error:
                logger.warning("a fork of %s was cancelled, and may have been made: %s", self._id, error)

        try:
            return await fork(client._budget(timeout))
        except CANCELLED:
            # Nobody will ever hold the child.
            if client._policy.resend:
                await async_all_the_same(undo, _DRAIN)
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
        stdin: bytes | str | None = None,
    ) -> RunResult:
        """Run a shell command and wait for its end. A non-zero exit code is a result, not an error.

        Cancelling the call (Ctrl-C, a cancelled task, closing the client) ends the command as well, if the
        deployment can do that; it takes a second at most.

        It is run at most once: when the connection breaks after the command may have started, the error is
        raised, with `processed="maybe"`, rather than the command run again; see `RetryPolicy`.

        Args:
            command: What the shell is given; a list of arguments is quoted for it.
            session_id: The session to run it in: a persistent shell with its folder, variables and functions.
                Default is session 0; another name makes another shell, side by side.
            timeout: Longest time that the command may run, in seconds, rounded up to a whole one; it is
                killed then (`completed` False, exit code 124). Default: no limit, but the call waits for at
                most `Timeouts.run`.
            on_stdout: Called with what comes of standard output, piece by piece, while the command runs. What it
                raises ends the command and the call.
            on_stderr: The same for standard error.
            cwd: Absolute path of its folder, for this command alone, which then runs in a subshell of the session.
            env: Variables for this command alone, as `cwd`.
            stdin: Its input, 2 MiB at most; default none.

        `on_stdout` and those after it need a deployment of one's own; others answer `not_implemented`.

        Raises:
            ArkerError: `vm_busy` when the session runs a command already, `not_found`, `timeout` when no
                answer came within the command's limit and `Timeouts.read`, and whatever else fails.
            TypeError, ValueError: for arguments of the wrong kind.
        """
        client = self._client
        command = command_line(command)
        if isinstance(session_id, bool) or not isinstance(session_id, (str, int, type(None))):
            raise TypeError(f"session_id is a str or an int, not {type(session_id).__name__}")
        if session_id == "":
            raise ValueError("session_id is empty; leave it out for session 0")
        if any(given is not None for given in (on_stdout, on_stderr, cwd, env, stdin)):
            from .runs import run_to_end

            where = "0" if session_id is None else session_id
            return await run_to_end(
                self,
                command,
                on_stdout,
                on_stderr,
                session_id=where,
                timeout=timeout,
                cwd=cwd,
                env=env,
                stdin=stdin,
            )
        timeouts = client._timeouts
        body = RunRequest(command, 0 if session_id is None else session_id)
        limit = timeouts.run
        if timeout is not None:
            body.timeout = limit = math.ceil(check_seconds("timeout", timeout))
        run = (self._known_id("run"), new_ulid())
        parts = run_command.build(run[0], body=body, idempotency_key=run[1])
        longest = limit + timeouts.read
        running = client._pipeline.running
        running.add(run)
        budget = Budget(client._policy, longest + timeouts.total)

        async def old() -> RunResult:
            return await client._pipeline.operate(
                budget, timeouts, run_command, parts, run_result, read=longest
            )

        async def new() -> RunResult:
            from .today import run_in

            seconds = None if timeout is None else math.ceil(timeout)
            return await run_in(client, budget, run[0], command, session_id or 0, seconds, run[1])

        try:
            return await client._either("regional", old, new)
        except CANCELLED:
            await async_all_the_same(functools.partial(client._pipeline.cancel, *run), CANCELLING)
            raise
        finally:
            running.discard(run)

    async def stream(
        self,
        command: str | Sequence[str],
        *,
        session_id: str | int | None = None,
        timeout: float | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | str | None = None,
    ) -> AsyncRunStream:
        """Start a shell command, and return what it writes, as it comes, to be iterated over.

        The command goes on when nobody reads any more: `stream.run.cancel()` ends it. Needs a deployment of one's own.

        Args:
            command: What the shell is given; a list of arguments is quoted for it.
            session_id: The session to run it in; default is session 0.
            timeout: Longest time that the command may run, in seconds. Default: no limit.
            cwd: Absolute path of its folder, for this command alone, which then runs in a subshell of the session.
            env: Variables for this command alone, as `cwd`.
            stdin: Its input, 2 MiB at most; default none.

        Raises:
            ArkerError: `vm_busy` when the session runs a command already, and whatever else fails.
            TypeError, ValueError: for arguments of the wrong kind.
        """
        from .runs import open_run

        where = "0" if session_id is None else session_id
        return await open_run(self, command, session_id=where, timeout=timeout, cwd=cwd, env=env, stdin=stdin)

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
        """Start a shell command and return at once; it goes on, whoever waits, until it ends or is cancelled, and keeps
        its computer awake. Needs a deployment of one's own.

        Args:
            command: What the shell is given; a list of arguments is quoted for it.
            session_id: The session to run it in, which is busy until it ends. Default: a session of its own, which
                begins with what session 0 knows and leaves that free.
            timeout: Longest time that the command may run, in seconds. Default: no limit.
            cwd: Absolute path of its folder, for this command alone, which then runs in a subshell of the session.
            env: Variables for this command alone, as `cwd`.
            stdin: Whether it gets input by `run.write()`; else its input is empty.

        Raises:
            ArkerError: `vm_busy` when the session runs a command already, and whatever else fails.
            TypeError, ValueError: for arguments of the wrong kind.
        """
        from .runs import start_run

        return await start_run(
            self, command, session_id=session_id, timeout=timeout, cwd=cwd, env=env, stdin=stdin
        )

    async def runs(self, *, running: bool | None = None, limit: int = 100) -> list[AsyncRun]:
        """The runs that were started by `start()` and `stream()`, newest first; the deployment keeps the last 256 of
        those that ended, with their output.

        Args:
            running: True for those that go on alone, False for those that ended.
            limit: How many at the most, up to 1000.

        Raises:
            ArkerError: whatever fails.
        """
        from .runs import list_runs

        return await list_runs(self, running, limit)

    async def get_run(self, run_id: str) -> AsyncRun:
        """A run by its id, from any process.

        Args:
            run_id: Its id.

        Raises:
            ArkerError: `not_found`.
            ValueError: for what is no id.
        """
        from .runs import find_run

        return await find_run(self, run_id)

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
        """Attach to the terminal of a session, which is made if there is none; what was drawn comes first, the last
        256 KiB of it. Whoever was attached is no more. Needs `wsproto`.

        Args:
            session_id: The session; its shell begins with what that knows, and changes nothing of it. Default: 0.
            columns: Of the window, from 1 to 1000.
            rows: Of the window, from 1 to 1000.
            command: Path of a program to run instead of a shell.
            persist: False to end the terminal when this attachment does.
            idle: Seconds without anybody attached after which the terminal ends. Default: never.

        Raises:
            ArkerError: `not_found`, `quota_exceeded` and whatever else fails.
            ImportError: without `wsproto`.
        """
        from .terminal import open_terminal

        where = 0 if session_id is None else session_id
        return await open_terminal(
            self, session_id=where, columns=columns, rows=rows, command=command, persist=persist, idle=idle
        )

    def port(self, number: int) -> AsyncPort:
        """A port of it, to reach a server inside. Nothing is asked yet.

        Args:
            number: From 1 to 65535.

        Raises:
            ValueError: for any other number.
        """
        from .ports import AsyncPort

        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 65535:
            raise ValueError(f"a port is a number from 1 to 65535, not {number!r}")
        self._known_id("port")
        return AsyncPort(self, number)

    async def delete(self, *, timeout: float | None = None) -> None:
        """End everything that runs in it and remove its files. Computers forked from it stay.

        Args:
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total`.

        Raises:
            ArkerError: `not_found` when it is gone already - unless an earlier try of this call may have done
                it.
        """
        client = self._client
        parts = delete_vm.build(self._known_id("delete"))
        budget = client._budget(timeout)
        try:
            await client._pipeline.operate(budget, client._timeouts, delete_vm, parts, _ignore)
        except ArkerError as error:
            # A try that went unanswered has done it.
            if error.code != "not_found" or not budget.doubtful:
                raise

    async def info(self, *, timeout: float | None = None) -> ComputerInfo:
        """What the platform knows of it: its name, state, parent, sessions, description, resources ...; also by name.

        Args:
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total`.

        Raises:
            ArkerError: `not_found`, and whatever else fails.
        """
        from .today import info_of

        return await info_of(self._client, self._client._budget(timeout), self._id)

    async def update(self, *, description: str | None, timeout: float | None = None) -> ComputerInfo:
        """Change what it is for; also by name.

        Args:
            description: At most 1024 characters; None for nothing.
            timeout: Longest time for the whole call, in seconds; default `Timeouts.total`.

        Raises:
            ArkerError: `not_found`, and whatever else fails.
        """
        from .today import describe

        return await describe(self._client, self._client._budget(timeout), self._id, description)

    async def __aenter__(self) -> AsyncComputer:
        # Not when the block is done, and its end needs the id.
        self._known_id("a with-statement")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.delete()
        except ArkerError as failure:
            if failure.code == "not_found":
                return
            if error is None:
                raise
            # What the block raised matters more.
            logger.warning("%s was not deleted: %s", self._id, failure)


class AsyncBranches(Sequence[Outcome[AsyncComputer, ArkerError]]):
    """What became of `fork(count=n)`: an outcome for each child, in order. In a with-statement, those that
    were made are deleted at the end."""

    __slots__ = ("_outcomes",)

    def __init__(self, outcomes: list[Outcome[AsyncComputer, ArkerError]]) -> None:
        self._outcomes = tuple(outcomes)

    @property
    def computers(self) -> list[AsyncComputer]:
        """Those that were made."""
        return [outcome.value for outcome in self._outcomes if outcome.value is not None]

    async def all_or_none(self) -> list[AsyncComputer]:
        """All of them, or none: when one could not be made, those that were are deleted.

        Raises:
            ArkerError: why the first that failed did.
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
    """Delete them all, and tell what kept any of them from it; one that is gone already is fine."""
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


def _ignore(response: Deleted) -> None:
    """The answer says nothing but that it is done."""
