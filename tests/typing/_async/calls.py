"""Types that a type checker infers. Never run; mypy and pyright read it, see test_typing."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any, assert_type

import httpx
from arker_api.control.api.computers import fork_by_name, list_vms
from arker_api.control.api.service import list_regions, whoami
from arker_api.control.models import ForkByNameRequest, Organization, RegionList, VmPage
from arker_api.control.models import ForkResponse as ForkByNameResponse
from arker_api.regional.api.computers import delete_vm, fork_vm, get_vm
from arker_api.regional.api.files import sync_files
from arker_api.regional.api.runs import run_command
from arker_api.regional.api.service import health
from arker_api.regional.models import (
    Deleted,
    ForkRequest,
    ForkResponse,
    Health,
    InlineFile,
    ReadRequest,
    RunRequest,
    RunResponse,
    SignedFile,
    Vm,
    WriteResponse,
)
from arker_api.v03.api.runs import get_run
from arker_api.v03.models import Run as RunRecord

from arker import (
    ArkerError,
    AsyncArker,
    AsyncBranches,
    AsyncComputer,
    AsyncPython,
    AsyncRun,
    AsyncRunStream,
    AsyncSession,
    AsyncSync,
    AsyncTerminal,
    ComputerInfo,
    ComputerUsage,
    ErrorCode,
    Hooks,
    Outcome,
    OutputCut,
    Processed,
    PythonError,
    PythonResult,
    RequestEvent,
    RetryPolicy,
    RunOutput,
    RunResult,
    SessionInfo,
    Timeouts,
    VmList,
    VmSummary,
)
from arker import Organization as WhoseKey


async def clients() -> None:
    assert_type(AsyncArker(), AsyncArker)
    assert_type(AsyncArker("key", "https://host", timeout=5, retry=None), AsyncArker)
    assert_type(AsyncArker.local(), AsyncArker)
    assert_type(AsyncArker.local(Path("state"), network=True), AsyncArker)
    AsyncArker(http_client=httpx.AsyncClient())
    async with AsyncArker(
        timeout=Timeouts(read=5), retry=RetryPolicy(attempts=2), hooks=Hooks(on_request=told)
    ) as arker:
        assert_type(arker, AsyncArker)
        assert_type(arker.with_options(timeout=5, retry=None, host="regional"), AsyncArker)
    AsyncArker(5)  # type: ignore[arg-type]
    AsyncArker(key="key")  # type: ignore[call-arg]
    arker.with_options(host="elsewhere")  # type: ignore[arg-type]


def told(event: RequestEvent) -> None:
    assert_type(event.error, ArkerError | None)
    assert_type(event.duration_ms, float)


async def computers(arker: AsyncArker) -> None:
    vm = arker.vm("arkuntu")
    assert_type(vm, AsyncComputer)
    assert_type(vm.id, str)
    assert_type(await vm.fork(), AsyncComputer)
    assert_type(await vm.fork(name="a", is_public=True, region="r", timeout=5), AsyncComputer)
    branches = await vm.fork(count=3)
    assert_type(branches, AsyncBranches)
    assert_type(await branches.all_or_none(), list[AsyncComputer])
    assert_type(branches[0], Outcome[AsyncComputer, ArkerError])
    assert_type(branches[0:2], tuple[Outcome[AsyncComputer, ArkerError], ...])
    result = await vm.run("true", session_id=5, timeout=1)
    assert_type(result, RunResult)
    assert_type(result.check().text, str)
    async with vm.fork() as child:
        assert_type(child, AsyncComputer)
    async with vm.fork(count=2) as children:
        assert_type(children, AsyncBranches)
        for outcome in children:
            assert_type(outcome.get(), AsyncComputer)
    assert_type(await vm.info(), ComputerInfo)
    assert_type(await vm.update(description=None), ComputerInfo)
    await vm.rename("other", timeout=5)
    await vm.stop(timeout=5)
    await vm.delete()
    await vm.run(1)  # type: ignore[arg-type]
    await vm.fork("name")  # type: ignore[call-overload]


async def sessions(vm: AsyncComputer) -> None:
    async with vm.session(cwd="/tmp", env={"A": "b"}) as session:
        assert_type(session, AsyncSession)
        assert_type(await session.run(["true"]), RunResult)
        assert_type(await session.stream("true"), AsyncRunStream)
        assert_type(await session.start("true", stdin=True), AsyncRun)
        assert_type(await session.terminal(columns=100), AsyncTerminal)
        async with session.stream("true") as stream, session.terminal() as terminal:
            assert_type(stream, AsyncRunStream)
            assert_type(terminal, AsyncTerminal)
        async for event in vm.stream("true"):
            assert_type(event, RunOutput | OutputCut)
        assert_type(session.info, SessionInfo)
        await session.reset()
    assert_type(await vm.sessions(), list[AsyncSession])
    assert_type(await vm.get_session("name"), AsyncSession)
    for data in (b"", "text", io.BytesIO(), io.StringIO(), [b"a", b"b"], ["a"]):
        await vm.run("cat", stdin=data)
    await vm.run("cat", stdin=5)  # type: ignore[arg-type]
    run = await vm.start("true")
    assert_type(await vm.wait_for(output="x", run=run), re.Match[str])
    await vm.wait_for(port=8000, run=run, timeout=1)
    assert_type(vm.port(8000).http(), httpx.AsyncClient)
    await vm.wait_for(path="/tmp/x")
    await vm.wait_for(output="x")  # type: ignore[call-overload]
    assert_type(await vm.healthy(), bool)
    await vm.session("name")  # type: ignore[call-arg]


async def lists(arker: AsyncArker) -> None:
    page = await arker.list(limit=5, q="a", sort="-created_at")
    assert_type(page, VmList)
    assert_type(page[0], VmSummary)
    assert_type(page[0].created_at, datetime)
    assert_type(arker.iter_vms(), AsyncIterator[VmSummary])
    async for row in arker.iter_vms():
        assert_type(row, VmSummary)
    for row in page:
        assert_type(arker.vm(row), AsyncComputer)
    outcomes = await arker.map(lambda row: arker.vm(row).run("true"), page)
    assert_type(outcomes, list[Outcome[RunResult, Exception]])
    await arker.list(sort="name")  # type: ignore[arg-type]


async def numbers() -> AsyncIterator[int]:
    yield 1


async def files(sync: AsyncSync, pieces: AsyncIterator[bytes]) -> None:
    assert_type(await sync.read_file("/home/user/a"), bytes)
    assert_type(await sync.read_files(["/home/user/a"]), dict[str, Outcome[bytes, ArkerError]])
    written = await sync.write_files({"/home/user/a": b"", "/home/user/b": "text"})
    assert_type(written, dict[str, Outcome[None, ArkerError]])
    for data in (b"", bytearray(), memoryview(b""), "text", io.BytesIO(), [b"a", b"b"]):
        await sync.write_file("/home/user/a", data, progress=lambda done, total: print(done / total))
    await sync.write_file("/home/user/a", pieces)
    await sync.upload("local", "/home/user/a")
    await sync.download("/home/user/a", Path("local"), progress=print)
    await sync.write_file("/home/user/a", 5)  # type: ignore[arg-type]
    await sync.write_file("/home/user/a", numbers())  # type: ignore[arg-type]


def results(result: RunResult, outcome: Outcome[int, ArkerError], error: ArkerError) -> None:
    assert_type(result.stdout, bytes)
    assert_type(result.exit_code, int)
    assert_type(result.duration_ms, float)
    assert_type(result.to_dict(), dict[str, Any])
    assert_type(outcome.value, int | None)
    assert_type(outcome.error, ArkerError | None)
    assert_type(outcome.get(), int)
    if outcome.error is None:
        assert_type(outcome.value, int)
    else:
        assert_type(outcome.error.code, ErrorCode)
    if outcome.ok is False:
        assert_type(outcome.error, ArkerError)
    assert_type(error.code, ErrorCode)
    assert_type(error.processed, Processed)
    assert_type(error.retryable, bool)
    assert_type(error.result, RunResult | None)


async def every_operation(arker: AsyncArker) -> None:
    assert_type(await arker.call(whoami), Organization)
    assert_type(await arker.call(list_regions), RegionList)
    assert_type(await arker.call(list_vms, limit=5), VmPage)
    assert_type(await arker.call(fork_by_name, body=ForkByNameRequest("name", False)), ForkByNameResponse)
    assert_type(await arker.call(health), Health)
    assert_type(await arker.call(get_run, "id", "run"), RunRecord)
    assert_type(await arker.whoami(), WhoseKey)
    assert_type(await arker.usage(), tuple[ComputerUsage, ...])
    assert_type(await arker.call(get_vm, "id"), Vm)
    assert_type(await arker.call(delete_vm, "id"), Deleted)
    assert_type(await arker.call(fork_vm, "id", body=ForkRequest(False), idempotency_key="key"), ForkResponse)
    assert_type(await arker.call(run_command, "id", body=RunRequest("true", 0)), RunResponse)
    # A union of three; mypy knows it as `object`, and both know what becomes of it.
    answer = await arker.call(sync_files, "id", body=ReadRequest("/home/user/a", "read"))
    assert isinstance(answer, InlineFile | SignedFile | WriteResponse)
    assert_type(answer, InlineFile | SignedFile | WriteResponse)
    await arker.call(get_vm, 5)  # type: ignore[arg-type]
    await arker.call(get_vm)  # type: ignore[call-arg]
    await arker.call(whoami, limit=5)  # type: ignore[call-arg]
    await arker.call(list_vms, limit="5")  # type: ignore[arg-type]
    await arker.call(print)  # type: ignore[arg-type]


async def interpreters(vm: AsyncComputer) -> None:
    assert_type(vm.python(), AsyncPython)
    async with vm.python(executable="/home/user/venv/bin/python", idle=None) as python:
        assert_type(await python.run("1", timeout=5, on_stdout=print), PythonResult)
        assert_type((await python.run("1")).error, PythonError | None)
        await python.run(b"1")  # type: ignore[arg-type]
