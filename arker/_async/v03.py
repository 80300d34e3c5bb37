"""The client's calls over contract 0.3: those that contract 0.1 has too, and those that only 0.3 has."""

from __future__ import annotations

import time
import zlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from arker_api.v03.api.computers import fork, get_vm, patch_vm
from arker_api.v03.api.organization import list_regions, list_vms, whoami
from arker_api.v03.api.runs import create_run, get_run
from arker_api.v03.api.service import health
from arker_api.v03.api.sessions import get_session
from arker_api.v03.models import (
    ForkRequest,
    PatchVmRequest,
    Run,
    RunAnswer,
    RunRequest,
)
from arker_api.v03.types import UNSET, Unset

from arker._http._async.pipeline import Budget
from arker._io_async import async_sleep
from arker.errors import NEEDS_0_3, ArkerError, doubting, needing
from arker.hooks import logger
from arker.ids import SOURCE_ALIASES, is_vm_id
from arker.info import ComputerInfo, Organization, Region, computer_info, given
from arker.operations import Operation, same, with_local_fields
from arker.results import RunResult, VmList, VmSummary, decode, end_of

if TYPE_CHECKING:
    from .cancelling import Running
    from .client import AsyncArker

T = TypeVar("T")
R = TypeVar("R")

#: Seconds between checks of a run in progress: first, and at most; each pause is half as long again.
_FIRST_LOOK: Final = 0.5
_LAST_LOOK: Final = 3.0
#: Longest time that the platform delays the answer of a run, in seconds.
_HELD: Final = 300
#: Computers per page.
_PAGE: Final = 1000
_ALIASES: Final = {vm_id: name for name, vm_id in SOURCE_ALIASES.items()}
#: The indices from here up to twice as much are those of sessions with names.
_NAMED: Final = 2**30
#: Exit code of a command that its timeout ended.
_TIMED_OUT: Final = 124


async def ask(
    client: AsyncArker,
    budget: Budget,
    operation: Operation[..., T],
    parts: dict[str, Any],
    convert: Callable[[T], R],
    read: float | None = None,
) -> R:
    """Call an operation of contract 0.3. Raises ArkerError: `unsupported_operation` where it is not spoken."""
    with needing(NEEDS_0_3):
        return await client._pipeline.operate(budget, client._timeouts, operation, parts, convert, read=read)


async def fork_of(
    client: AsyncArker, budget: Budget, source: str, name: str | None, is_public: bool, key: str
) -> str:
    """Fork a computer by id or name; return the id of the child."""
    body = ForkRequest(public=is_public)
    if source in _ALIASES:
        # The platform knows its base images by name.
        body.source_vm_name = _ALIASES[source]
    elif is_vm_id(source):
        body.source_vm_id = source
    else:
        body.source_vm_name = source
    if name is not None:
        body.name = name
    parts = fork.build(body=body, idempotency_key=key)
    return await ask(client, budget, fork, parts, lambda vm: vm.vm_id)


async def run_in(
    client: AsyncArker,
    budget: Budget,
    running: Running,
    session_id: str | int,
    timeout: int | None,
) -> RunResult:
    """Run a command and check on it until it has ended."""
    began = time.monotonic()
    running.v03 = True
    vm_id = running.computer.id
    body = RunRequest(command=running.command)
    if timeout:
        body.timeout = timeout
    where = str(session_id)
    body.session_idx, body.session_id = index, known = session_for(client, vm_id, session_id)
    running.session = index if isinstance(index, int) else str(known)
    parts = with_local_fields(create_run.build(vm_id, body=body, idempotency_key=running.key))
    read = _HELD + client._timeouts.read
    run: RunAnswer | Run = await ask(client, budget, create_run, parts, same, read)
    running.run_id = given(run.run_id, str)
    with doubting(f"the run {running.run_id} was started"):
        wait = _FIRST_LOOK
        while not isinstance(run.stdout, str) or run.state in ("pending", "running"):
            left = budget.deadline.left
            if left <= 0:
                raise ArkerError(
                    "timeout", f"the run {run.run_id} did not end in time and continues", processed="yes"
                )
            await async_sleep(min(wait, left))
            wait = min(1.5 * wait, _LAST_LOOK)
            parts = with_local_fields(get_run.build(vm_id, str(run.run_id)))
            run = await ask(client, budget, get_run, parts, same)
        exit_code = given(run.exit_code, int)
        if exit_code is None or exit_code < 0 or run.state == "failed":
            why = given(run.fail_reason, str) or f"the run ended as {run.state}, without an exit code"
            raise ArkerError("conflict" if run.state == "cancelled" else "internal", why, processed="maybe")
        cwd = given(run.additional_properties.get("cwd"), str)
        if cwd is None:
            cwd = await _folder_of(client, budget, vm_id, str(run.session_id))
    reason, usage, notes = end_of(run.additional_properties)
    return RunResult(
        decode(run.stdout, run.stdout_encoding),
        decode(run.stderr, run.stderr_encoding),
        exit_code,
        (time.monotonic() - began) * 1000,
        where,
        cwd,
        not (timeout and exit_code == _TIMED_OUT) if reason is None else reason != "timed_out",
        False,
        reason,
        usage,
        notes,
    )


async def _folder_of(client: AsyncArker, budget: Budget, vm_id: str, session_id: str) -> str:
    """Return the current folder of a session's shell, which results do not contain. Empty if the request fails: that
    must not lose the result of the command."""
    parts = get_session.build(vm_id, session_id)
    try:
        return await ask(client, budget, get_session, parts, lambda session: session.cwd)
    except ArkerError as error:
        logger.debug("the folder of session %s is not known: %s", session_id, error)
        return ""


def session_for(client: AsyncArker, vm_id: str, session_id: str | int) -> tuple[int | Unset, str | Unset]:
    """How a request names a session: by its index or by its id. The platform has no names of sessions, so the hash of a
    name is its index: every client means the same session by a name."""
    name = str(session_id)
    if name in client._speaks.sessions.get(vm_id, ()):
        return UNSET, name
    return int(name) if name.isdecimal() else _NAMED + zlib.crc32(name.encode()) % _NAMED, UNSET


async def page_of(
    client: AsyncArker, budget: Budget, limit: int, offset: int, q: str | None, sort: str | None
) -> VmList:
    """A page of the computers, cut from an iteration over all of them: contract 0.3 neither searches nor counts."""
    found = [
        VmSummary(info.vm_id, info.name, info.base_name or "", info.region or "", info.created_at)
        async for info in computers(client, budget, None)
        if q is None or q in (info.name or "")
    ]
    if sort is not None:
        attribute = sort.removeprefix("-")
        found.sort(key=lambda vm: getattr(vm, attribute), reverse=sort.startswith("-"))
    return VmList(tuple(found[offset : offset + limit]), len(found))


async def computers(
    client: AsyncArker, budget: Budget, state: Literal["idle", "running"] | None
) -> AsyncIterator[ComputerInfo]:
    """Iterate over all computers of the organization, newest first."""
    cursor: str | Unset = UNSET
    while True:
        parts = list_vms.build(limit=_PAGE, state=UNSET if state is None else state, cursor=cursor)
        page = await ask(client, budget, list_vms, parts, same)
        for vm in page.vms:
            yield computer_info(vm)
        following = given(page.next_cursor, str)
        if following is None:
            return
        cursor = following


async def info_of(client: AsyncArker, budget: Budget, vm_id: str) -> ComputerInfo:
    """Return what the platform knows of a computer."""
    return await ask(client, budget, get_vm, with_local_fields(get_vm.build(vm_id)), computer_info)


async def describe(client: AsyncArker, budget: Budget, vm_id: str, description: str | None) -> ComputerInfo:
    """Change the description of a computer."""
    parts = patch_vm.build(vm_id, body=PatchVmRequest(description=description))
    return await ask(client, budget, patch_vm, parts, computer_info)


async def regions_of(client: AsyncArker, budget: Budget) -> tuple[Region, ...]:
    """Return the regions."""
    page = await ask(client, budget, list_regions, list_regions.build(), same)
    return tuple(Region(one.provider, one.region, one.endpoint, tuple(one.platforms)) for one in page.regions)


async def organization_of(client: AsyncArker, budget: Budget) -> Organization:
    """Return the organization that the key belongs to."""
    parts = whoami.build()
    return await ask(client, budget, whoami, parts, lambda one: Organization(one.org_id, one.org_name))


async def check_health(client: AsyncArker, budget: Budget) -> None:
    """Return if the deployment is healthy. Raises ArkerError otherwise."""
    await ask(client, budget, health, health.build(), same)
