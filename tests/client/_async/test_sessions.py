"""Handles of sessions against the embedded deployment, over either contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from arker import ArkerError, AsyncArker
from arker.local.process.launcher import Deployment

pytestmark = pytest.mark.contract("0.3")


@pytest.fixture(params=["auto", "0.3"])
def client(request: pytest.FixtureRequest, deployment: Deployment) -> AsyncArker:
    url = deployment.base_url
    return AsyncArker(deployment.api_key, url, global_url=url, contract=request.param)


async def test_a_session_begins_and_begins_again_as_asked(client: AsyncArker) -> None:
    async with client as arker, await arker.vm("arkuntu").fork() as vm:
        session = await vm.session(cwd="/tmp", env={"A": "b  'c"})
        assert (session.computer, session.info.state, session.info.cwd) == (vm, "idle", "/tmp")
        assert (await session.run('pwd; echo "$A"; env | grep ^A=')).stdout == b"/tmp\nb  'c\nA=b  'c\n"
        await session.run("cd /; A=other; f() { :; }; exec 9>/dev/null; set -f")
        assert (await session.refresh()).cwd == "/"
        named = session.id
        await session.reset()
        assert (session.id, session.info.cwd) == (named, "/tmp")
        assert (await session.run('echo "$A $-"; pwd; type f')).text.splitlines()[1:] == ["/tmp"]
        assert (await session.run('echo "$A"')).text == "b  'c\n"


async def test_sessions_are_listed_found_and_closed(client: AsyncArker) -> None:
    async with client as arker, await arker.vm("arkuntu").fork() as vm:
        assert [session.id for session in await vm.sessions()] == ["0"]
        async with await vm.session() as one:
            two = await vm.session()
            assert [session.id for session in await vm.sessions()] == ["0", one.id, two.id]
            again = await vm.get_session(two.id)
            await two.run("x=5")
            assert (await again.run("echo $x")).text == "5\n"
        assert [session.id for session in await vm.sessions()] == ["0", two.id]
        with pytest.raises(ArkerError) as caught:
            await vm.get_session(one.id)
        assert caught.value.code == "not_found"
        await one.aclose()


async def test_the_default_session_is_reset_and_what_runs_in_it_ends(client: AsyncArker) -> None:
    async with client as arker, await arker.vm("arkuntu").fork() as vm:
        default = await vm.get_session()
        await default.run("cd /tmp; x=5; sleep 1000 & echo $! > /tmp/pid")
        run = await default.start("echo begun; sleep 1000")
        async with run.stream() as stream:
            async for _ in stream:
                break
        assert (await default.refresh()).state == "running"
        await default.reset()
        assert (await run.wait(timeout=30)).reason == "cancelled"
        ended = "while kill -0 $(cat /tmp/pid) 2>&-; do sleep 0.01; done; echo gone"
        result = await default.run(f"pwd; echo x=$x; {ended}", timeout=60)
        assert result.text == "/home/user\nx=\ngone\n"


async def test_everything_goes_on_in_a_session(client: AsyncArker) -> None:
    async with (
        client as arker,
        await arker.vm("arkuntu").fork() as vm,
        await vm.session(env={"WHAT": "thing"}) as session,
    ):
        async with await session.stream("echo $WHAT") as stream:
            assert (await stream.collect()).text == "thing\n"
        assert (await (await session.start("echo $WHAT")).wait(timeout=30)).session_id == session.id
        seen: list[bytes] = []
        await session.run("cat; x=1", on_stdout=seen.append, stdin="in")
        assert b"".join(seen) == b"in"
        async with await session.terminal(columns=90) as terminal:
            await terminal.write("echo $WHAT-$COLUMNS; exit\r")
            drawn = b""
            while data := await terminal.read(timeout=30):
                drawn += data
        assert b"thing-90" in drawn


async def test_a_session_that_cannot_begin_is_not_made(client: AsyncArker) -> None:
    async with client as arker, await arker.vm("arkuntu").fork() as vm:
        with pytest.raises(ArkerError) as caught:
            await vm.session(cwd="/no/such")
        assert caught.value.code == "bad_request"
        await vm.run("mkdir repo")
        async with await vm.session(cwd="repo") as session:
            assert (await session.run("pwd")).text == "/home/user/repo\n"
        assert [session.id for session in await vm.sessions()] == ["0"]


async def test_a_closed_session_is_not_used_again(client: AsyncArker) -> None:
    async with client as arker, await arker.vm("arkuntu").fork() as vm:
        async with await vm.session() as session:
            await session.run("x=5")
        for use in (session.run, session.start):
            with pytest.raises(ArkerError) as caught:
                await use("echo $x")
            assert (caught.value.code, caught.value.processed) == ("invalid_state", "no")
        assert [one.id for one in await vm.sessions()] == ["0"]
        async with await vm.get_session() as default:
            await default.run("x=5")
        assert (await default.run("echo $x")).text == "\n"


async def test_contract_0_1_alone_has_no_sessions(serving: Callable[[str], Deployment]) -> None:
    deployment = serving("0.1")
    url = deployment.base_url
    async with (
        AsyncArker(deployment.api_key, url, global_url=url) as arker,
        await arker.vm("arkuntu").fork() as vm,
    ):
        with pytest.raises(ArkerError) as caught:
            await vm.session()
        assert (caught.value.code, caught.value.processed) == ("unsupported_operation", "no")
