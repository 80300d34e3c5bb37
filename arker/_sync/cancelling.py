# Derived from arker/_async/cancelling.py by `make generate`; do not edit.
"""Ending the commands of calls that were interrupted."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

from arker._http._sync.pipeline import Budget, dump
from arker._io_sync import CANCELLED, shielded, sleep
from arker.errors import ArkerError
from arker.hooks import logger
from arker.operations import same
from arker.retry import NEVER

if TYPE_CHECKING:
    from .client import Arker
    from .computer import Computer

T = TypeVar("T")

#: Longest time to end a command, in seconds.
CANCELLING: Final = 1.0
#: Seconds by which the clock of a deployment may be behind; and between looks for a run that has not arrived yet.
_SKEW: Final = 1.0
_AGAIN: Final = 0.2
#: Maximum number of sessions of a computer that are searched.
_MOST: Final = 1000


@dataclass(slots=True, eq=False)
class Running:
    """A run whose call has not returned.

    Attributes:
        key: The Idempotency-Key of its request.
        v03: Whether it was sent over contract 0.3.
        session: Its session over contract 0.3, by index or id.
        run_id: Its id, once an answer has it.
        began: When the call began, in seconds since the epoch.
    """

    computer: Computer
    command: str
    key: str
    v03: bool = False
    session: int | str = 0
    run_id: str | None = None
    began: float = field(default_factory=time.time)


def cancelled_with(client: Arker, run: Running, call: Callable[[], T]) -> T:
    """Make a call of a run. If it is cancelled, or the client closed meanwhile, the command ends."""
    client._running.add(run)
    try:
        return call()
    except CANCELLED:
        shielded(functools.partial(cancel, client, run), CANCELLING)
        raise
    finally:
        client._running.discard(run)


def cancel(client: Arker, run: Running) -> None:
    """End the command of a run, if the deployment can do that. Takes at most a second; raises nothing."""
    budget = Budget(NEVER, CANCELLING)
    try:
        if run.run_id is None and not _by_key(client, budget, run) and run.v03:
            run.run_id = _found(client, budget, run)
        if run.run_id is not None:
            from arker_api.v03.api.runs import cancel_run

            parts = cancel_run.build(run.computer.id, run.run_id)
            client._pipeline.operate(budget, client._timeouts, cancel_run, parts, same)
    except ArkerError as error:
        logger.debug("a cancelled run may go on: %s", error)


def _by_key(client: Arker, budget: Budget, run: Running) -> bool:
    """Cancel a run by its key. False where the deployment cannot do that."""
    path = f"vms/{run.computer._segment}/runs/cancel"
    body = dump({"idempotency_key": run.key})
    request = client._pipeline.local_request("post", path, client._timeouts, body=body)
    try:
        client._pipeline.ask(budget, request, same)
    except ArkerError as error:
        if error._unknown_path:
            return False
        raise
    return True


def _found(client: Arker, budget: Budget, run: Running) -> str | None:
    """Return the id of a run without an answer. Contract 0.3 does not find runs by their keys, so this is the only run
    of the command in the session since the request was sent; None if there is none, or if there are several."""
    from arker_api.v03.api.runs import list_runs

    from arker.info import given

    since = datetime.fromtimestamp(run.began - _SKEW, UTC)
    parts = list_runs.build(run.computer.id, started_after=since)
    found: list[str] = []
    while not found and budget.deadline.left > _AGAIN:
        page = client._pipeline.operate(budget, client._timeouts, list_runs, parts, same)
        alike = [
            one
            for one in page.runs
            if given(one.command, str) == run.command and one.state in ("pending", "running")
        ]
        if alike:
            session_id = _session_id(client, budget, run)
            found = [one.run_id for one in alike if given(one.session_id, str) == session_id]
        if not found:
            sleep(_AGAIN)
    return found[0] if len(found) == 1 else None


def _session_id(client: Arker, budget: Budget, run: Running) -> str | None:
    if isinstance(run.session, str):
        return run.session
    from arker_api.v03.api.sessions import list_sessions

    parts = list_sessions.build(run.computer.id, limit=_MOST)
    page = client._pipeline.operate(budget, client._timeouts, list_sessions, parts, same)
    return next((one.session_id for one in page.sessions if one.session_idx == run.session), None)
