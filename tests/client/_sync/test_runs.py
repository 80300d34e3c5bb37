# Derived from tests/client/_async/test_runs.py by `make generate`; do not edit.
"""Background runs of the client against the embedded deployment: live output, handles, input, broken connections."""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from arker import (
    Arker,
    ArkerError,
    BadRequestError,
    ForbiddenError,
    OutputCut,
    RetryPolicy,
    RunOutput,
    VmBusyError,
)
from arker._io_sync import sleep
from arker._sync.cancelling import Running, cancel
from arker._sync.runs import _begin
from arker.ids import new_ulid
from arker.local.process.launcher import Deployment
from tests.faults.proxy import CuttingProxy


@pytest.fixture
def wire(deployment: Deployment) -> Iterator[CuttingProxy]:
    with CuttingProxy(deployment.base_url) as proxy:
        yield proxy


def client(deployment: Deployment, url: str = "", **options: object) -> Arker:
    url = url or deployment.base_url
    given = {"global_url": url, "retry": RetryPolicy(backoff=0.001), **options}
    return Arker(deployment.api_key, url, **given)  # type: ignore[arg-type]


@pytest.mark.slow
def test_callbacks_see_output_as_it_comes_and_the_result_has_all_of_it(deployment: Deployment) -> None:
    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
        out: list[bytes] = []
        err: list[bytes] = []

        def seen(data: bytes) -> None:
            out.append(data)
            vm.run("touch ~/seen", session_id="beside")

        command = (
            "echo one; echo two >&2; until [ -e ~/seen ]; do sleep 0.02; done; sleep 1; echo three; (exit 3)"
        )
        result = vm.run(command, on_stdout=seen, on_stderr=err.append)
        assert b"".join(out) == result.stdout == b"one\nthree\n"
        assert b"".join(err) == result.stderr == b"two\n"
        assert (result.exit_code, result.reason, result.session_id) == (3, "exited", "0")
        assert result.error_text == "two\n"
        assert result.usage is not None
        assert result.usage.cpu_seconds is not None


def test_an_exception_of_a_callback_ends_the_command_and_is_raised(deployment: Deployment) -> None:
    class Enough(Exception):
        pass

    def stop(data: bytes) -> None:
        raise Enough

    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
        with pytest.raises(Enough):
            vm.run("echo x; sleep 1000; touch reached", on_stdout=stop)
        run = (vm.runs())[0]
        assert (run.wait(timeout=30)).reason == "cancelled"
        assert (vm.run("ls")).stdout == b""


def test_a_stream_yields_pieces_and_lines(deployment: Deployment) -> None:
    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
        with vm.stream("seq 3; printf 'end'; echo e >&2") as stream:
            events = [event for event in stream]
        assert not any(isinstance(event, OutputCut) for event in events)
        text = b"".join(
            event.data for event in events if isinstance(event, RunOutput) and event.stream == "stdout"
        )
        assert text == b"1\n2\n3\nend"
        assert stream.run.info.exit_code == 0
        lines = [line for line in stream.run.stream().lines()]
        assert [line for name, line in lines if name == "stdout"] == ["1", "2", "3", "end"]
        rest = [event for event in stream.run.stream(offset=len(text) + 2)]
        assert rest == []


def test_a_run_in_the_background_is_found_again(deployment: Deployment) -> None:
    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
        vm.run("cd /tmp; export WHAT=thing")
        run = vm.start("pwd; echo $WHAT; until [ -e go ]; do sleep 0.01; done; echo went; exit 4")
        assert run.state == run.info.state == "running"
        # Session 0 is free meanwhile.
        assert (vm.run("echo free")).stdout == b"free\n"
        with pytest.raises(ArkerError) as caught:
            run.wait(timeout=0.2)
        assert caught.value.code == "timeout"
        with client(deployment) as other:
            found = other.vm(vm.id).get_run(run.id)
            assert (found.output())[0] == b"/tmp\nthing\n"
            assert [one.id for one in other.vm(vm.id).runs(running=True)] == [run.id]
            vm.run("touch /tmp/go")
            result = found.wait(timeout=30)
        assert (result.stdout, result.exit_code) == (b"/tmp\nthing\nwent\n", 4)
        assert (run.refresh()).state == "completed"
        assert vm.runs(running=True) == []


def test_runs_that_are_followed_share_a_connection(deployment: Deployment) -> None:
    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
        pool = arker._pipeline._pooled._pools.get()
        (queue,) = pool._idle.values()
        (connection,) = queue
        for _ in range(3):
            vm.run("echo x", on_stdout=lambda data: None)
        assert [list(queue) for queue in pool._idle.values()] == [[connection]]


def test_a_wait_ends_in_time_while_output_comes(deployment: Deployment) -> None:
    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
        run = vm.start("while :; do echo line; sleep 0.05; done")
        with pytest.raises(ArkerError) as caught:
            run.wait(timeout=0.3)
        assert caught.value.code == "timeout"


def test_input_signals_and_cancel(deployment: Deployment) -> None:
    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
        run = vm.start("cat; echo end", stdin=True)
        run.write("häh ")
        run.write(b"x" * 1_000_000)
        run.close_stdin()
        result = run.wait(timeout=60)
        assert result.stdout == "häh ".encode() + b"x" * 1_000_000 + b"end\n"
        with pytest.raises(ArkerError) as caught:
            run.write(b"late")
        assert (caught.value.code, caught.value.message) == (
            "conflict",
            "the run takes no input: it has ended",
        )
        run = vm.start("sleep 1000")
        with pytest.raises(ArkerError, match=r"the run takes no input: it was started without$"):
            run.write(b"unasked")
        run.cancel()
        run = vm.start("cat; sleep 1000", stdin=True)
        run.close_stdin()
        with pytest.raises(ArkerError, match=r"the run takes no input: it is closed$"):
            run.write(b"late")
        run.send_signal("TERM")
        result = run.wait(timeout=30)
        assert (result.exit_code, result.reason) == (143, "signalled")
        run = vm.start("trap 'exit 9' INT; echo ready; while :; do :; done")
        with run.stream() as stream:
            for _ in stream:
                break
        run.send_signal("INT")
        assert (run.wait(timeout=30)).exit_code == 9
        run = vm.start("sleep 1000")
        assert run.cancel() is True
        assert (run.wait(timeout=30)).reason == "cancelled"
        assert run.cancel() is False


def test_every_handle_gives_input(deployment: Deployment) -> None:
    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
        run = vm.start("cat", stdin=True)
        again = vm.get_run(run.id)
        run.write("1")
        again.write("2")
        run.write("3")
        again.close_stdin()
        assert (run.wait(timeout=60)).text == "123"


def test_arguments_for_one_command(deployment: Deployment) -> None:
    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
        result = vm.run("pwd; echo $A; cat; cd /", cwd="/tmp", env={"A": "b  c"}, stdin="in")
        assert result.stdout == b"/tmp\nb c\nin"
        assert (vm.run("pwd")).stdout == b"/home/user\n"
        vm.run("mkdir -p repo/src; touch repo/file")
        for cwd, folder in (
            ("repo/src", "/home/user/repo/src"),
            ("~", "/home/user"),
            ("~/repo", "/home/user/repo"),
        ):
            run = vm.start("pwd", cwd=cwd)
            with vm.stream("pwd", cwd=cwd) as stream:
                streamed = stream.collect()
            for one in (vm.run("pwd", cwd=cwd), run.wait(timeout=30), streamed):
                assert one.text == f"{folder}\n"
        for call in (vm.run, vm.start, vm.stream):
            for wrong in ("/none", "repo/file"):
                with pytest.raises(BadRequestError, match="cwd: there is no folder"):
                    call("true", cwd=wrong)
        with pytest.raises(TypeError, match=r"^command\[1\] is a str, not int$"):
            vm.run(["ls", 3])  # type: ignore[list-item]
        assert (vm.run(["printf", "%s|", "a b", "$HOME", "'"])).stdout == b"a b|$HOME|'|"
        assert (vm.run("sleep 1000", env={"A": ""}, timeout=0.2)).completed is False
        with pytest.raises(TypeError):
            vm.run("cat", stdin=5)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            vm.run(["a", 1])  # type: ignore[list-item]


@pytest.mark.slow
def test_a_cut_stream_goes_on_where_it_was(wire: CuttingProxy, deployment: Deployment) -> None:
    with (
        client(deployment) as direct,
        client(deployment, wire.url) as arker,
        arker.vm("arkuntu").fork() as vm,
    ):
        got = b""
        command = (
            "for i in $(seq 300); do echo line $i; "
            "((i % 100)) || until [ -e go$i ]; do sleep 0.01; done; sleep 0.002; done"
        )
        with vm.stream(command) as stream:
            for event in stream:
                assert isinstance(event, RunOutput)
                assert event.offset == len(got)
                got += event.data
                lines = got.count(b"\n")
                if lines and lines % 100 == 0:
                    wire.lose(int(lines < 300))
                    direct.vm(vm.id).run(f"touch go{lines}", session_id="beside")
        assert got == b"".join(b"line %d\n" % number for number in range(1, 301))
        assert wire.lost == 2


def test_an_interrupted_step_of_a_stream_loses_nothing(wire: CuttingProxy, deployment: Deployment) -> None:
    with client(deployment) as direct, direct.vm("arkuntu").fork() as vm:
        run = vm.start("echo one; read; echo two; exit 3", stdin=True)
        with client(deployment, wire.url, retry=None) as arker:
            with (arker.vm(vm.id).get_run(run.id)).stream() as stream:
                got = b""
                for event in stream:
                    assert isinstance(event, RunOutput)
                    got += event.data
                    break
                wire.lose(1)
                run.write("\n")
                with pytest.raises(ArkerError) as caught:
                    stream.collect()
                assert caught.value.code == "network"
                result = stream.collect()
            assert (got + result.stdout, result.exit_code) == (b"one\ntwo\n", 3)


def test_a_closed_stream_has_no_result(deployment: Deployment) -> None:
    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
        stream = vm.stream("sleep 1000")
        stream.close()
        with pytest.raises(ArkerError, match="is closed") as caught:
            stream.collect()
        assert caught.value.code == "invalid_state"


def test_a_start_whose_answer_is_lost_runs_once(wire: CuttingProxy, deployment: Deployment) -> None:
    with client(deployment, wire.url) as arker, arker.vm("arkuntu").fork() as vm:
        wire.lose(2)
        run = vm.start("echo x >>log")
        run.wait(timeout=30)
        # Over contract 0.3 a plain run is kept, too.
        assert [one.id for one in vm.runs()] == [run.id]
        assert (vm.run("cat log")).stdout == b"x\n"


def test_missing_runs_are_not_found(deployment: Deployment) -> None:
    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
        with pytest.raises(ArkerError) as caught:
            vm.get_run("nothing")
        assert caught.value.code == "not_found"
        with pytest.raises(ValueError, match="not the id"):
            vm.get_run("../x")
        with pytest.raises(ForbiddenError):
            arker.vm("arkuntu").start("true")


def test_input_comes_from_memory_files_and_iterators(deployment: Deployment, tmp_path: Path) -> None:
    data = bytes(range(256)) * (12 << 10)
    (tmp_path / "data").write_bytes(data)

    def pieces() -> Iterator[bytes | str]:
        for number in range(300):
            yield f"line {number}\n" if number % 2 else b"line %d\n" % number

    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
        total = hashlib.sha256(data).hexdigest()
        assert (vm.run("sha256sum", stdin=data)).text.split()[0] == total
        with (tmp_path / "data").open("rb") as file:
            assert (vm.run("sha256sum", stdin=file)).text.split()[0] == total
        assert (vm.run("cat", stdin=io.StringIO("käse"))).text == "käse"
        with vm.stream("wc -l", stdin=pieces()) as stream:
            assert (stream.collect()).text == "300\n"
        # What is not read is left.
        endless = (b"x" * 65536 for _ in itertools.count())
        assert (vm.run("head -c 10", stdin=endless)).stdout == b"x" * 10


@pytest.mark.slow
def test_input_is_read_no_faster_than_the_command_reads(deployment: Deployment) -> None:
    read = 0

    def pieces() -> Iterator[bytes]:
        nonlocal read
        for _ in range(400):
            read += 1
            yield bytes(65536)

    with (
        client(deployment) as arker,
        arker.vm("arkuntu").fork() as vm,
        vm.stream("until [ -e go ]; do sleep 0.01; done; wc -c", stdin=pieces()) as stream,
    ):
        before = -1
        while before != read:
            before = read
            sleep(0.3)
        # The pipe, and what is on its way.
        assert read < 40
        vm.run("touch go", session_id=1)
        assert (stream.collect()).text == f"{400 * 65536}\n"


def test_input_that_fails_ends_the_command(deployment: Deployment) -> None:
    class Broken(Exception):
        pass

    def pieces() -> Iterator[bytes]:
        yield b"some"
        raise Broken

    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
        with pytest.raises(Broken):
            vm.run("cat; touch reached; sleep 1000", stdin=pieces())
        assert ((vm.runs())[0].wait(timeout=30)).reason == "cancelled"
        with pytest.raises(TypeError, match="not int"):
            vm.run("cat; touch reached; sleep 1000", stdin=[b"some", 5])  # type: ignore[list-item]
        assert (vm.run("ls")).stdout == b""


def test_an_answer_that_is_cut_at_once_is_found_again(wire: CuttingProxy, deployment: Deployment) -> None:
    with client(deployment, wire.url) as arker, arker.vm("arkuntu").fork() as vm:
        wire.lose(1)
        result = vm.run("echo once >> log; cat log", on_stdout=lambda data: None)
        assert (result.stdout, wire.lost) == (b"once\n", 1)


# Over contract 0.3, a plain run waits for its turn.
@pytest.mark.contract("0.1")
def test_a_busy_session_is_one_error_that_names_the_run(deployment: Deployment) -> None:
    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
        busy = vm.start("sleep 1000", session_id=0)
        for call in (
            functools.partial(vm.run, "true"),
            functools.partial(vm.run, "true", on_stdout=print),
            functools.partial(vm.run, "true", env={"A": "b"}),
            functools.partial(vm.stream, "true"),
            functools.partial(vm.start, "true", session_id=0),
        ):
            with pytest.raises(VmBusyError) as caught:
                call()
            assert caught.value.code == "vm_busy"
            assert busy.id in caught.value.message
        assert (vm.get_run(busy.id)).cancel()
        assert (vm.run("echo free")).text == "free\n"


def test_a_stream_that_is_left_ends_the_run_that_it_started(deployment: Deployment) -> None:
    class Enough(Exception):
        pass

    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
        try:
            with vm.stream("echo x; sleep 1000") as stream:
                for _ in stream:
                    raise Enough
        except Enough:
            pass
        assert (stream.run.wait(timeout=30)).reason == "cancelled"
        with vm.stream("echo x; sleep 1000") as stream:
            for _ in stream:
                break
        # The session is free at once.
        assert (vm.run("echo free")).text == "free\n"
        # Following a run is no reason to end it.
        run = vm.start("echo x; read line; echo $line", stdin=True)
        with run.stream() as followed:
            for _ in followed:
                break
        run.write("go on\n")
        assert (run.wait(timeout=30)).text == "x\ngo on\n"
        # What has ended, has ended as it did.
        with vm.stream("exit 3") as stream:
            stream.collect()
        assert stream.run.info.exit_code == (stream.run.refresh()).exit_code == 3


def test_closing_the_client_ends_the_commands_of_its_calls(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
        mine = client(deployment)
        stream = mine.vm(vm.id).stream("echo begun; sleep 1000")
        for _ in stream:
            break
        beside = mine.vm(vm.id).start("sleep 1000")
        mine.close()
        assert ((vm.get_run(stream.run.id)).wait(timeout=30)).reason == "cancelled"
        stream.close()
        assert caplog.text == ""
        assert ((vm.get_run(beside.id)).refresh()).state == "running"


def test_a_cancellation_by_key_ends_a_run_before_and_after_its_start(deployment: Deployment) -> None:
    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
        running = Running(vm, "", new_ulid())
        cancel(arker, running)
        with pytest.raises(ArkerError, match="cancelled before it started"):
            _begin(vm, b'{"command": "touch reached"}', running.key, None)
        running = Running(vm, "", new_ulid())
        run, begun = _begin(vm, b'{"command": "sleep 1000"}', running.key, None)
        assert begun is not None
        begun[0].close()
        cancel(arker, running)
        assert (run.wait(timeout=30)).reason == "cancelled"
        assert (vm.run("ls")).stdout == b""


@pytest.mark.parametrize(
    "how",
    [
        "run",
        "wait",
        "stream",
        "wait_for",
        "python",
        pytest.param("polling", marks=pytest.mark.contract("0.3")),
    ],
)
def test_a_failure_while_something_runs_does_not_deny_it(deployment: Deployment, how: str) -> None:
    without = "/api/v1/local/" if how == "polling" else ""
    with CuttingProxy(deployment.base_url, without=without) as wire:

        def die(_: bytes) -> None:
            wire.die()

        with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
            with client(deployment, wire.url) as cut:
                seen = cut.vm(vm.id)
                command = "echo here; sleep 1000"
                code = "print('here', flush=True)\nimport time\ntime.sleep(1000)"

                def wait() -> None:
                    (seen.start(command)).wait(on_stdout=die)

                def stream() -> None:
                    with seen.stream(command) as stream:
                        for _ in stream:
                            wire.die()

                def wait_for() -> None:
                    run = seen.start(command)
                    wire.die()
                    seen.wait_for(port=9, run=run)

                calls: dict[str, Callable[[], object]] = {
                    "run": lambda: seen.run(command, on_stdout=die),
                    "wait": wait,
                    "stream": stream,
                    "wait_for": wait_for,
                    "python": lambda: seen.python().run(code, on_stdout=die),
                    "polling": wait,
                }
                with pytest.raises(ArkerError) as caught:
                    calls[how]()
            assert (caught.value.code, caught.value.processed) == ("network", "maybe")
            assert "could not send" in caught.value.message
            assert "may go on" in caught.value.message
