"""Behaviour of every engine: the bubblewrap engine and the fake one of the platform's tests pass the same suite."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from arker.local.engine import (
    BubblewrapEngine,
    Cut,
    End,
    Event,
    FileMissing,
    Limits,
    Output,
    Reason,
    RunExists,
    RunMissing,
    RunState,
    SessionBusy,
    Stream,
    VmMissing,
    collect,
    run,
)
from tests.engine.harness import Box
from tests.local.fake import FakeEngine

if TYPE_CHECKING:
    from arker.local.engine import Engine, Run

both = pytest.mark.parametrize("kind", ["bubblewrap", "fake"])
pytestmark = [both, pytest.mark.on_disk]


@contextlib.asynccontextmanager
async def opened(box: Box, kind: str, limit: int = 1 << 30, *, fresh: bool = True) -> AsyncIterator[Engine]:
    """A started engine with a computer `a`."""
    engine: BubblewrapEngine | FakeEngine
    if kind == "bubblewrap":
        engine = BubblewrapEngine(box.store, Limits(run_output=limit))
    else:
        engine = FakeEngine(box.store, real=True)
        engine.limit = limit
    await engine.start()
    try:
        if fresh:
            await engine.create("a", "arkuntu")
        elif isinstance(engine, FakeEngine):
            engine.files["a"] = {}
        yield engine
    finally:
        await engine.close()


async def events(run: Run, offset: int = 0) -> list[Event]:
    return [event async for event in run.events(offset)]


def text(found: list[Event], stream: Stream | None = None) -> bytes:
    return b"".join(e.data for e in found if isinstance(e, Output) and stream in (None, e.stream))


async def until_output(run: Run, wanted: bytes) -> None:
    """Wait until a run has written something."""
    seen = b""
    async for event in run.events():
        if isinstance(event, Output):
            seen += event.data
        if wanted in seen:
            return
    raise AssertionError(f"the run ended with {seen!r}")


async def test_a_run_has_output_in_order_and_one_end(box: Box, kind: str) -> None:
    async with opened(box, kind) as engine:
        handle = await engine.start_run(
            "a", "0", "echo out; read -r _; echo err >&2; read -r _; echo out; exit 7", stdin=True
        )
        # What is written to two streams at once may be read in any order.
        for wanted in (b"out", b"err"):
            await until_output(handle, wanted)
            await handle.write_stdin(b"\n")
        found = await events(handle)
        assert text(found) == b"out\nerr\nout\n"
        assert text(found, Stream.STDERR) == b"err\n"
        offsets = [event.offset for event in found if isinstance(event, Output)]
        assert offsets == sorted(offsets)
        assert offsets[0] == 0
        end = found[-1]
        assert isinstance(end, End)
        assert (end.exit_code, end.reason, end.stdout_bytes, end.stderr_bytes) == (7, Reason.EXITED, 8, 4)
        assert sum(isinstance(event, End) for event in found) == 1
        assert handle.state is RunState.ENDED
        assert await handle.wait() == end


async def test_output_comes_while_the_command_runs(box: Box, kind: str) -> None:
    async with opened(box, kind) as engine:
        handle = await engine.start_run("a", "0", "echo now; read -r x; echo $x", stdin=True)
        await until_output(handle, b"now\n")
        assert handle.state is RunState.RUNNING
        assert [e async for e in handle.events(follow=False)] == [Output(Stream.STDOUT, 0, b"now\n")]
        await handle.write_stdin(b"later\n")
        assert text(await events(handle)) == b"now\nlater\n"


async def test_any_number_of_readers_from_any_offset(box: Box, kind: str) -> None:
    async with opened(box, kind) as engine:
        handle = await engine.start_run("a", "0", "for i in $(seq 2000); do echo line $i; done")
        early = [asyncio.create_task(events(handle, offset)) for offset in (0, 0)]
        whole = "".join(f"line {i}\n" for i in range(1, 2001)).encode()
        for reader in early:
            assert text(await reader) == whole
        for offset in (0, 1, 4096, len(whole) - 1, len(whole)):
            found = await events(handle, offset)
            assert text(found) == whole[offset:]
            assert isinstance(found[-1], End)
        for offset in (-1, len(whole) + 1):
            with pytest.raises(ValueError, match="offset"):
                await events(handle, offset)


async def test_long_output_is_read_back_from_any_offset(box: Box, kind: str) -> None:
    async with opened(box, kind) as engine:
        handle = await engine.start_run("a", "0", "seq 400000; seq 10 >&2")
        end = await handle.wait()
        whole = "".join(f"{i}\n" for i in range(1, 400_001)).encode()
        assert (end.stdout_bytes, end.stderr_bytes) == (len(whole), 21)
        assert text(await events(handle), Stream.STDOUT) == whole
        tail = text(await events(handle, len(whole) - 1000))
        assert tail.startswith(whole[-1000:]) or len(tail) == 1021


async def test_output_beyond_the_limit_is_cut_and_said_to_be(box: Box, kind: str) -> None:
    async with opened(box, kind, limit=100_000) as engine:
        handle = await engine.start_run("a", "0", "head -c 1000000 /dev/zero")
        found = await events(handle)
        assert len(text(found)) == 100_000
        *_, cut, end = found
        assert cut == Cut(100_000)
        assert isinstance(end, End)
        assert (end.exit_code, end.stdout_bytes) == (0, 1_000_000)
        outcome = await collect(handle, 10)
        assert (outcome.stdout, outcome.stdout_truncated) == (bytes(10), True)


async def test_a_cut_is_reported_while_the_command_runs(box: Box, kind: str) -> None:
    async with opened(box, kind, limit=100_000) as engine:
        handle = await engine.start_run("a", "0", "head -c 1000000 /dev/zero; sleep 100")
        async for event in handle.events():
            if isinstance(event, Cut):
                break
        assert handle.outcome is None
        await handle.cancel()
        await handle.wait()


async def test_input_is_written_and_ended(box: Box, kind: str) -> None:
    async with opened(box, kind) as engine:
        handle = await engine.start_run("a", "0", "cat; echo done", stdin=True)
        for _ in range(3):
            await handle.write_stdin(b"x" * 100_000)
        await handle.close_stdin()
        await handle.close_stdin()
        assert text(await events(handle)) == b"x" * 300_000 + b"done\n"
        with pytest.raises(BrokenPipeError):
            await handle.write_stdin(b"more")
        await handle.close_stdin()
        without = await engine.start_run("a", "0", "cat; sleep 0.2")
        with pytest.raises(BrokenPipeError):
            await without.write_stdin(b"x")
        await without.wait()


async def test_unread_input_waits_and_ends_with_the_run(box: Box, kind: str) -> None:
    async with opened(box, kind) as engine:
        handle = await engine.start_run("a", "0", "sleep 100", stdin=True)
        writing = asyncio.create_task(handle.write_stdin(b"x" * 10_000_000))
        await asyncio.wait({writing}, timeout=0.3)
        assert not writing.done()
        await handle.cancel()
        await handle.wait()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            await asyncio.wait_for(writing, 60)


async def test_cancel_ends_a_run_within_a_second(box: Box, kind: str) -> None:
    async with opened(box, kind) as engine:
        handle = await engine.start_run("a", "0", "echo began; sleep 100; echo not")
        await until_output(handle, b"began")
        await handle.cancel()
        await handle.cancel()
        end = await asyncio.wait_for(handle.wait(), 30)
        assert end.reason is Reason.CANCELLED
        assert text(await events(handle)) == b"began\n"
        await handle.cancel()
        # The next command need not know of it.
        assert (await run(engine, "a", "0", "echo next")).stdout == b"next\n"


async def test_a_run_is_cancelled_by_its_id(box: Box, kind: str) -> None:
    async with opened(box, kind) as engine:
        await engine.start_run("a", "0", "sleep 100", run_id="mine")
        await (await engine.run_of("a", "mine")).cancel()
        end = await asyncio.wait_for((await engine.run_of("a", "mine")).wait(), 30)
        assert end.reason is Reason.CANCELLED


async def test_a_caller_that_is_cancelled_cancels_its_run(box: Box, kind: str) -> None:
    async with opened(box, kind) as engine:
        calling = asyncio.create_task(run(engine, "a", "0", "sleep 100", run_id="r"))
        while (await engine.sessions("a"))[0].state != "running":
            await asyncio.sleep(0.01)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert (await asyncio.wait_for(run(engine, "a", "0", "echo free"), 30)).stdout == b"free\n"
        with pytest.raises(RunMissing):
            await engine.run_of("a", "r")


async def test_a_timeout(box: Box, kind: str) -> None:
    async with opened(box, kind) as engine:
        outcome = await run(engine, "a", "0", "echo early; sleep 100", timeout=0.5)
        assert (outcome.exit_code, outcome.reason, outcome.completed) == (124, Reason.TIMED_OUT, False)


async def test_a_signal_reaches_the_command(box: Box, kind: str) -> None:
    async with opened(box, kind) as engine:
        # One process: a shell that just starts another one may get the signal without it, and wait for it.
        handle = await engine.start_run("a", "0", "bash -c 'echo up; exec sleep 1000'")
        await until_output(handle, b"up")
        await handle.signal(signal.SIGINT)
        end = await asyncio.wait_for(handle.wait(), 30)
        assert (end.exit_code, end.reason) == (130, Reason.SIGNALLED)
        await handle.signal(signal.SIGINT)


async def test_one_session_runs_one_command(box: Box, kind: str) -> None:
    async with opened(box, kind) as engine:
        handle = await engine.start_run("a", "0", "sleep 100")
        with pytest.raises(SessionBusy):
            await engine.start_run("a", "0", "echo second")
        assert (await run(engine, "a", "other", "echo beside")).stdout == b"beside\n"
        assert {s.session_id: s.state for s in await engine.sessions("a")}["0"] == "running"
        assert "a" in await engine.running()
        assert await engine.in_use(["a", "nothing"]) == {"a"}
        await engine.end_session("a", "0")
        assert (await handle.wait()).reason is Reason.CANCELLED
        await engine.end_session("a", "never-was")
        assert (await run(engine, "a", "0", "echo again")).stdout == b"again\n"
        # Idle shells are no use, and there is a moment until they are idle.
        async with asyncio.timeout(30):
            while await engine.in_use(["a"]):
                await asyncio.sleep(0.01)


async def test_ids_of_runs_are_unique_until_forgotten(box: Box, kind: str) -> None:
    async with opened(box, kind) as engine:
        run = await engine.start_run("a", "0", "echo one; read -r line", run_id="r", stdin=True)
        # Of two reasons, the one that tells a repeated request which run it has started.
        with pytest.raises(RunExists):
            await engine.start_run("a", "0", "echo two", run_id="r")
        await run.close_stdin()
        await run.wait()
        with pytest.raises(RunExists):
            await engine.start_run("a", "0", "echo two", run_id="r")
        assert text(await events(await engine.run_of("a", "r"))) == b"one\n"
        await engine.forget_run("a", "r")
        await engine.forget_run("a", "r")
        with pytest.raises(RunMissing):
            await engine.run_of("a", "r")
        assert text(await events(await engine.start_run("a", "0", "echo two", run_id="r"))) == b"two\n"


async def test_a_reader_of_a_run_that_is_forgotten_is_told(box: Box, kind: str) -> None:
    async with opened(box, kind) as engine:
        handle = await engine.start_run("a", "0", "seq 100000")
        await handle.wait()
        reader = handle.events()
        await anext(reader)
        await engine.forget_run("a", handle.id)
        with pytest.raises(RunMissing):
            async for _ in reader:
                pass


async def test_runs_are_found_after_a_restart(box: Box, kind: str) -> None:
    async with opened(box, kind) as engine:
        ended = await (
            await engine.start_run("a", "0", "echo kept; seq 100000; exit 3", run_id="ended")
        ).wait()
        going = await engine.start_run("a", "0", "echo began; sleep 100", run_id="cut")
        await until_output(going, b"began")
    async with opened(box, kind, fresh=False) as engine:
        again = await engine.run_of("a", "ended")
        found = await events(again)
        assert found[-1] == ended
        assert text(found).startswith(b"kept\n1\n2\n")
        assert len(text(found)) == ended.stdout_bytes
        cut = await engine.run_of("a", "cut")
        end = await cut.wait()
        assert end.exit_code is None
        assert end.reason in (Reason.INFRASTRUCTURE, Reason.COMPUTER_STOPPED)
        assert text(await events(cut)) == b"began\n"


async def test_folder_and_variables_for_one_command(box: Box, kind: str) -> None:
    async with opened(box, kind) as engine:
        outcome = await run(engine, "a", "0", "pwd; echo $who; cd /usr", cwd="/tmp", env={"who": "it's me"})
        assert outcome.stdout == b"/tmp\nit's me\n"
        assert (await run(engine, "a", "0", "echo [$who]; pwd")).stdout.startswith(b"[]\n")
        assert (await run(engine, "a", "0", "exit 4", env={"x": "1"})).exit_code == 4


async def test_a_computer_that_stops_ends_its_runs(box: Box, kind: str) -> None:
    async with opened(box, kind) as engine:
        handle = await engine.start_run("a", "0", "sleep 100")
        await engine.stop("a")
        end = await asyncio.wait_for(handle.wait(), 30)
        assert (end.exit_code, end.reason) == (None, Reason.COMPUTER_STOPPED)
        assert end.notes
        calling = asyncio.create_task(run(engine, "a", "0", "sleep 100"))
        while "a" not in await engine.running():
            await asyncio.sleep(0.01)
        await engine.delete("a")
        with pytest.raises(VmMissing):
            await calling
        assert await engine.missing(["a", "b"]) == {"a", "b"}


async def test_files(box: Box, kind: str) -> None:
    async with opened(box, kind) as engine:
        await engine.write_file("a", "/home/user/f", b"0123456789" * 100_000)
        async with await engine.open_file("a", "/home/user/f") as file:
            assert file.size == 1_000_000
            assert await file.read(5, 10) == b"5678901234"
            assert await file.read(999_999, 10) == b"9"
            assert await file.read(1_000_000, 10) == b""
            await engine.write_file("a", "/home/user/g", file)
            version = file.version
        async with await engine.open_file("a", "/home/user/g") as file:
            assert await file.read(0, 1 << 20) == b"0123456789" * 100_000
        await engine.write_file("a", "/home/user/f", b"other")
        async with await engine.open_file("a", "/home/user/f") as file:
            assert file.version != version
        with pytest.raises(FileMissing):
            await engine.open_file("a", "/home/user/none")
        await engine.fork("a", "b")
        async with await engine.open_file("b", "/home/user/f") as file:
            assert await file.read(0, 100) == b"other"


async def test_missing_computers_sessions_and_runs(box: Box, kind: str) -> None:
    async with opened(box, kind) as engine:
        assert await engine.missing(["a", "z"]) == {"z"}
        assert "arkuntu" in await engine.images()
        with pytest.raises(VmMissing):
            await engine.start_run("z", "0", "true")
        with pytest.raises(VmMissing):
            await engine.sessions("z")
        with pytest.raises(VmMissing):
            await engine.end_session("z", "0")
        with pytest.raises(RunMissing):
            await engine.run_of("a", "none")


async def test_loads_of_computers(box: Box, kind: str) -> None:
    async with opened(box, kind) as engine:
        await engine.create("rests", "arkuntu")
        await engine.start_run("a", "0", "sleep 100")
        loads = await engine.loads(["a", "rests", "none"])
        assert set(loads) == {"a", "rests"}
        assert (loads["rests"].cpu_seconds, loads["rests"].memory, loads["rests"].processes) == (0, 0, 0)
        assert loads["a"].memory > 0
        assert loads["a"].processes > 1
