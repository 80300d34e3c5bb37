"""Many readers, slow readers, many runs, floods: each takes bounded memory and holds nobody up.

The short form runs with the other tests. `make load` runs the long one and prints its figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from arker import Arker, ArkerError, Computer, ConflictError, Run
from tests.conftest import FreshDeployment

LONG = os.environ.get("ARKER_LOAD") == "long"
MIB = 1 << 20
FOLLOWERS = 1000 if LONG else 60
SLOW = 100 if LONG else 10
FLOOD = 1000 * MIB if LONG else 64 * MIB
COMPUTERS, RUNS_EACH = (100, 5) if LONG else (5, 4)
TERMINALS = 16 if LONG else 4

pytestmark = [pytest.mark.timeout(900)] if LONG else []


@pytest.fixture(scope="module")
def served() -> Iterator[FreshDeployment]:
    """A deployment of these tests alone: they measure its process."""
    state = Path(tempfile.mkdtemp(prefix="arker-test-"))
    one = FreshDeployment(state, "--max-vms", "200")
    try:
        yield one.start()
    finally:
        one.stop()
        shutil.rmtree(state, ignore_errors=True)


@pytest.fixture
def arker(served: FreshDeployment) -> Iterator[Arker]:
    with Arker(served.api_key, served.base_url, global_url=served.base_url) as arker:
        yield arker


@pytest.fixture
def vm(arker: Arker) -> Iterator[Computer]:
    with arker.vm("arkuntu").fork() as computer:
        computer.run("true")
        yield computer


def memory(process: int, field: str) -> int:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise AssertionError(field)


@contextlib.contextmanager
def growing_at_most(process: int, most: int, what: str) -> Iterator[None]:
    """The block lets a process grow by at most so many bytes."""
    Path(f"/proc/{process}/clear_refs").write_text("5")  # forgets the peak so far
    before = memory(process, "VmRSS")
    yield
    grown = memory(process, "VmHWM") - before
    print(f"\n{what}: {grown / MIB:.0f} MiB more at its peak", end="")
    assert grown < most


@contextlib.contextmanager
def answering(arker: Arker, within: float, what: str) -> Iterator[None]:
    """Beside the block, the deployment answers other requests."""
    longest, done, errors = 0.0, threading.Event(), list[Exception]()

    def ask() -> None:
        nonlocal longest
        while not done.wait(0.05):
            began = time.monotonic()
            try:
                arker.health()
            except Exception as error:
                errors.append(error)
            longest = max(longest, time.monotonic() - began)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    print(f"\n{what}: other requests took {longest * 1000:.0f} ms at most", end="")
    assert not errors
    assert longest < within


@contextlib.asynccontextmanager
async def follower(served: FreshDeployment, run: Run) -> AsyncIterator[asyncio.StreamReader]:
    """A connection on which the events of a run come."""
    where = urlsplit(served.base_url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        path = f"/api/v1/local/vms/{run.computer.id}/runs/{run.id}/events"
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.api_key}\r\n"
        writer.write(f"{head}Accept: application/vnd.arker.events\r\nConnection: close\r\n\r\n".encode())
        assert (await reader.readline()).split()[1] == b"200"
        yield reader
    finally:
        writer.close()


def test_many_followers_of_one_run(served: FreshDeployment, arker: Arker, vm: Computer) -> None:
    lines = 100 if LONG else 30
    wait = "until [ -e go ]; do sleep 0.05; done"
    command = f"{wait}; for n in $(seq {lines}); do echo line-$n; sleep 0.02; done; echo the end"

    async def follow(run: Run) -> None:
        async with contextlib.AsyncExitStack() as stack:
            readers = [await stack.enter_async_context(follower(served, run)) for _ in range(FOLLOWERS)]
            began = time.monotonic()
            await asyncio.to_thread(vm.run, "touch go")
            for data in await asyncio.gather(*(reader.read() for reader in readers)):
                assert len(re.findall(rb"line-\d", data)) == lines
                assert b"the end" in data
            print(
                f"\n{FOLLOWERS} followers: all had {lines} lines after {time.monotonic() - began:.1f} s",
                end="",
            )

    with (
        growing_at_most(served.pid, 20 * MIB + FOLLOWERS * 150_000, f"{FOLLOWERS} followers"),
        answering(arker, 10, f"{FOLLOWERS} followers"),
    ):
        asyncio.run(follow(vm.start(command)))


def test_readers_that_do_not_read(served: FreshDeployment, arker: Arker, vm: Computer) -> None:
    async def ignore(run: Run) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(SLOW):
                await stack.enter_async_context(follower(served, run))
            await asyncio.to_thread(vm.run, "touch go")
            seen = 0

            def count(data: bytes) -> None:
                nonlocal seen
                seen += len(data)

            began = time.monotonic()
            result = await asyncio.to_thread(run.wait, on_stdout=count)
            print(f"\n{SLOW} slow readers: the run took {time.monotonic() - began:.1f} s", end="")
            assert (seen, result.exit_code) == (FLOOD, 0)

    command = f"until [ -e go ]; do sleep 0.05; done; head -c {FLOOD} /dev/zero"
    with (
        growing_at_most(served.pid, 100 * MIB, f"{SLOW} slow readers"),
        answering(arker, 10, f"{SLOW} slow readers"),
    ):
        asyncio.run(ignore(vm.start(command)))


def test_a_flood_to_a_callback(served: FreshDeployment, arker: Arker, vm: Computer) -> None:
    seen = 0

    def count(data: bytes) -> None:
        nonlocal seen
        seen += len(data)

    with (
        growing_at_most(served.pid, 24 * MIB, "flood, deployment"),
        growing_at_most(os.getpid(), 56 * MIB, "flood, client"),
    ):
        began = time.monotonic()
        result = vm.run(f"head -c {FLOOD} /dev/zero", on_stdout=count)
        took = time.monotonic() - began
    print(f"\nflood of {FLOOD // MIB} MiB: {FLOOD / MIB / took:.0f} MiB/s", end="")
    assert (seen, len(result.stdout), result.truncated, result.exit_code) == (FLOOD, 16 * MIB, True, 0)


def test_many_runs_in_many_computers(served: FreshDeployment, arker: Arker) -> None:
    count = COMPUTERS * RUNS_EACH
    with (
        growing_at_most(served.pid, 40 * MIB + count * 200_000, f"{count} runs"),
        arker.vm("arkuntu").fork(count=COMPUTERS) as made,
    ):
        began = time.monotonic()
        computers = made.all_or_none()
        started = arker.map(
            lambda vm: [vm.start("echo up; sleep 1000; echo no") for _ in range(RUNS_EACH)], computers
        )
        runs = [run for outcome in started for run in outcome.get()]
        print(f"\n{count} runs in {COMPUTERS} computers: started in {time.monotonic() - began:.1f} s", end="")
        assert len(runs) == count
        with answering(arker, 10, f"{count} runs"):
            listed = arker.map(lambda vm: vm.runs(running=True), computers)
            assert sum(len(outcome.get()) for outcome in listed) == count
            assert computers[0].run("echo free").text == "free\n"
            began = time.monotonic()
            ended = arker.map(lambda run: (run.cancel(), run.wait(timeout=120))[1], runs)
            print(f"\n{count} runs: cancelled in {time.monotonic() - began:.1f} s", end="")
        assert {(outcome.get().reason, outcome.get().text) for outcome in ended} == {("cancelled", "up\n")}


def test_terminals_that_are_left_open(served: FreshDeployment, arker: Arker, vm: Computer) -> None:
    with (
        growing_at_most(served.pid, 40 * MIB + TERMINALS * MIB, f"{TERMINALS} terminals"),
        contextlib.ExitStack() as stack,
    ):
        for number in range(TERMINALS):
            vm.run("true", session_id=f"t{number}")
            terminal = stack.enter_context(vm.terminal(session_id=f"t{number}", persist=False))
            terminal.write("yes nobody reads this\r")  # and nobody does
        with answering(arker, 10, f"{TERMINALS} terminals"):
            for _ in range(20):
                assert vm.run("echo on").text == "on\n"
                time.sleep(0.05)


def test_a_guest_that_reads_no_input(served: FreshDeployment, arker: Arker, vm: Computer) -> None:
    run = vm.start("sleep 1000", stdin=True)
    failed: list[ArkerError] = []

    def write() -> None:
        try:
            run.write(bytes(20 * MIB))
        except ArkerError as error:
            failed.append(error)

    with growing_at_most(served.pid, 16 * MIB, "unread input"), answering(arker, 10, "unread input"):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()  # it waits, as a pipe would have it
        assert vm.run("echo on").text == "on\n"
        run.cancel()
        thread.join(30)
    assert not thread.is_alive()
    assert isinstance(failed[0], ConflictError)
