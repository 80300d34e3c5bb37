# Derived from tests/typing/_async/calls.py by `make generate`; do not edit.
"""Types that a type checker infers. Never run; mypy and pyright read it, see test_typing."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
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
    Arker,
    ArkerError,
    Branches,
    Computer,
    ComputerInfo,
    ComputerUsage,
    ErrorCode,
    Hooks,
    Outcome,
    OutputCut,
    Processed,
    Python,
    PythonError,
    PythonResult,
    RequestEvent,
    RetryPolicy,
    Run,
    RunOutput,
    RunResult,
    RunStream,
    Session,
    SessionInfo,
    Sync,
    Terminal,
    Timeouts,
    VmList,
    VmSummary,
)
from arker import Organization as WhoseKey


def clients() -> None:
    assert_type(Arker(), Arker)
    assert_type(Arker("key", "https://host", timeout=5, retry=None), Arker)
    assert_type(Arker.local(), Arker)
    assert_type(Arker.local(Path("state"), network=True), Arker)
    Arker(http_client=httpx.Client())
    with Arker(
        timeout=Timeouts(read=5), retry=RetryPolicy(attempts=2), hooks=Hooks(on_request=told)
    ) as arker:
        assert_type(arker, Arker)
        assert_type(arker.with_options(timeout=5, retry=None, host="regional"), Arker)
    Arker(5)  # type: ignore[arg-type]
    Arker(key="key")  # type: ignore[call-arg]
    arker.with_options(host="elsewhere")  # type: ignore[arg-type]


def told(event: RequestEvent) -> None:
    assert_type(event.error, ArkerError | None)
    assert_type(event.duration_ms, float)


def computers(arker: Arker) -> None:
    vm = arker.vm("arkuntu")
    assert_type(vm, Computer)
    assert_type(vm.id, str)
    assert_type(vm.fork(), Computer)
    assert_type(vm.fork(name="a", is_public=True, region="r", timeout=5), Computer)
    branches = vm.fork(count=3)
    assert_type(branches, Branches)
    assert_type(branches.all_or_none(), list[Computer])
    assert_type(branches[0], Outcome[Computer, ArkerError])
    assert_type(branches[0:2], tuple[Outcome[Computer, ArkerError], ...])
    result = vm.run("true", session_id=5, timeout=1)
    assert_type(result, RunResult)
    assert_type(result.check().text, str)
    with vm.fork() as child:
        assert_type(child, Computer)
    with vm.fork(count=2) as children:
        assert_type(children, Branches)
        for outcome in children:
            assert_type(outcome.get(), Computer)
    assert_type(vm.info(), ComputerInfo)
    assert_type(vm.update(description=None), ComputerInfo)
    vm.rename("other", timeout=5)
    vm.stop(timeout=5)
    vm.delete()
    vm.run(1)  # type: ignore[arg-type]
    vm.fork("name")  # type: ignore[call-overload]


def sessions(vm: Computer) -> None:
    with vm.session(cwd="/tmp", env={"A": "b"}) as session:
        assert_type(session, Session)
        assert_type(session.run(["true"]), RunResult)
        assert_type(session.stream("true"), RunStream)
        assert_type(session.start("true", stdin=True), Run)
        assert_type(session.terminal(columns=100), Terminal)
        with session.stream("true") as stream, session.terminal() as terminal:
            assert_type(stream, RunStream)
            assert_type(terminal, Terminal)
        for event in vm.stream("true"):
            assert_type(event, RunOutput | OutputCut)
        assert_type(session.info, SessionInfo)
        session.reset()
    assert_type(vm.sessions(), list[Session])
    assert_type(vm.get_session("name"), Session)
    for data in (b"", "text", io.BytesIO(), io.StringIO(), [b"a", b"b"], ["a"]):
        vm.run("cat", stdin=data)
    vm.run("cat", stdin=5)  # type: ignore[arg-type]
    run = vm.start("true")
    assert_type(vm.wait_for(output="x", run=run), re.Match[str])
    vm.wait_for(port=8000, run=run, timeout=1)
    assert_type(vm.port(8000).http(), httpx.Client)
    vm.wait_for(path="/tmp/x")
    vm.wait_for(output="x")  # type: ignore[call-overload]
    assert_type(vm.healthy(), bool)
    vm.session("name")  # type: ignore[call-arg]


def lists(arker: Arker) -> None:
    page = arker.list(limit=5, q="a", sort="-created_at")
    assert_type(page, VmList)
    assert_type(page[0], VmSummary)
    assert_type(page[0].created_at, datetime)
    assert_type(arker.iter_vms(), Iterator[VmSummary])
    for row in arker.iter_vms():
        assert_type(row, VmSummary)
    for row in page:
        assert_type(arker.vm(row), Computer)
    outcomes = arker.map(lambda row: arker.vm(row).run("true"), page)
    assert_type(outcomes, list[Outcome[RunResult, Exception]])
    arker.list(sort="name")  # type: ignore[arg-type]


def numbers() -> Iterator[int]:
    yield 1


def files(sync: Sync, pieces: Iterator[bytes]) -> None:
    assert_type(sync.read_file("/home/user/a"), bytes)
    assert_type(sync.read_files(["/home/user/a"]), dict[str, Outcome[bytes, ArkerError]])
    written = sync.write_files({"/home/user/a": b"", "/home/user/b": "text"})
    assert_type(written, dict[str, Outcome[None, ArkerError]])
    for data in (b"", bytearray(), memoryview(b""), "text", io.BytesIO(), [b"a", b"b"]):
        sync.write_file("/home/user/a", data, progress=lambda done, total: print(done / total))
    sync.write_file("/home/user/a", pieces)
    sync.upload("local", "/home/user/a")
    sync.download("/home/user/a", Path("local"), progress=print)
    sync.write_file("/home/user/a", 5)  # type: ignore[arg-type]
    sync.write_file("/home/user/a", numbers())  # type: ignore[arg-type]


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


def every_operation(arker: Arker) -> None:
    assert_type(arker.call(whoami), Organization)
    assert_type(arker.call(list_regions), RegionList)
    assert_type(arker.call(list_vms, limit=5), VmPage)
    assert_type(arker.call(fork_by_name, body=ForkByNameRequest("name", False)), ForkByNameResponse)
    assert_type(arker.call(health), Health)
    assert_type(arker.call(get_run, "id", "run"), RunRecord)
    assert_type(arker.whoami(), WhoseKey)
    assert_type(arker.usage(), tuple[ComputerUsage, ...])
    assert_type(arker.call(get_vm, "id"), Vm)
    assert_type(arker.call(delete_vm, "id"), Deleted)
    assert_type(arker.call(fork_vm, "id", body=ForkRequest(False), idempotency_key="key"), ForkResponse)
    assert_type(arker.call(run_command, "id", body=RunRequest("true", 0)), RunResponse)
    # A union of three; mypy knows it as `object`, and both know what becomes of it.
    answer = arker.call(sync_files, "id", body=ReadRequest("/home/user/a", "read"))
    assert isinstance(answer, InlineFile | SignedFile | WriteResponse)
    assert_type(answer, InlineFile | SignedFile | WriteResponse)
    arker.call(get_vm, 5)  # type: ignore[arg-type]
    arker.call(get_vm)  # type: ignore[call-arg]
    arker.call(whoami, limit=5)  # type: ignore[call-arg]
    arker.call(list_vms, limit="5")  # type: ignore[arg-type]
    arker.call(print)  # type: ignore[arg-type]


def interpreters(vm: Computer) -> None:
    assert_type(vm.python(), Python)
    with vm.python(executable="/home/user/venv/bin/python", idle=None) as python:
        assert_type(python.run("1", timeout=5, on_stdout=print), PythonResult)
        assert_type((python.run("1")).error, PythonError | None)
        python.run(b"1")  # type: ignore[arg-type]
