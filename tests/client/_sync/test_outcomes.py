# Derived from tests/client/_async/test_outcomes.py by `make generate`; do not edit.
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
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Literal

import httpx
import pytest

from arker import Arker, ArkerError, Computer, RetryPolicy, Run, RunOutput, Terminal
from arker._io_sync import sleep
from arker.local.process.launcher import Deployment
from tests.conftest import FreshDeployment
from tests.faults.proxy import CuttingProxy

pytestmark = pytest.mark.contract("0.3")


@pytest.fixture
def wire(deployment: Deployment) -> Iterator[CuttingProxy]:
    with CuttingProxy(deployment.base_url) as proxy:
        yield proxy


def client(url: str, key: str, **options: object) -> Arker:
    # As `Arker.local()`, which counts on keys.
    given = {"global_url": url, "retry": RetryPolicy(backoff=0.001, resend=True), **options}
    return Arker(key, url, **given)  # type: ignore[arg-type]


def logged(vm: Computer) -> str:
    return (vm.run("cat log 2>&-", session_id="look")).text


def rest(terminal: Terminal) -> None:
    while terminal.read(timeout=60):
        pass


def first(run: Run) -> None:
    with run.stream() as stream:
        for _ in stream:
            return


Fault = Callable[[], None]


def live(vm: Computer, fault: Fault) -> None:
    fault()
    seen: list[bytes] = []
    result = vm.run("echo x | tee -a log", on_stdout=seen.append)
    assert b"".join(seen) == result.stdout == b"x\n"
    assert logged(vm) == "x\n"


def stream(vm: Computer, fault: Fault) -> None:
    fault()
    with vm.stream("echo x | tee -a log") as events:
        assert (events.collect()).text == "x\n"
    assert logged(vm) == "x\n"


def start(vm: Computer, fault: Fault) -> None:
    fault()
    (vm.start("echo x >> log")).wait(timeout=60)
    assert logged(vm) == "x\n"


def wait(vm: Computer, fault: Fault) -> None:
    run = vm.start("echo x; exit 3")
    fault()
    result = run.wait(timeout=60)
    assert (result.text, result.exit_code) == ("x\n", 3)


def output(vm: Computer, fault: Fault) -> None:
    run = vm.start("echo x")
    run.wait(timeout=60)
    fault()
    assert run.output() == (b"x\n", b"")


def find(vm: Computer, fault: Fault) -> None:
    run = vm.start("exit 3")
    run.wait(timeout=60)
    fault()
    assert (vm.get_run(run.id)).info.exit_code == 3


def listing(vm: Computer, fault: Fault) -> None:
    run = vm.start("true")
    fault()
    assert [one.id for one in vm.runs()] == [run.id]


def write(vm: Computer, fault: Fault) -> None:
    run = vm.start("cat", stdin=True)
    run.write("1")
    fault()
    run.write("2")
    run.write("3")
    run.close_stdin()
    assert (run.wait(timeout=60)).text == "123"


def close_stdin(vm: Computer, fault: Fault) -> None:
    run = vm.start("cat", stdin=True)
    run.write("1")
    fault()
    run.close_stdin()
    assert (run.wait(timeout=60)).text == "1"


def send_signal(vm: Computer, fault: Fault) -> None:
    run = vm.start("trap 'exit 9' INT; echo ready; while :; do sleep 0.01; done")
    first(run)
    fault()
    # It may arrive twice.
    run.send_signal("INT")
    assert (run.wait(timeout=60)).exit_code == 9


def feed(vm: Computer, fault: Fault) -> None:
    fault()
    result = vm.run("tee -a log", stdin=iter(["1", "2"]), on_stdout=lambda _: None)
    assert result.text == logged(vm) == "12"


def feed_on(vm: Computer, fault: Fault) -> None:
    def pieces() -> Iterator[str]:
        yield "1"
        fault()
        yield "2"

    assert (vm.run("tee -a log", stdin=pieces())).text == "12"
    assert logged(vm) == "12"


def cancel(vm: Computer, fault: Fault) -> None:
    run = vm.start("sleep 1000")
    fault()
    # A second request does not find it going on.
    run.cancel()
    assert (run.wait(timeout=60)).reason == "cancelled"


def wait_for(vm: Computer, fault: Fault) -> None:
    run = vm.start("echo listening")
    fault()
    assert vm.wait_for(output="listening", run=run)


def session(vm: Computer, fault: Fault) -> None:
    fault()
    made = vm.session(env={"A": "b"})
    assert (made.run("echo $A")).text == "b\n"
    assert [one.id for one in vm.sessions()] == ["0", made.id]


def find_session(vm: Computer, fault: Fault) -> None:
    fault()
    assert (vm.get_session()).id == "0"
    assert [one.id for one in vm.sessions()] == ["0"]


def reset(vm: Computer, fault: Fault) -> None:
    made = vm.session(env={"A": "b"})
    made.run("A=c")
    fault()
    made.reset()
    assert (made.run("echo $A")).text == "b\n"


def close_session(vm: Computer, fault: Fault) -> None:
    made = vm.session()
    fault()
    made.close()
    assert [one.id for one in vm.sessions()] == ["0"]


def attach(vm: Computer, fault: Fault) -> None:
    fault()
    with vm.terminal() as terminal:
        terminal.write("exit 7\r")
        rest(terminal)
        assert terminal.exit_code == 7


def use_terminal(vm: Computer, fault: Fault) -> None:
    with vm.terminal() as terminal:
        terminal.write("echo st''ays\r")
        seen = b""
        while b"stays" not in seen:
            seen += terminal.read(timeout=60)
        fault()
        terminal.write("exit\r")
        rest(terminal)


def connect(vm: Computer, fault: Fault) -> None:
    serve(vm)
    fault()
    with vm.port(8000).connect() as connection:
        connection.write(b"GET / HTTP/1.0\r\n\r\n")
        assert (connection.read(timeout=60)).startswith(b"HTTP/1.0 200")


def use_port(vm: Computer, fault: Fault) -> None:
    serve(vm)
    with vm.port(8000).connect() as connection:
        fault()
        connection.write(b"GET / HTTP/1.0\r\n\r\n")
        if not connection.read(timeout=60):
            raise ArkerError("network", "the end of the connection", processed="maybe")


def ask_port(vm: Computer, fault: Fault) -> None:
    serve(vm)
    with vm.port(8000).http() as http:
        fault()
        try:
            assert (http.get("/")).status_code == 200
        except httpx.RemoteProtocolError as error:
            # A client of httpx fails as one.
            raise ArkerError("network", str(error), processed="maybe") from error


def python(vm: Computer, fault: Fault) -> None:
    with vm.python() as interpreter:
        fault()
        interpreter.run("count = 1")
        assert (interpreter.run("count")).value == "1"


def python_again(vm: Computer, fault: Fault) -> None:
    with vm.python() as interpreter:
        interpreter.run("count = 1")
        fault()
        assert (interpreter.run("count += 1; count")).value == "2"
        assert (interpreter.run("count")).value == "2"


def healthy(vm: Computer, fault: Fault) -> None:
    fault()
    assert vm.healthy()


def link(vm: Computer, fault: Fault) -> None:
    fault()
    assert "8000" in vm.port(8000).link()


def serve(vm: Computer) -> None:
    server = vm.start("exec python3 -m http.server 8000 --bind 127.0.0.1")
    vm.wait_for(port=8000, run=server)


Row = Callable[[Computer, Fault], None]

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
def test_a_connection_is_cut(wire: CuttingProxy, deployment: Deployment, row: Row, lost: str) -> None:
    with (
        client(deployment.base_url, deployment.api_key) as direct,
        direct.vm("arkuntu").fork() as computer,
        client(wire.url, deployment.api_key) as arker,
    ):
        vm = arker.vm(computer.id)

        def fault() -> None:
            if lost == "request":
                wire.drop(1)
            else:
                wire.lose(1)

        if TABLE[row][lost == "answer"] == "done":
            row(vm, fault)
        else:
            with pytest.raises(ArkerError) as caught:
                row(vm, fault)
            assert caught.value.code == "network"
            assert caught.value.processed != "no"
        assert wire.lost == 1


def recorded(served: FreshDeployment, run: Run) -> dict[str, object]:
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
def test_the_deployment_restarts(fresh_deployment: Callable[..., FreshDeployment]) -> None:
    served = fresh_deployment().start()
    with CuttingProxy(served.base_url) as wire:
        # The default patience: it takes a moment.
        patient = RetryPolicy(attempts=30)
        with client(wire.url, served.api_key, retry=patient) as arker:
            vm = arker.vm("arkuntu").fork()
            vm.run("cd /tmp; x=5")
            ended = vm.start("echo before; exit 3")
            ended.wait(timeout=60)
            session = vm.session(env={"A": "b"})
            run = vm.start("echo begun; cat; sleep 1000", stdin=True)
            terminal = session.terminal()
            terminal.read(timeout=60)
            with run.stream() as events:
                pieces = [next(events)]
                # What a run did is on the disk a moment later.
                while not (
                    recorded(served, run)
                    and recorded(served, ended).get("end")
                    and remembers(served, session.id)
                ):
                    sleep(0.02)
                served.kill()
                wire.move(served.start().base_url)
                # The stream goes on where it was, and says how the run ended.
                pieces += [event for event in events]
            assert [piece.data for piece in pieces if isinstance(piece, RunOutput)] == [b"begun\n"]
            assert run.info.reason in ("infrastructure", "computer_stopped")
            with pytest.raises(ArkerError) as caught:
                run.wait(timeout=60)
            assert caught.value.code == "unavailable"
            with pytest.raises(ArkerError) as caught:
                run.write("late")
            assert caught.value.code == "conflict"
            assert not run.cancel()
            run.send_signal("INT")
            assert (vm.get_run(ended.id)).output() == (b"before\n", b"")
            with pytest.raises(ArkerError) as caught:
                rest(terminal)
            assert caught.value.code == "network"
            terminal.detach()
            assert (session.run("echo $A")).text == "b\n"
            assert (vm.run("echo $x; pwd")).text == "5\n/tmp\n"
            assert vm.healthy()
            vm.delete()


def test_two_readers_and_two_attachments(deployment: Deployment) -> None:
    with (
        client(deployment.base_url, deployment.api_key) as arker,
        arker.vm("arkuntu").fork() as vm,
    ):
        run = vm.start("seq 1000; echo oops >&2")
        with run.stream() as one, run.stream() as two:
            assert (one.collect()).text == (two.collect()).text
        last = vm.terminal()
        for _ in range(2):
            before, last = last, vm.terminal()
            while before.read(timeout=60):
                pass
            assert before.exit_code is None
        last.kill()
        last.detach()


PROGRAM = {
    "run": "vm.run('echo begun > begun; sleep 1000; touch reached', on_stdout=print)",
    "start": "vm.start('echo begun > begun; sleep 1000; touch reached')",
}


@pytest.mark.parametrize("what", PROGRAM)
def test_the_client_is_killed(deployment: Deployment, what: str) -> None:
    with (
        client(deployment.base_url, deployment.api_key) as arker,
        arker.vm("arkuntu").fork() as vm,
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
                vm.wait_for(path="/home/user/begun")
            finally:
                process.send_signal(signal.SIGKILL)
        # Nobody has cancelled the command: it goes on, and is found.
        (run,) = vm.runs(running=True)
        assert run.cancel()
        assert (run.wait(timeout=60)).reason == "cancelled"
