"""Runs of the client with a deployment that has contract 0.3 alone, where output is asked for again and again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from arker import ArkerError, AsyncArker, CommandFailedError, RetryPolicy, RunOutput
from arker._async.cancelling import Running, cancel
from arker.local.process.launcher import Deployment
from tests.faults.proxy import CuttingProxy

pytestmark = pytest.mark.contract("0.3")


@pytest.fixture
def wire(deployment: Deployment) -> Iterator[CuttingProxy]:
    with CuttingProxy(deployment.base_url, without="/api/v1/local/") as proxy:
        yield proxy


def client(wire: CuttingProxy, deployment: Deployment) -> AsyncArker:
    retry = RetryPolicy(backoff=0.001)
    return AsyncArker(deployment.api_key, wire.url, global_url=wire.url, retry=retry)


async def test_output_is_seen_while_the_command_runs(wire: CuttingProxy, deployment: Deployment) -> None:
    async with client(wire, deployment) as arker, await arker.vm("arkuntu").fork() as vm:
        out: list[bytes] = []
        err: list[bytes] = []

        async def seen(data: bytes) -> None:
            out.append(data)
            await vm.run("touch ~/seen", session_id="beside")

        command = (
            "printf 'kä\\303'; until [ -e ~/seen ]; do sleep 0.02; done; printf '\\244\\377'; echo oops >&2"
        )
        result = await vm.run(f"{command}; cd /tmp; exit 3", on_stdout=seen, on_stderr=err.append)
        assert b"".join(out) == result.stdout == "kää".encode() + b"\xff"
        assert (b"".join(err), result.stderr) == (b"oops\n", b"oops\n")
        assert (result.exit_code, result.reason, result.cwd) == (3, "exited", "/tmp")
        assert (await vm.run("pwd")).text == "/tmp\n"


@pytest.mark.slow
async def test_a_run_in_the_background_is_found_cancelled_and_signalled(
    wire: CuttingProxy, deployment: Deployment
) -> None:
    async with client(wire, deployment) as arker, await arker.vm("arkuntu").fork() as vm:
        run = await vm.start("echo begun; sleep 1000")
        assert (await vm.run("echo free")).text == "free\n"
        await vm.wait_for(output="begun", run=run)
        with pytest.raises(ArkerError) as caught:
            await run.wait(timeout=0.3)
        assert caught.value.code == "timeout"
        async with client(wire, deployment) as other:
            found = await other.vm(vm.id).get_run(run.id)
            assert (found.state, (await found.output())[0]) == ("running", b"begun\n")
            assert [one.id for one in await other.vm(vm.id).runs(running=True)] == [run.id]
        assert await run.cancel()
        assert (await run.wait(timeout=30)).reason == "cancelled"
        # The session was made for the run.
        assert [session.id for session in await vm.sessions()] == ["0"]
        run = await vm.start(
            "trap 'exit 9' INT; echo ready; while :; do sleep 0.01; done", session_id="named"
        )
        await vm.wait_for(output="ready", run=run)
        await run.send_signal("INT")
        assert (await run.wait(timeout=30)).exit_code == 9
        assert len(await vm.runs(limit=2)) == 2
        with pytest.raises(CommandFailedError):
            await vm.wait_for(output="never", run=run)
        with pytest.raises(ArkerError) as caught:
            await vm.get_run("run_none")
        assert caught.value.code == "not_found"


@pytest.mark.slow
async def test_arguments_for_one_command(wire: CuttingProxy, deployment: Deployment) -> None:
    async with client(wire, deployment) as arker, await arker.vm("arkuntu").fork() as vm:
        result = await vm.run("pwd; echo $A; cd /; A=x", cwd="/tmp", env={"A": "b  'c"})
        assert result.text == "/tmp\nb 'c\n"
        assert (await vm.run("pwd; echo $A")).text == "/home/user\n\n"
        assert not (await vm.run("sleep 1000", env={"A": ""}, timeout=1)).completed
        for call in (
            lambda: vm.run("cat", stdin="x"),
            lambda: vm.start("cat", stdin=True),
            lambda: vm.port(80).connect(),
        ):
            with pytest.raises(ArkerError) as caught:
                await call()
            assert (caught.value.code, caught.value.processed) == ("unsupported_operation", "no")


@pytest.mark.slow
async def test_a_run_without_an_answer_is_found_by_its_session(
    wire: CuttingProxy, deployment: Deployment
) -> None:
    async with client(wire, deployment) as arker, await arker.vm("arkuntu").fork() as vm:
        one, other = [await vm.start("sleep 1000", session_id=session) for session in (1, 2)]
        await cancel(arker, Running(vm, "sleep 1000", "no-key", v03=True, session=2, began=1.0))
        assert (await other.wait(timeout=30)).reason == "cancelled"
        assert (await one.refresh()).state == "running"
        for _ in range(2):
            await vm.start("sleep 1000", session_id=2)
        # Two of them: it is not known which.
        await cancel(arker, Running(vm, "sleep 1000", "no-key", v03=True, session=2, began=1.0))
        assert len(await vm.runs(running=True)) == 3


async def test_an_exception_of_a_callback_ends_the_command(
    wire: CuttingProxy, deployment: Deployment
) -> None:
    async with client(wire, deployment) as arker, await arker.vm("arkuntu").fork() as vm:
        with pytest.raises(ZeroDivisionError):
            await vm.run("echo x; sleep 1000", on_stdout=lambda data: 1 / 0)
        assert (await (await vm.runs())[0].wait(timeout=30)).reason == "cancelled"


@pytest.mark.slow
async def test_an_answer_that_is_lost_loses_no_output(wire: CuttingProxy, deployment: Deployment) -> None:
    async with client(wire, deployment) as arker, await arker.vm("arkuntu").fork() as vm:
        got = b""
        async with await vm.stream(
            "for i in 1 2 3; do echo line $i; until [ -e $i ]; do sleep 0.02; done; done"
        ) as stream:
            async for event in stream:
                assert isinstance(event, RunOutput)
                assert event.offset == len(got)
                got += event.data
                await vm.run(f"touch {got.split()[-1].decode()}", session_id="beside")
                wire.lose(1)
        assert got == b"line 1\nline 2\nline 3\n"
        assert wire.lost
