"""Waiting until something has happened in a computer."""

from __future__ import annotations

import codecs
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from arker._http.deadline import Deadline
from arker._io_async import async_sleep
from arker.commands import Command
from arker.config import check_seconds
from arker.errors import ArkerError
from arker.events import RunOutput
from arker.results import RunResult

if TYPE_CHECKING:
    from .computer import AsyncComputer
    from .runs import AsyncRun

#: Seconds between checks: the first pause, and the longest; each is half as long again.
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.5
#: Most characters of a line that are searched.
_LONGEST_LINE: Final = 64 << 10
#: Codes of failures of the deployment, of which none says anything about the computer.
_FAILURES: Final = frozenset(
    {"network", "timeout", "unavailable", "capacity_unavailable", "gateway_timeout", "internal"}
)


async def wait_until(
    check: Callable[[], Awaitable[bool]], what: str, timeout: float, run: AsyncRun | None = None
) -> None:
    """Wait until `check` returns True. Raises ArkerError: `timeout`, or `command_failed` if `run` ends before."""
    from .runs import may_go_on

    deadline = Deadline(check_seconds("timeout", timeout))
    pause = _FIRST_PAUSE
    while True:
        try:
            # In this order: what a run does last, it does before its end.
            ended = run is not None and (await run.refresh()).state != "running"
            if await check():
                return
        except ArkerError as error:
            if run is not None:
                may_go_on(error, run)
            raise
        if ended and run is not None:
            raise _ended(await run.wait(), what)
        if deadline.left <= 0:
            raise ArkerError("timeout", f"{what}: not within {timeout:g} s", processed="yes")
        await async_sleep(max(0.001, min(pause, deadline.left)))
        pause = min(pause * 1.5, _LONGEST_PAUSE)


async def wait_for_output(run: AsyncRun, output: str | re.Pattern[str], timeout: float) -> re.Match[str]:
    """Wait until a line of the output of a run contains a text or a match. Raises ArkerError."""
    from .runs import AsyncRunStream

    if not isinstance(output, str | re.Pattern):
        raise TypeError(f"output is a str or a pattern, not {type(output).__name__}")
    pattern = re.compile(re.escape(output)) if isinstance(output, str) else output
    what = f"output {(output if isinstance(output, str) else output.pattern)!r}"
    searches = {"stdout": _Search(pattern), "stderr": _Search(pattern)}
    deadline = Deadline(check_seconds("timeout", timeout))
    try:
        async with AsyncRunStream(run, deadline=deadline) as stream:
            async for event in stream:
                if isinstance(event, RunOutput):
                    found = searches[event.stream].feed(event.data)
                    if found is not None:
                        return found
    except ArkerError as error:
        if error.code == "timeout" and deadline.left <= 0:
            raise ArkerError("timeout", f"{what}: not within {timeout:g} s", processed="yes") from error
        raise
    raise _ended(await run.wait(), what)


class _Search:
    """Searches text that arrives in pieces, line by line; a line may be incomplete."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""

    def feed(self, data: bytes) -> re.Match[str] | None:
        text = self._line + self._decoder.decode(data)
        for line in text.split("\n"):
            found = self._pattern.search(line.removesuffix("\r"))
            if found is not None:
                return found
        self._line = text[text.rfind("\n") + 1 :][-_LONGEST_LINE:]
        return None


def _ended(result: RunResult, what: str) -> ArkerError:
    tail = result.error_text.strip()[-500:]
    why = f"the run ended before, with exit code {result.exit_code}"
    return ArkerError(
        "command_failed",
        f"{what}: {why}: {tail}" if tail else f"{what}: {why}",
        processed="yes",
        result=result,
    )


async def healthy(computer: AsyncComputer, timeout: float) -> bool:
    """Whether a command runs in a computer. Raises ArkerError for failures that are not the deployment's."""
    from .runs import open_run

    deadline = Deadline(check_seconds("timeout", timeout))
    patient = type(computer)(
        computer._client.with_options(timeout=timeout), computer._id, by_id=computer._by_id
    )
    try:
        try:
            # In a session of its own, beside whatever runs.
            async with await open_run(patient, Command(":", timeout=timeout), deadline=deadline) as stream:
                result = await stream.collect()
        except ArkerError as error:
            if not error._unknown_path:
                raise
            result = await patient.run(":", session_id="healthy", timeout=timeout)
    except ArkerError as error:
        if error.code == "vm_busy":
            # Another call does the same, and its shell answers.
            return True
        if error.code not in _FAILURES:
            raise
        return False
    return result.ok
