"""Behaviour of the asyncio client only: cancellation, several event loops, many calls at once."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import random
import socket
import ssl
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal

import anyio
import httpx
import pytest
from arker_api.v03.api.runs import list_runs
from arker_api.v03.models import RunRequest, RunSummary

from arker import Arker, ArkerError, AsyncArker, AsyncComputer, RetryPolicy, RunOutput, VmBusyError
from arker._async import v03
from arker._async.gather import AsyncWork
from arker._http._async.stream import AsyncStream
from arker.local.process.launcher import Deployment
from tests.faults import server as faults
from tests.faults.server import KEY, Answer, Request, Server


def client(server: Server, **options: object) -> AsyncArker:
    return AsyncArker(KEY, server.url, **{"global_url": server.url, "retry": None, **options})  # type: ignore[arg-type]


async def until(condition: object) -> None:
    async with asyncio.timeout(30):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("step", ["run", "read", "get", "put"])
async def test_a_cancelled_call_ends_at_once_and_leaves_the_client_usable(server: Server, step: str) -> None:
    vm_id = server.vm(a=bytes(5 << 20))
    server.fail(step, faults.delay(60))
    async with client(server) as arker:
        vm = arker.vm(vm_id)
        work = {
            "run": lambda: vm.run("x"),
            "read": lambda: vm.sync.read_file("/home/user/a"),
            "get": lambda: vm.sync.read_file("/home/user/a"),
            "put": lambda: vm.sync.write_file("/home/user/b", bytes(5 << 20)),
        }[step]
        task = asyncio.create_task(work())
        await until(lambda: step in server.steps())
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - started < 30
        # The one that a run's cancellation was sent by stays.
        assert await asyncio.to_thread(server.settle, int(step == "run"))
        assert (await vm.run("y")).stdout == b"y"


async def test_cancelling_at_any_moment_loses_no_connection(server: Server) -> None:
    moments = random.Random(7)
    async with client(server, max_connections=4) as arker:
        vm = arker.vm(server.vm())

        async def one(n: int) -> None:
            task = asyncio.create_task(vm.run(str(n)))
            await asyncio.sleep(moments.random() * 0.004)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                assert (await task).stdout == str(n).encode()

        for start in range(0, 800, 16):
            await asyncio.gather(*(one(n) for n in range(start, start + 16)))
        pool = arker._pipeline._pooled._pools.get()
        idle = sum(len(queue) for queue in pool._idle.values())
        assert len(pool._open) == idle <= 4
        assert not pool._waiters
        assert await asyncio.to_thread(server.settle, idle)
        # All that may be open can be used.
        await asyncio.gather(*(vm.run("z") for _ in range(8)))
    assert len(server.commands) == len(set(server.commands)) + 7


async def test_a_cancelled_wait_for_a_connection_gives_its_place_away(server: Server) -> None:
    answer, again = threading.Event(), threading.Event()
    server.fail("run", faults.held(answer))
    async with client(server, max_connections=1) as arker:
        vm = arker.vm(server.vm())
        pool = arker._pipeline._pooled._pools.get()
        first = asyncio.create_task(vm.run("1"))
        await until(lambda: "run" in server.steps())
        second, third = asyncio.create_task(vm.run("2")), asyncio.create_task(vm.run("3"))
        await until(lambda: len(pool._waiters) == 2)
        second.cancel()
        answer.set()
        assert [(await task).stdout for task in (first, third)] == [b"1", b"3"]
        # Cancelled in the very moment in which it is served.
        server.fail("run", faults.held(again))
        fourth, fifth = asyncio.create_task(vm.run("4")), asyncio.create_task(vm.run("5"))
        await until(lambda: len(pool._waiters) == 1)
        again.set()
        await until(lambda: not pool._waiters)
        fifth.cancel()
        await asyncio.gather(fourth, fifth, return_exceptions=True)
        # None, if it was cancelled a moment later: with its request under way the connection is closed.
        assert len(pool._open) <= 1
        assert (await vm.run("6")).stdout == b"6"
        assert len(pool._open) == 1
    assert "2" not in server.commands


async def test_a_timeout_around_a_call(server: Server) -> None:
    server.fail("run", faults.delay(5))
    async with client(server) as arker:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await arker.vm(server.vm()).run("x")


async def test_a_cancelled_fan_out_leaves_no_child(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = threading.Event()
    stop = AsyncWork.stop

    def tell(work: AsyncWork[object]) -> None:
        stop(work)
        stopped.set()

    # Those under way are answered when no other can follow, however slow the machine is.
    monkeypatch.setattr(AsyncWork, "stop", tell)
    monkeypatch.setattr("arker._async.computer._DRAIN", 60.0)
    server.fail("fork", *[None] * 4, *[faults.held(stopped)] * 26)
    async with client(server) as arker:
        task = asyncio.create_task(arker.vm("arkuntu").fork(count=30))
        await until(lambda: len(server.forks) >= 4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sorted(server.deleted) == sorted(server.forks)
        assert len(server.forks) < 30


async def test_failed_deletes_do_not_delay_a_cancelled_fan_out(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("arker._async.computer._DRAIN", 0.2)
    server.fail("fork", None, faults.delay(60))
    server.fail("delete", faults.delay(60), faults.delay(60))
    async with client(server) as arker:
        task = asyncio.create_task(arker.vm("arkuntu").fork(count=2))
        await until(lambda: len(server.forks) == 2)
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - started < 20
    assert "a computer was not deleted: timeout" in caplog.text


async def test_a_cancelled_map_cancels_its_calls(server: Server) -> None:
    began: list[int] = []
    ended = []

    async def work(n: int) -> None:
        began.append(n)
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(n)

    async with client(server) as arker:
        task = asyncio.create_task(arker.map(work, range(100), concurrency=4))
        await until(lambda: len(began) == 4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert ended == [0, 1, 2, 3]


async def test_many_calls_at_once(server: Server) -> None:
    async with client(server) as arker:
        vm = arker.vm(server.vm())
        results = await asyncio.gather(*(vm.run(str(n)) for n in range(300)))
        assert [result.stdout for result in results] == [str(n).encode() for n in range(300)]


def test_a_client_in_several_loops_one_after_the_other(server: Server) -> None:
    arker = client(server)
    vm = arker.vm(server.vm())
    for n in range(3):
        assert asyncio.run(vm.run(str(n))).stdout == str(n).encode()
    # A loop that is gone takes its connections along.
    gc.collect()
    assert server.settle(0)
    asyncio.run(arker.aclose())
    with pytest.raises(ArkerError, match="closed"):
        asyncio.run(vm.run("x"))


def test_a_client_in_several_loops_at_once(server: Server) -> None:
    arker = client(server)
    vm = arker.vm(server.vm())
    failures = []

    async def work(n: int) -> None:
        for m in range(20):
            assert (await vm.run(f"{n}-{m}")).stdout == f"{n}-{m}".encode()

    def thread(n: int) -> None:
        try:
            asyncio.run(work(n))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=thread, args=(n,)) for n in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failures
    asyncio.run(arker.aclose())
    gc.collect()


def test_a_client_holds_no_loop(server: Server) -> None:
    arker = client(server)

    async def work() -> weakref.ref[asyncio.AbstractEventLoop]:
        await arker.list()
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(work())
    gc.collect()
    assert loop() is None


async def test_other_tasks_go_on_during_a_transfer(server: Server) -> None:
    others, went_on = threading.Event(), []

    def wait(server: Server, request: Request, process: Callable[[], Answer], sock: socket.socket) -> None:
        went_on.append(others.wait(60))

    # Nothing is read meanwhile, and more is sent than the sockets hold.
    server.fail("head-put", wait)
    vm = server.vm()
    async with client(server) as arker:
        writing = asyncio.create_task(arker.vm(vm).sync.write_file("/home/user/a", bytes(30 << 20)))
        await until(lambda: "put" in server.steps())
        others.set()
        await writing
    assert went_on == [True]


async def test_an_interrupted_block_still_deletes(server: Server) -> None:
    async with client(server) as arker:
        inside = asyncio.Event()

        async def work() -> None:
            async with await arker.vm("arkuntu").fork() as vm:
                assert isinstance(vm, AsyncComputer)
                inside.set()
                await asyncio.sleep(10)

        task = asyncio.create_task(work())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert server.deleted == server.forks


@pytest.mark.parametrize("interrupt", ["timeout", "cancel"])
async def test_a_read_that_was_interrupted_has_lost_nothing(interrupt: str) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    stream = AsyncStream(ours)
    if interrupt == "timeout":
        with pytest.raises(TimeoutError):
            await stream.read(0.02)
    else:
        reading = asyncio.create_task(stream.read(60))
        await asyncio.sleep(0)
        # In the very moment in which it comes.
        theirs.send(b"hel")
        await asyncio.sleep(0)
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            assert await reading == b"hel"
            theirs.send(b"hel")
    if interrupt == "timeout":
        theirs.send(b"hel")
    theirs.send(b"lo")
    assert await stream.read(10) == b"hello"
    stream.close()
    theirs.close()


async def test_a_job_that_ends_cancelled_is_an_outcome(server: Server) -> None:
    async def work(n: int) -> int:
        if n == 1:
            task = asyncio.create_task(asyncio.sleep(60))
            await asyncio.sleep(0)
            task.cancel()
            await task
        return n

    async with client(server) as arker:
        outcomes = await arker.map(work, range(4), concurrency=1)
    assert [outcome.value for outcome in outcomes] == [0, None, 2, 3]
    assert "cancelled" in str(outcomes[1].error)


async def test_the_rest_of_a_tls_record_has_no_longer_than_its_first_byte() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    stream = AsyncStream(ours)

    async def drip() -> None:
        theirs.send(b"\x16\x03\x03\x40\x00")
        while True:
            await asyncio.sleep(0.02)
            theirs.send(b"\0")

    task = asyncio.create_task(drip())
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        await stream.start_tls("localhost", 0.2)
    assert time.monotonic() - started < 30
    task.cancel()
    stream.close()
    theirs.close()


async def test_closing_does_not_leave_the_peer_waiting_for_room() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await AsyncStream.connect("127.0.0.1", listener.getsockname()[1], tls=False, timeout=10)
        peer, _ = listener.accept()
    with peer:
        # Until nothing has fitted in for a while.
        peer.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            while True:
                peer.send(bytes(1 << 20))
        assert await stream.read(10)
        stream.close()
        peer.settimeout(20)
        with pytest.raises(ConnectionError):
            peer.sendall(bytes(64 << 20))


@pytest.mark.slow
async def test_an_embedded_deployment_starts_beside_other_tasks() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.005)

    task = asyncio.create_task(tick())
    # Options that no other test has, so that it really starts.
    async with await asyncio.to_thread(AsyncArker.local, max_vms=12) as arker:
        task.cancel()
        assert (await arker.list()).total == 0
    assert ticks > 5


async def test_an_end_of_tls_that_comes_with_the_answer_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """As some servers say good-bye; the next request must not go there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(faults.CERTIFICATE)
    ours, theirs = socket.socketpair()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    ours.setblocking(False)
    stream = AsyncStream(ours)
    trusting = ssl.create_default_context(cafile=str(faults.CERTIFICATE))
    monkeypatch.setattr("arker._http._async.stream.ssl_context", lambda: trusting)

    def serve() -> None:
        while True:
            try:
                server.do_handshake()
                break
            except ssl.SSLWantReadError:
                theirs.sendall(outgoing.read())
                incoming.write(theirs.recv(1 << 16))
        server.write(b"answer")
        with contextlib.suppress(ssl.SSLWantReadError):
            server.unwrap()
        theirs.sendall(outgoing.read())

    serving = asyncio.create_task(asyncio.to_thread(serve))
    await stream.start_tls("127.0.0.1", 10)
    assert await stream.read(10) == b"answer"
    await serving
    assert stream.is_readable()
    stream.close()
    theirs.close()


async def test_a_pipe_may_be_filled_by_the_same_event_loop(server: Server) -> None:
    reader, writer = os.pipe()
    vm_id = server.vm()
    async with client(server) as arker:
        with os.fdopen(reader, "rb") as pipe:
            writing = asyncio.create_task(arker.vm(vm_id).sync.write_file("/home/user/a", pipe))
            await asyncio.sleep(0)
            with os.fdopen(writer, "wb") as end:
                end.write(b"content")
            await writing
    assert server.vms[vm_id].files["/home/user/a"] == b"content"


class OfCoroutines:
    """A file as aiofiles has it."""

    async def read(self, size: int = -1) -> bytes:
        raise NotImplementedError

    async def seekable(self) -> bool:
        return True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"one\n"
        yield b"two\n"


class PartlyOfCoroutines(OfCoroutines):
    """A file as anyio has it."""

    def seekable(self) -> bool:  # type: ignore[override]
        return True


@pytest.mark.parametrize("file", [OfCoroutines(), PartlyOfCoroutines()])
async def test_a_file_that_is_read_by_await_is_iterated(server: Server, file: OfCoroutines) -> None:
    vm_id = server.vm()
    async with client(server) as arker:
        await arker.vm(vm_id).sync.write_file("/home/user/a", file)
    assert server.vms[vm_id].files["/home/user/a"] == b"one\ntwo\n"


def test_a_file_that_is_read_by_await_is_nothing_for_the_blocking_client(server: Server) -> None:
    with Arker(KEY, server.url) as arker, pytest.raises(TypeError, match="not OfCoroutines"):
        arker.vm(server.vm()).sync.write_file("/home/user/a", OfCoroutines())  # type: ignore[arg-type]


async def test_closing_reaches_the_connections_of_other_loops(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the client's own httpx, too, as a proxy needs it."""
    monkeypatch.setattr("arker._http._async.pipeline.needs_proxy", lambda host: True)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    arker = client(server)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(arker.list(), loop))
        await arker.list()
        assert len(server.open) == 2
        await arker.aclose()
        assert await asyncio.to_thread(server.settle, 0)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


# --- what a cancelled call leaves ---


def cancelled_keys(server: Server) -> list[str]:
    return [request.json["idempotency_key"] for request in server.requests if request.step == "cancel"]


def keys_of(server: Server, step: str) -> list[str | None]:
    return [request.key for request in server.requests if request.step == step]


async def under_way(server: Server, step: str, call: Awaitable[object]) -> asyncio.Task[object]:
    task = asyncio.ensure_future(call)
    await until(lambda: step in server.steps())
    assert isinstance(task, asyncio.Task)
    return task


@pytest.mark.parametrize("lacking", [False, True], ids=["known", "unknown to the deployment"])
async def test_cancelling_a_run_cancels_it_in_the_deployment(server: Server, lacking: bool) -> None:
    server.fail("run", faults.delay(60))
    if not lacking:
        server.fail("cancel", faults.answer(Answer.of({"cancelled": True})))
    async with client(server) as arker:
        task = await under_way(server, "run", arker.vm(server.vm()).run("x"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cancelled_keys(server) == keys_of(server, "run")
        assert server.requests[-1].path.startswith("/api/v1/local/vms/")
    assert not [request for request in server.requests[2:] if request.step == "cancel"]


@pytest.mark.parametrize("answered", [False, True], ids=["under way", "gone into the background"])
async def test_cancelling_a_run_ends_it_where_only_contract_0_3_is_spoken(
    serving: Callable[[str], Deployment], answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    async def hide(request: httpx.Request) -> None:
        sent.append(f"{request.method} {request.url.path}")
        if "/local/" in request.url.path:
            request.url = request.url.copy_with(path="/api/v1/nothing")

    if answered:
        monkeypatch.setattr(v03, "RunRequest", functools.partial(RunRequest, time_to_background=0))
    deployment = serving("0.3")
    async with (
        httpx.AsyncClient(event_hooks={"request": [hide]}) as http,
        AsyncArker(
            deployment.api_key, deployment.base_url, global_url=deployment.base_url, http_client=http
        ) as arker,
        await arker.vm("arkuntu").fork() as vm,
    ):
        task = asyncio.create_task(vm.run("echo $$ > pid; sleep 1000"))

        async def record() -> RunSummary | None:
            runs = (await arker.call(list_runs, vm.id)).runs
            return runs[0] if runs else None

        while (run := await record()) is None or run.state != "running":
            await asyncio.sleep(0.01)
        if answered:
            await until(lambda: bool(sent) and f"/runs/{run.run_id}" in sent[-1])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while (run := await record()) is None or run.state == "running":
            await asyncio.sleep(0.01)
        assert run.state == "cancelled"


@pytest.mark.parametrize("ours", [True, False], ids=["own", "contract 0.3 alone"])
async def test_a_start_that_is_cancelled_before_its_answer_ends_its_command(
    serving: Callable[[str], Deployment], ours: bool
) -> None:
    started = asyncio.Event()

    async def hide(request: httpx.Request) -> None:
        if "/local/" in request.url.path and not ours:
            request.url = request.url.copy_with(path="/api/v1/nothing")

    async def hold(response: httpx.Response) -> None:
        if response.request.method == "POST" and response.url.path.endswith("/runs"):
            started.set()
            await asyncio.Event().wait()

    deployment = serving("0.3")
    hooks = {"request": [hide], "response": [hold]}
    async with (
        httpx.AsyncClient(event_hooks=hooks) as http,
        AsyncArker(
            deployment.api_key, deployment.base_url, global_url=deployment.base_url, http_client=http
        ) as arker,
        await arker.vm("arkuntu").fork() as vm,
    ):
        task = asyncio.create_task(vm.start("sleep 1000"))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (run,) = await vm.runs()
        assert (await run.wait(timeout=30)).reason == "cancelled"


@pytest.mark.slow
async def test_a_deployment_that_does_not_answer_a_cancellation_delays_it_little(server: Server) -> None:
    server.fail("run", faults.delay(60))
    server.fail("cancel", faults.delay(60))
    async with client(server) as arker:
        task = await under_way(server, "run", arker.vm(server.vm()).run("x"))
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - started < 30


async def test_a_cancel_scope_that_insists_does_not_keep_a_cancellation_from_the_deployment(
    server: Server,
) -> None:
    server.fail("run", faults.delay(60))
    async with client(server) as arker:
        with anyio.CancelScope() as scope:

            async def cancel() -> None:
                await until(lambda: "run" in server.steps())
                scope.cancel()

            cancelling = asyncio.create_task(cancel())
            await arker.vm(server.vm()).run("x")
        assert scope.cancelled_caught
        await cancelling
        await until(lambda: "cancel" in server.steps())
        assert cancelled_keys(server) == keys_of(server, "run")


async def test_closing_cancels_what_is_under_way(server: Server) -> None:
    server.fail("run", faults.delay(60), faults.delay(60))
    arker = client(server)
    vm = arker.vm(server.vm())
    tasks = [asyncio.create_task(vm.run(command, session_id=command)) for command in "xy"]
    await until(lambda: server.steps().count("run") == 2)
    await arker.aclose()
    for task in tasks:
        with pytest.raises(ArkerError, match="network: the client was closed meanwhile"):
            await task
    assert sorted(cancelled_keys(server)) == sorted(map(str, keys_of(server, "run")))


@pytest.mark.parametrize("acted", [False, True])
async def test_a_fork_that_was_cancelled_on_its_way_leaves_no_computer(acted: bool) -> None:
    with Server(honours_keys=True) as server:

        def hang(
            server: Server, request: Request, process: Callable[[], Answer], sock: socket.socket
        ) -> None:
            if acted:
                process()
            raise faults.Hang if not sock.recv(1) else AssertionError

        server.fail("fork", hang)
        async with client(server, retry=RetryPolicy(resend=True)) as arker:

            async def work() -> None:
                async with await arker.vm("arkuntu").fork():
                    raise AssertionError("it was made")

            task = await under_way(server, "fork", work())
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(set(keys_of(server, "fork"))) == 1
            assert server.deleted == server.forks
            assert len(server.forks) == 1


@pytest.mark.parametrize("name", [None, "mine"])
async def test_the_error_names_a_cancelled_fork_where_keys_may_be_ignored(
    name: str | None, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.fail("fork", faults.delay(60))
    async with client(server) as arker:
        task = await under_way(server, "fork", arker.vm("arkuntu").fork(name=name))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert "was cancelled, and may have been made" in caplog.text
    assert (name or str(keys_of(server, "fork")[0])) in caplog.text
    assert keys_of(server, "fork") == keys_of(server, "fork")[:1]


async def test_a_cancelled_command_ends_within_a_second(deployment: Deployment) -> None:
    async with (
        AsyncArker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as arker,
        await arker.vm("arkuntu").fork() as vm,
    ):
        task = asyncio.create_task(vm.run("echo begun > begun; sleep 300"))
        while not (await vm.run("test -s begun", session_id="watcher")).ok:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Were it not cancelled, the session would be busy for 5 minutes. It takes a second on a quiet machine.
        async with asyncio.timeout(30):
            while True:
                try:
                    # What was killed is listed until process 1 has taken notice.
                    assert (
                        await vm.run("while pgrep -x sleep >/dev/null; do :; done; echo ended")
                    ).text == "ended\n"
                    break
                except VmBusyError:
                    await asyncio.sleep(0.01)


async def test_a_cancelled_fork_of_a_deployment_leaves_no_computer(deployment: Deployment) -> None:
    moments = random.Random(3)
    async with AsyncArker(
        deployment.api_key,
        deployment.base_url,
        global_url=deployment.base_url,
        retry=RetryPolicy(resend=True),
    ) as arker:

        async def work(n: int) -> None:
            async with await arker.vm("arkuntu").fork(name=f"cancelled-{n}"):
                await asyncio.sleep(60)

        for n in range(8):
            task = asyncio.create_task(work(n))
            await asyncio.sleep(moments.random() * 0.03)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert [vm.name async for vm in arker.iter_vms(q="cancelled-")] == []


async def test_an_event_loop_that_cannot_wait_for_sockets_goes_through_httpx(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of Windows."""
    monkeypatch.setattr("arker._http._async.pipeline.async_waits_for_sockets", lambda: False)
    async with client(server) as arker:
        assert (await arker.vm(server.vm()).run("x")).stdout == b"x"
        assert not arker._pipeline._pooled._pools.all()


@pytest.mark.parametrize("contract", ["0.1", "0.3"])
async def test_a_cancelled_run_ends_and_no_other_does(
    serving: Callable[[str], Deployment], contract: Literal["0.1", "0.3"]
) -> None:
    deployment = serving(contract)
    await cancel_one_of_two(deployment, contract)


async def cancel_one_of_two(deployment: Deployment, contract: Literal["0.1", "0.3"]) -> None:
    url = deployment.base_url
    client = AsyncArker(deployment.api_key, url, global_url=url, contract=contract)
    async with client as arker, await arker.vm("arkuntu").fork() as vm:
        other = asyncio.create_task(
            vm.run("until [ -e free ]; do sleep 0.05; done; echo other", session_id=1)
        )
        run = asyncio.create_task(vm.run("touch started; sleep 60; touch ended"))
        while (await vm.run("ls", session_id=2)).stdout.split() != [b"started"]:
            assert not run.done()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        # The session is free again.
        assert (await vm.run("ls; touch free", timeout=20)).stdout == b"started\n"
        assert (await other).stdout == b"other\n"


async def test_a_cancelled_task_ends_the_run_of_its_stream(deployment: Deployment) -> None:
    arker = AsyncArker(deployment.api_key, deployment.base_url, global_url=deployment.base_url)
    async with arker, await arker.vm("arkuntu").fork() as vm:
        seen = asyncio.Event()

        async def follow() -> None:
            async with vm.stream("echo x; sleep 1000") as stream:
                async for _ in stream:
                    seen.set()

        task = asyncio.create_task(follow())
        await seen.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await (await vm.runs())[0].wait(timeout=30)).reason == "cancelled"


@pytest.mark.contract("0.3")
async def test_what_opens_something_is_awaited_or_entered(deployment: Deployment) -> None:
    arker = AsyncArker(deployment.api_key, deployment.base_url, global_url=deployment.base_url)
    async with arker, arker.vm("arkuntu").fork() as vm:
        async with vm.session(cwd="/tmp") as session, session.stream("pwd") as stream:
            assert [event.data async for event in stream if isinstance(event, RunOutput)] == [b"/tmp\n"]
        stream = await asyncio.create_task(vm.stream("echo a task"))
        assert (await stream.collect()).stdout == b"a task\n"
        stream = await asyncio.wait_for(vm.stream("echo in time"), 60)
        assert (await stream.collect()).stdout == b"in time\n"
        assert [event.data async for event in vm.stream("echo x") if isinstance(event, RunOutput)] == [b"x\n"]
        with pytest.raises(VmBusyError):
            async with vm.stream("sleep 1000"), vm.stream("true"):
                pytest.fail("the session is busy")
        assert (await (await vm.runs())[0].wait(timeout=30)).reason == "cancelled"


@pytest.mark.contract("0.3")
async def test_a_loop_over_a_stream_that_is_left_ends_its_command(deployment: Deployment) -> None:
    arker = AsyncArker(deployment.api_key, deployment.base_url, global_url=deployment.base_url)
    async with arker, arker.vm("arkuntu").fork() as vm:
        async for event in vm.stream("echo x; sleep 1000"):
            assert isinstance(event, RunOutput)
            break
        gc.collect()
        assert (await (await vm.runs())[0].wait(timeout=30)).reason == "cancelled"


@pytest.mark.contract("0.3")
async def test_a_step_of_a_stream_that_takes_too_long_is_repeated(deployment: Deployment) -> None:
    arker = AsyncArker(deployment.api_key, deployment.base_url, global_url=deployment.base_url)
    async with arker, arker.vm("arkuntu").fork() as vm:
        run = await vm.start("read line; echo $line", stdin=True)
        async with run.stream() as stream:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 0.1)
            await run.write("two\n")
            assert [event.data async for event in stream if isinstance(event, RunOutput)] == [b"two\n"]


async def test_an_interpreter_that_is_closed_while_it_starts_ends(deployment: Deployment) -> None:
    arker = AsyncArker(deployment.api_key, deployment.base_url, global_url=deployment.base_url)
    async with arker, arker.vm("arkuntu").fork() as vm:
        python = vm.python()
        call = asyncio.create_task(python.run("1"))
        await asyncio.sleep(0)
        await python.aclose()
        with pytest.raises(ArkerError, match="was closed"):
            await call
        assert (await (await vm.runs())[0].wait(timeout=30)).reason == "cancelled"
