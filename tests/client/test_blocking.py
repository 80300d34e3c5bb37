"""Behaviour of the blocking client only: threads, Ctrl-C, forked processes."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from arker import Arker, ArkerError, Computer, RetryPolicy
from arker._sync import runs
from arker._sync.gather import Work
from arker.local.process.launcher import Deployment
from tests.faults import server as faults
from tests.faults.server import KEY, Server


def client(server: Server, **options: object) -> Arker:
    given = {"base_url": server.url, "global_url": server.url, "retry": None, **options}
    return Arker(KEY, **given)  # type: ignore[arg-type]


def interrupted(work: Callable[[], object], when: Callable[[], bool]) -> float:
    """Call `work` in this thread, press Ctrl-C when it is due, and return how long that took to end it.

    It is pressed until it was noticed: a signal that comes between the last look of the interpreter and the call
    of the system that waits is noticed only with the next one. It is raised once.
    """
    pressed: list[float] = []
    entered = threading.Event()
    noticed = threading.Event()

    def interrupt(*_: object) -> None:
        if not noticed.is_set():
            noticed.set()
            raise KeyboardInterrupt

    def press() -> None:
        entered.wait()
        while not when():
            time.sleep(0.002)
        pressed.append(time.monotonic())
        while not noticed.is_set():
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            noticed.wait(0.2)

    before = signal.signal(signal.SIGINT, interrupt)
    thread = threading.Thread(target=press)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012  # from here on it may come
            entered.set()
            work()
        return time.monotonic() - pressed[0]
    finally:
        noticed.set()
        thread.join()
        signal.signal(signal.SIGINT, before)


def test_threads_share_a_client(server: Server) -> None:
    with client(server, max_connections=8) as arker:
        vm = arker.vm(server.vm())
        failures: list[BaseException] = []

        def work(n: int) -> None:
            try:
                for m in range(20):
                    command = f"{n}-{m}"
                    # Nobody gets the answer to another's question.
                    assert vm.run(command).stdout == command.encode()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert len(server.commands) == len(set(server.commands)) == 640
        assert server.connections <= 8


@pytest.mark.parametrize("step", ["run", "read", "get", "list"])
def test_ctrl_c_ends_a_call_at_once_and_leaves_the_client_usable(server: Server, step: str) -> None:
    vm_id = server.vm(a=bytes(5 << 20))
    server.fail(step, faults.delay(60))
    with client(server) as arker:
        vm = arker.vm(vm_id)
        work = {
            "run": lambda: vm.run("x"),
            "read": lambda: vm.sync.read_file("/home/user/a"),
            "get": lambda: vm.sync.read_file("/home/user/a"),
            "list": arker.list,
        }[step]
        assert interrupted(work, lambda: step in server.steps()) < 30
        # The connection went with it: what it may still bring is no answer to anything.
        # The one that a run's cancellation was sent by stays.
        assert server.settle(int(step == "run"))
        assert len(vm.sync.read_file("/home/user/a")) == 5 << 20
        assert vm.run("y").stdout == b"y"


def test_ctrl_c_ends_a_pause_between_tries(server: Server) -> None:
    server.fail(
        "list", *[faults.answer(faults.Answer.error("unavailable", "m", 503, **{"retry-after": "20"}))] * 9
    )
    with client(server, retry=RetryPolicy()) as arker:
        assert interrupted(arker.list, lambda: "list" in server.steps()) < 30


def test_ctrl_c_ends_the_wait_for_a_connection(server: Server) -> None:
    answer = threading.Event()
    server.fail("run", faults.held(answer))
    with client(server, max_connections=1) as arker:
        vm = arker.vm(server.vm())
        other = threading.Thread(target=vm.run, args=("x",))
        other.start()
        while "run" not in server.steps():
            time.sleep(0.002)
        assert interrupted(arker.list, lambda: len(arker._pipeline._pooled._pools.get()._waiters) == 1) < 30
        answer.set()
        other.join()
        arker.list()
    assert server.connections == 1


def test_ctrl_c_leaves_no_child_of_a_fan_out(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = threading.Event()
    stop = Work.stop

    def tell(work: Work[object]) -> None:
        stop(work)
        stopped.set()

    # Those under way are answered when no other can follow, however slow the machine is.
    monkeypatch.setattr(Work, "stop", tell)
    monkeypatch.setattr("arker._sync.computer._DRAIN", 60.0)
    server.fail("fork", *[None] * 4, *[faults.held(stopped)] * 26)
    with client(server) as arker:
        assert interrupted(lambda: arker.vm("arkuntu").fork(count=30), lambda: len(server.forks) >= 4) < 30
        assert sorted(server.deleted) == sorted(server.forks)
        assert len(server.forks) < 30


def test_failed_deletes_do_not_delay_ctrl_c(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("arker._sync.computer._DRAIN", 0.2)
    server.fail("fork", None, faults.delay(60))
    server.fail("delete", faults.delay(60), faults.delay(60))
    with client(server) as arker:
        assert interrupted(lambda: arker.vm("arkuntu").fork(count=2), lambda: len(server.forks) == 2) < 20
        assert "a computer was not deleted: timeout" in caplog.text
        server.drop_all()


@pytest.mark.parametrize("files", ["files", "sync"])
def test_a_ctrl_c_leaves_no_part_of_a_download(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: str
) -> None:
    original = Path.open

    def interrupted(path: Path, *args: Any, **options: Any) -> Any:
        original(path, *args, **options).close()
        raise KeyboardInterrupt

    with client(server) as arker, monkeypatch.context() as patch:
        # Imports its modules, which opens files in pytest.
        download = getattr(arker.vm("arkuntu"), files).download
        patch.setattr(Path, "open", interrupted)
        with pytest.raises(KeyboardInterrupt):
            download("/home/user/a", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_a_map(server: Server) -> None:
    started = []
    done = threading.Event()

    def work(n: int) -> None:
        started.append(n)
        done.wait(30)

    with client(server) as arker:
        assert interrupted(lambda: arker.map(work, range(100), concurrency=4), lambda: len(started) == 4) < 25
        done.set()
        for thread in threading.enumerate():
            if thread.name.startswith("arker-"):
                thread.join()
    assert len(started) == 4


def forked(vm: Computer) -> int:
    """Start a child process that runs 50 commands and exits with 0 if each got its own answer; its pid."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if all(vm.run(f"child {n}").stdout == b"child %d" % n for n in range(50)) else 2
        finally:
            os._exit(status)
    return child


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork()")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_has_connections_of_its_own(server: Server) -> None:
    with client(server) as arker:
        vm = arker.vm(server.vm())
        vm.run("before")
        child = forked(vm)
        assert all(vm.run(f"parent {n}").stdout == b"parent %d" % n for n in range(50))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert len(set(server.commands)) == 101
    assert server.connections == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork()")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_while_the_pool_is_held_by_another_thread(server: Server) -> None:
    with client(server) as arker:
        arker.list()
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            with arker._pipeline._pooled._pools.get()._lock:
                held.set()
                done.wait(60)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            try:
                arker.list()
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        done.set()
        thread.join()


def test_a_call_from_another_thread_outlives_a_ctrl_c(server: Server) -> None:
    server.fail("run", faults.delay(0.3))
    with client(server) as arker:
        vm = arker.vm(server.vm())
        results = []
        thread = threading.Thread(target=lambda: results.append(vm.run("x")))
        thread.start()
        assert interrupted(lambda: time.sleep(60), lambda: "run" in server.steps()) < 30
        thread.join()
        assert results[0].stdout == b"x"


def test_an_interrupted_block_still_deletes(server: Server) -> None:
    with client(server) as arker:
        with pytest.raises(KeyboardInterrupt), arker.vm("arkuntu").fork():
            raise KeyboardInterrupt
        assert server.deleted == server.forks
        with pytest.raises(ArkerError, match="not_found"):
            arker.vm(server.forks[0]).run("x")


def test_a_job_that_ends_its_thread_ends_the_map(server: Server) -> None:
    def work(n: int) -> None:
        if n == 1:
            raise SystemExit(n)

    with client(server) as arker, pytest.raises(SystemExit):
        arker.map(work, range(100), concurrency=4)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork()")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_has_connections_of_its_own_to_a_proxy(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    with client(server, base_url="http://deployment.test", allow_http=True) as arker:
        vm = arker.vm(server.vm())
        vm.run("before")
        child = forked(vm)
        # One after the other, or they would find the connection busy.
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert vm.run("after").stdout == b"after"
    assert server.connections == 2


def test_a_pool_of_one_serves_many_threads_while_it_is_closed(server: Server) -> None:
    """Calls under way end, those that wait for a connection end one way or the other, and nothing stays open."""
    server.fail("run", *[faults.delay(0.02)] * 20)
    arker = client(server, max_connections=1)
    vm = arker.vm(server.vm())
    ended: list[object] = []

    def run(n: int) -> None:
        try:
            ended.append(vm.run(str(n)).stdout)
        except ArkerError as error:
            ended.append(error.code)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    while len(server.commands) < 3:
        time.sleep(0.002)
    arker.close()
    for thread in threads:
        thread.join(60)
    assert len(ended) == 20
    # One is under way and ends with an error; what became of its command is not known.
    assert sum(isinstance(end, bytes) for end in ended) in (len(server.commands) - 1, len(server.commands))
    assert len(server.commands) == len(set(server.commands))
    assert server.settle(0)


# Of a socket that nobody holds yet, Python has to close it; and a signal that is taken in a finalizer is lost.
@pytest.mark.slow
@pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "kept"])
def test_ctrl_c_at_any_step_loses_no_connection(
    server: Server, fresh: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal is taken at the beginning or end of a function: of every one of the client's, in turn."""
    # A Ctrl-C in a finalizer is reported to this hook. That of pytest keeps the exception until the end of the test,
    # and with it the frames that hold the connection.
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    # The only connection may be that of the call that ends: the cancellation waits for it in vain.
    monkeypatch.setattr("arker._sync.cancelling.CANCELLING", 0.05)
    step = due = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal step
        if "/arker/_" not in frame.f_code.co_filename:
            return None
        if event in ("call", "return"):
            step += 1
            if step == due:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    with client(server, max_connections=1) as arker:
        vm = arker.vm(server.vm())
        pool = arker._pipeline._pooled._pools.get()
        vm.run("x")
        while step >= due:
            if fresh:
                server.drop_all()
                assert server.settle(0)
            step, due = 0, due + 1
            sys.settrace(trace)
            try:
                vm.run("x")
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(before)
            if len(pool._open) != sum(len(queue) for queue in pool._idle.values()):
                gc.collect()  # the trace function and the frames that it saw may form a cycle
            assert len(pool._open) == sum(len(queue) for queue in pool._idle.values())
        assert due > 50
    gc.collect()  # a socket that nobody holds may be in such a cycle, too


def test_ctrl_c_cancels_the_run(server: Server) -> None:
    server.fail("run", faults.delay(60))
    with client(server) as arker:
        vm = arker.vm(server.vm())
        assert interrupted(lambda: vm.run("x"), lambda: "run" in server.steps()) < 30
    run, cancel = server.requests
    assert (run.step, cancel.step) == ("run", "cancel")
    assert cancel.json == {"idempotency_key": run.key}


def test_ctrl_c_leaves_no_computer_that_was_being_forked() -> None:
    with Server(honours_keys=True) as server:
        server.fail("fork", faults.drip)
        with client(server, retry=RetryPolicy(resend=True)) as arker:
            assert interrupted(lambda: arker.vm("arkuntu").fork(), lambda: len(server.forks) == 1) < 30
            assert server.deleted == server.forks


def test_closing_in_one_thread_ends_the_run_of_another(server: Server) -> None:
    server.fail("run", faults.delay(60))
    arker = client(server)
    ended: list[object] = []

    def run() -> None:
        try:
            arker.vm(server.vm()).run("x")
        except ArkerError as error:
            ended.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    while "run" not in server.steps():
        time.sleep(0.002)
    arker.close()
    thread.join(30)
    assert ended == ["network: the client was closed meanwhile"]
    assert "cancel" in server.steps()


@pytest.mark.slow
def test_processes_killed_for_their_memory_are_noted_though_the_command_went_on() -> None:
    hog = """python3 -c 'import time; b = bytearray(b"x") * (80 << 20); time.sleep(100)'"""
    with Arker.local(limits={"memory": 200 << 20}) as arker, arker.vm("arkuntu").fork() as vm:
        # Two of them fit.
        result = vm.run(f"for i in 1 2 3; do {hog} & done; wait -n; true", timeout=60)
        assert (result.exit_code, result.reason) == (0, "exited")
        (note,) = result.notes
        assert "more than its 209715200 bytes of memory" in note
        assert vm.run("true").notes == ()


@pytest.mark.slow
def test_a_computer_with_a_full_disk_refuses_whatever_is_written_until_there_is_room(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "f").write_bytes(b"x" * 2_000_000)
    large = b"x" * 9_000_000  # more than the request of a small file, or than one chunk, carries
    with Arker.local(limits={"disk": 12_000_000}) as arker, arker.vm("arkuntu").fork() as vm:
        vm.files.write("/home/user/big", b"x" * 11_000_000)
        writes: list[Callable[[], object]] = [
            lambda: vm.files.write("/home/user/f", b"x" * 2_000_000),
            lambda: vm.files.write("/home/user/f", iter([large])),
            lambda: vm.files.append("/home/user/f", b"x" * 2_000_000),
            lambda: vm.files.copy("/home/user/big", "/home/user/copy"),
            lambda: vm.files.push(tmp_path / "tree", "/home/user/tree"),
            lambda: vm.sync.write_file("/home/user/f", b"x" * 2_000_000),
            lambda: vm.sync.write_file("/home/user/f", large),
            lambda: vm.sync.write_files({"/home/user/f": b"x" * 2_000_000})["/home/user/f"].get(),
        ]
        for write in writes:
            with pytest.raises(ArkerError, match="of the 12000000 bytes that its disk may hold") as caught:
                write()
            assert (caught.value.code, caught.value.attempts) == ("payload_too_large", 1)
            assert not caught.value.retryable
        vm.run("rm big").check()
        vm.files.write("/home/user/f", large)


@pytest.mark.contract("0.3")
def test_ctrl_c_as_input_begins_to_be_given_ends_the_command(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    url = deployment.base_url
    with Arker(deployment.api_key, url, global_url=url) as arker, arker.vm("arkuntu").fork() as vm:
        vm.run("true", on_stdout=print)
        monkeypatch.setattr(runs, "Feeder", interrupt)
        with pytest.raises(KeyboardInterrupt):
            vm.run("sleep 1000", stdin=iter(["x"]))
        assert vm.runs()[0].wait(timeout=30).reason == "cancelled"
