"""What becomes of every operation on runs, sessions, terminals and ports under every fault: a table."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from typing import Literal

import httpx
import pytest

from arker import ArkerError, AsyncArker, AsyncComputer, AsyncRun, AsyncTerminal, RetryPolicy, RunOutput
from arker._io_async import async_sleep
from arker.local.process.launcher import Deployment
from tests.conftest import FreshDeployment
from tests.faults.proxy import CuttingProxy

pytestmark = pytest.mark.contract("0.3")


@pytest.fixture
def wire(deployment: Deployment) -> Iterator[CuttingProxy]:
    with CuttingProxy(deployment.base_url) as proxy:
        yield proxy


def client(url: str, key: str, **options: object) -> AsyncArker:
    # As `Arker.local()`, which counts on keys.
    given = {"global_url": url, "retry": RetryPolicy(backoff=0.001, resend=True), **options}
    return AsyncArker(key, url, **given)  # type: ignore[arg-type]


async def logged(vm: AsyncComputer) -> str:
    return (await vm.run("cat log 2>&-", session_id="look")).text


async def rest(terminal: AsyncTerminal) -> None:
    while await terminal.read(timeout=60):
        pass


async def first(run: AsyncRun) -> None:
    async with run.stream() as stream:
        async for _ in stream:
            return


Fault = Callable[[], None]


async def live(vm: AsyncComputer, fault: Fault) -> None:
    fault()
    seen: list[bytes] = []
    result = await vm.run("echo x | tee -a log", on_stdout=seen.append)
    assert b"".join(seen) == result.stdout == b"x\n"
    assert await logged(vm) == "x\n"


async def stream(vm: AsyncComputer, fault: Fault) -> None:
    fault()
    async with await vm.stream("echo x | tee -a log") as events:
        assert (await events.collect()).text == "x\n"
    assert await logged(vm) == "x\n"


async def start(vm: AsyncComputer, fault: Fault) -> None:
    fault()
    await (await vm.start("echo x >> log")).wait(timeout=60)
    assert await logged(vm) == "x\n"


async def wait(vm: AsyncComputer, fault: Fault) -> None:
    run = await vm.start("echo x; exit 3")
    fault()
    result = await run.wait(timeout=60)
    assert (result.text, result.exit_code) == ("x\n", 3)


async def output(vm: AsyncComputer, fault: Fault) -> None:
    run = await vm.start("echo x")
    await run.wait(timeout=60)
    fault()
    assert await run.output() == (b"x\n", b"")


async def find(vm: AsyncComputer, fault: Fault) -> None:
    run = await vm.start("exit 3")
    await run.wait(timeout=60)
    fault()
    assert (await vm.get_run(run.id)).info.exit_code == 3


async def listing(vm: AsyncComputer, fault: Fault) -> None:
    run = await vm.start("true")
    fault()
    assert [one.id for one in await vm.runs()] == [run.id]


async def write(vm: AsyncComputer, fault: Fault) -> None:
    run = await vm.start("cat", stdin=True)
    await run.write("1")
    fault()
    await run.write("2")
    await run.write("3")
    await run.close_stdin()
    assert (await run.wait(timeout=60)).text == "123"


async def close_stdin(vm: AsyncComputer, fault: Fault) -> None:
    run = await vm.start("cat", stdin=True)
    await run.write("1")
    fault()
    await run.close_stdin()
    assert (await run.wait(timeout=60)).text == "1"


async def send_signal(vm: AsyncComputer, fault: Fault) -> None:
    run = await vm.start("trap 'exit 9' INT; echo ready; while :; do sleep 0.01; done")
    await first(run)
    fault()
    # It may arrive twice.
    await run.send_signal("INT")
    assert (await run.wait(timeout=60)).exit_code == 9


async def feed(vm: AsyncComputer, fault: Fault) -> None:
    fault()
    result = await vm.run("tee -a log", stdin=iter(["1", "2"]), on_stdout=lambda _: None)
    assert result.text == await logged(vm) == "12"


async def feed_on(vm: AsyncComputer, fault: Fault) -> None:
    def pieces() -> Iterator[str]:
        yield "1"
        fault()
        yield "2"

    assert (await vm.run("tee -a log", stdin=pieces())).text == "12"
    assert await logged(vm) == "12"


async def cancel(vm: AsyncComputer, fault: Fault) -> None:
    run = await vm.start("sleep 1000")
    fault()
    # A second request does not find it going on.
    await run.cancel()
    assert (await run.wait(timeout=60)).reason == "cancelled"


async def wait_for(vm: AsyncComputer, fault: Fault) -> None:
    run = await vm.start("echo listening")
    fault()
    assert await vm.wait_for(output="listening", run=run)


async def session(vm: AsyncComputer, fault: Fault) -> None:
    fault()
    made = await vm.session(env={"A": "b"})
    assert (await made.run("echo $A")).text == "b\n"
    assert [one.id for one in await vm.sessions()] == ["0", made.id]


async def find_session(vm: AsyncComputer, fault: Fault) -> None:
    fault()
    assert (await vm.get_session()).id == "0"
    assert [one.id for one in await vm.sessions()] == ["0"]


async def reset(vm: AsyncComputer, fault: Fault) -> None:
    made = await vm.session(env={"A": "b"})
    await made.run("A=c")
    fault()
    await made.reset()
    assert (await made.run("echo $A")).text == "b\n"


async def close_session(vm: AsyncComputer, fault: Fault) -> None:
    made = await vm.session()
    fault()
    await made.aclose()
    assert [one.id for one in await vm.sessions()] == ["0"]


async def attach(vm: AsyncComputer, fault: Fault) -> None:
    fault()
    async with await vm.terminal() as terminal:
        await terminal.write("exit 7\r")
        await rest(terminal)
        assert terminal.exit_code == 7


async def use_terminal(vm: AsyncComputer, fault: Fault) -> None:
    async with await vm.terminal() as terminal:
        await terminal.write("echo st''ays\r")
        seen = b""
        while b"stays" not in seen:
            seen += await terminal.read(timeout=60)
        fault()
        await terminal.write("exit\r")
        await rest(terminal)


async def connect(vm: AsyncComputer, fault: Fault) -> None:
    await serve(vm)
    fault()
    async with await vm.port(8000).connect() as connection:
        await connection.write(b"GET / HTTP/1.0\r\n\r\n")
        assert (await connection.read(timeout=60)).startswith(b"HTTP/1.0 200")


async def use_port(vm: AsyncComputer, fault: Fault) -> None:
    await serve(vm)
    async with await vm.port(8000).connect() as connection:
        fault()
        await connection.write(b"GET / HTTP/1.0\r\n\r\n")
        if not await connection.read(timeout=60):
            raise ArkerError("network", "the end of the connection", processed="maybe")


async def ask_port(vm: AsyncComputer, fault: Fault) -> None:
    await serve(vm)
    async with vm.port(8000).http() as http:
        fault()
        try:
            assert (await http.get("/")).status_code == 200
        except httpx.RemoteProtocolError as error:
            # A client of httpx fails as one.
            raise ArkerError("network", str(error), processed="maybe") from error


async def python(vm: AsyncComputer, fault: Fault) -> None:
    async with vm.python() as interpreter:
        fault()
        await interpreter.run("count = 1")
        assert (await interpreter.run("count")).value == "1"


async def python_again(vm: AsyncComputer, fault: Fault) -> None:
    async with vm.python() as interpreter:
        await interpreter.run("count = 1")
        fault()
        assert (await interpreter.run("count += 1; count")).value == "2"
        assert (await interpreter.run("count")).value == "2"


async def healthy(vm: AsyncComputer, fault: Fault) -> None:
    fault()
    assert await vm.healthy()


async def link(vm: AsyncComputer, fault: Fault) -> None:
    fault()
    assert "8000" in await vm.port(8000).link()


async def serve(vm: AsyncComputer) -> None:
    server = await vm.start("exec python3 -m http.server 8000 --bind 127.0.0.1")
    await vm.wait_for(port=8000, run=server)


Row = Callable[[AsyncComputer, Fault], Awaitable[None]]

#: What the caller sees when the request is lost, and when the answer is: the effect, once (`done`), or an error after
#: which the effect is not known (`network`).
TABLE: dict[Row, tuple[Literal["done", "network"], Literal["done", "network"]]] = {
    live: ("done", "done"),
    stream: ("done", "done"),
    start: ("done", "done"),
    wait: ("done", "done"),
    output: ("done", "done"),
    find: ("done", "done"),
    listing: ("done", "done"),
    write: ("done", "done"),
    close_stdin: ("done", "done"),
    send_signal: ("done", "done"),
    feed: ("done", "done"),
    feed_on: ("done", "done"),
    cancel: ("done", "done"),
    wait_for: ("done", "done"),
    session: ("done", "done"),
    find_session: ("done", "done"),
    reset: ("done", "done"),
    close_session: ("done", "done"),
    attach: ("done", "done"),
    # What goes on is found by attaching again.
    use_terminal: ("network", "network"),
    connect: ("done", "done"),
    use_port: ("network", "network"),
    ask_port: ("network", "network"),
    link: ("done", "done"),
    python: ("done", "done"),
    python_again: ("done", "done"),
    healthy: ("done", "done"),
}


@pytest.mark.parametrize("lost", ["request", "answer"])
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.__name__)
async def test_a_connection_is_cut(wire: CuttingProxy, deployment: Deployment, row: Row, lost: str) -> None:
    async with (
        client(deployment.base_url, deployment.api_key) as direct,
        await direct.vm("arkuntu").fork() as computer,
        client(wire.url, deployment.api_key) as arker,
    ):
        vm = arker.vm(computer.id)

        def fault() -> None:
            if lost == "request":
                wire.drop(1)
            else:
                wire.lose(1)

        if TABLE[row][lost == "answer"] == "done":
            await row(vm, fault)
        else:
            with pytest.raises(ArkerError) as caught:
                await row(vm, fault)
            assert caught.value.code == "network"
            assert caught.value.processed != "no"
        assert wire.lost == 1


def recorded(served: FreshDeployment, run: AsyncRun) -> dict[str, object]:
    """What the deployment has on its disk of a run."""
    for path in served.state.rglob(f"{run.id}.json"):
        record: dict[str, object] = json.loads(path.read_text())
        return record
    return {}


def remembers(served: FreshDeployment, session_id: str) -> bool:
    """Whether the deployment has on its disk what a session knows."""
    query = "SELECT count(*) FROM sessions WHERE id = ? AND state IS NOT NULL"
    with tempfile.TemporaryDirectory() as folder:
        # The deployment has locked its own.
        for path in served.state.rglob("engine.sqlite3*"):
            shutil.copy(path, folder)
        with closing(sqlite3.connect(f"{folder}/engine.sqlite3")) as connection:
            try:
                return bool(connection.execute(query, (session_id,)).fetchone()[0])
            except sqlite3.DatabaseError:
                return False  # it was written to between the copies


@pytest.mark.slow
async def test_the_deployment_restarts(fresh_deployment: Callable[..., FreshDeployment]) -> None:
    served = fresh_deployment().start()
    with CuttingProxy(served.base_url) as wire:
        # The default patience: it takes a moment.
        patient = RetryPolicy(attempts=30)
        async with client(wire.url, served.api_key, retry=patient) as arker:
            vm = await arker.vm("arkuntu").fork()
            await vm.run("cd /tmp; x=5")
            ended = await vm.start("echo before; exit 3")
            await ended.wait(timeout=60)
            session = await vm.session(env={"A": "b"})
            run = await vm.start("echo begun; cat; sleep 1000", stdin=True)
            terminal = await session.terminal()
            await terminal.read(timeout=60)
            async with run.stream() as events:
                pieces = [await anext(events)]
                # What a run did is on the disk a moment later.
                while not (
                    recorded(served, run)
                    and recorded(served, ended).get("end")
                    and remembers(served, session.id)
                ):
                    await async_sleep(0.02)
                served.kill()
                wire.move(served.start().base_url)
                # The stream goes on where it was, and says how the run ended.
                pieces += [event async for event in events]
            assert [piece.data for piece in pieces if isinstance(piece, RunOutput)] == [b"begun\n"]
            assert run.info.reason in ("infrastructure", "computer_stopped")
            with pytest.raises(ArkerError) as caught:
                await run.wait(timeout=60)
            assert caught.value.code == "unavailable"
            with pytest.raises(ArkerError) as caught:
                await run.write("late")
            assert caught.value.code == "conflict"
            assert not await run.cancel()
            await run.send_signal("INT")
            assert await (await vm.get_run(ended.id)).output() == (b"before\n", b"")
            with pytest.raises(ArkerError) as caught:
                await rest(terminal)
            assert caught.value.code == "network"
            await terminal.detach()
            assert (await session.run("echo $A")).text == "b\n"
            assert (await vm.run("echo $x; pwd")).text == "5\n/tmp\n"
            assert await vm.healthy()
            await vm.delete()


async def test_two_readers_and_two_attachments(deployment: Deployment) -> None:
    async with (
        client(deployment.base_url, deployment.api_key) as arker,
        await arker.vm("arkuntu").fork() as vm,
    ):
        run = await vm.start("seq 1000; echo oops >&2")
        async with run.stream() as one, run.stream() as two:
            assert (await one.collect()).text == (await two.collect()).text
        last = await vm.terminal()
        for _ in range(2):
            before, last = last, await vm.terminal()
            while await before.read(timeout=60):
                pass
            assert before.exit_code is None
        await last.kill()
        await last.detach()


PROGRAM = {
    "run": "vm.run('echo begun > begun; sleep 1000; touch reached', on_stdout=print)",
    "start": "vm.start('echo begun > begun; sleep 1000; touch reached')",
}


@pytest.mark.parametrize("what", PROGRAM)
async def test_the_client_is_killed(deployment: Deployment, what: str) -> None:
    async with (
        client(deployment.base_url, deployment.api_key) as arker,
        await arker.vm("arkuntu").fork() as vm,
    ):
        program = f"""if True:
                import sys, time
                from arker import Arker
                vm = Arker().vm(sys.argv[1])
                {PROGRAM[what]}
                time.sleep(1000)
            """
        environment = {
            **os.environ,
            "ARKER_API_KEY": deployment.api_key,
            "ARKER_BASE_URL": deployment.base_url,
            "ARKER_GLOBAL_URL": deployment.base_url,
        }
        with subprocess.Popen([sys.executable, "-c", program, vm.id], env=environment) as process:
            try:
                await vm.wait_for(path="/home/user/begun")
            finally:
                process.send_signal(signal.SIGKILL)
        # Nobody has cancelled the command: it goes on, and is found.
        (run,) = await vm.runs(running=True)
        assert await run.cancel()
        assert (await run.wait(timeout=60)).reason == "cancelled"
