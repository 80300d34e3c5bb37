"""Types that a type checker infers for the asyncio client. Never run; mypy and pyright read it, see test_typing."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import assert_type

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
    Outcome,
    OutputCut,
    PythonError,
    PythonResult,
    RunOutput,
    RunResult,
    SessionInfo,
    VmList,
    VmSummary,
)
from arker import Organization as WhoseKey


async def clients() -> None:
    assert_type(AsyncArker(), AsyncArker)
    assert_type(AsyncArker.local(), AsyncArker)
    async with AsyncArker.local(Path("state")) as arker:
        assert_type(arker, AsyncArker)
        assert_type(arker.with_options(retry=None), AsyncArker)
    AsyncArker(http_client=httpx.AsyncClient())
    AsyncArker(http_client=httpx.Client())  # type: ignore[arg-type]


async def computers(arker: AsyncArker) -> None:
    vm = arker.vm("arkuntu")
    assert_type(vm, AsyncComputer)
    assert_type(await vm.fork(name="a"), AsyncComputer)
    assert_type(await vm.fork(count=3), AsyncBranches)
    assert_type(await (await vm.fork(count=3)).all_or_none(), list[AsyncComputer])
    assert_type(await vm.run("true"), RunResult)
    async with await vm.fork() as child:
        assert_type(child, AsyncComputer)
    async with vm.fork() as child:
        assert_type(child, AsyncComputer)
    async with vm.fork(count=2) as children:
        assert_type(children, AsyncBranches)
    async with await vm.fork(count=2) as children:
        assert_type(children, AsyncBranches)
        assert_type(children[0], Outcome[AsyncComputer, ArkerError])
    await vm.delete()


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
        async for _ in vm.terminal():  # type: ignore[misc]
            pass
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
    assert_type(await arker.list(), VmList)
    assert_type(arker.iter_vms(), AsyncIterator[VmSummary])
    async for row in arker.iter_vms():
        assert_type(row, VmSummary)
    outcomes = await arker.map(lambda row: arker.vm(row).run("true"), await arker.list())
    assert_type(outcomes, list[Outcome[RunResult, Exception]])


async def numbers() -> AsyncIterator[int]:
    yield 1


async def files(sync: AsyncSync, pieces: AsyncIterator[bytes]) -> None:
    assert_type(await sync.read_file("/home/user/a"), bytes)
    assert_type(await sync.read_files(["/home/user/a"]), dict[str, Outcome[bytes, ArkerError]])
    assert_type(await sync.write_files({"/home/user/a": b""}), dict[str, Outcome[None, ArkerError]])
    await sync.write_file("/home/user/a", pieces)
    await sync.write_file("/home/user/a", io.BytesIO(), progress=print)
    await sync.upload("local", "/home/user/a")
    await sync.download("/home/user/a", "local")
    await sync.write_file("/home/user/a", numbers())  # type: ignore[arg-type]


async def every_operation(arker: AsyncArker) -> None:
    assert_type(await arker.call(whoami), Organization)
    assert_type(await arker.call(list_regions), RegionList)
    assert_type(await arker.call(list_vms, limit=5), VmPage)
    assert_type(await arker.call(fork_by_name, body=ForkByNameRequest("name", False)), ForkByNameResponse)
    assert_type(await arker.call(health), Health)
    assert_type(await arker.call(get_run, "id", "run"), RunRecord)
    assert_type(await arker.whoami(), WhoseKey)
    assert_type(await arker.usage(), tuple[ComputerUsage, ...])
    assert_type(await arker.vm("name").info(), ComputerInfo)
    await arker.vm("name").rename("other", timeout=5)
    await arker.vm("name").stop(timeout=5)
    assert_type(await arker.call(get_vm, "id"), Vm)
    assert_type(await arker.call(delete_vm, "id"), Deleted)
    assert_type(await arker.call(fork_vm, "id", body=ForkRequest(False)), ForkResponse)
    assert_type(await arker.call(run_command, "id", body=RunRequest("true", 0)), RunResponse)
    answer = await arker.call(sync_files, "id", body=ReadRequest("/home/user/a", "read"))
    assert isinstance(answer, InlineFile | SignedFile | WriteResponse)
    assert_type(answer, InlineFile | SignedFile | WriteResponse)
    await arker.call(get_vm, 5)  # type: ignore[arg-type]
    await arker.call(get_vm)  # type: ignore[call-arg]


async def interpreters(vm: AsyncComputer) -> None:
    assert_type(vm.python(), AsyncPython)
    async with vm.python(executable="/home/user/venv/bin/python", idle=None) as python:
        assert_type(await python.run("1", timeout=5, on_stdout=print), PythonResult)
        assert_type((await python.run("1")).error, PythonError | None)
        await python.run(b"1")  # type: ignore[arg-type]
