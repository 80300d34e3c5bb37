"""What a run took."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from arker.local.engine import BubblewrapEngine, Reason, Usage
from arker.local.engine.meter import Measure, Meter
from arker.local.engine.processes import Process

from .harness import Box, attempt

BURN = "for ((i = 0; i < 150000; i++)); do :; done"


def _process(pid: int, cpu: float) -> Process:
    return Process(pid, 1, 1, "S", 0, 1, cpu)


async def _took(engine: BubblewrapEngine, command: str, session: str = "0") -> Usage:
    return (await attempt(engine, command, session=session)).usage


@pytest.mark.parametrize("command", [BURN, f"bash -c '{BURN}'", f"bash -c '{BURN}' | cat"])
async def test_cpu_time_is_measured(engine: BubblewrapEngine, command: str) -> None:
    await attempt(engine, "true")
    took = await attempt(engine, command)
    assert took.usage.cpu_seconds is not None
    assert 0.05 < took.usage.cpu_seconds < took.duration_ms / 1000 + 0.05


async def test_usage_is_of_the_command_alone(engine: BubblewrapEngine) -> None:
    before = await _took(engine, BURN)
    after = await _took(engine, "sleep 0.1")
    assert before.cpu_seconds is not None
    assert after.cpu_seconds is not None
    assert after.cpu_seconds < before.cpu_seconds / 2


@pytest.mark.on_disk
@pytest.mark.parametrize("cancelled", [False, True])
async def test_writes_to_the_disk_are_counted(engine: BubblewrapEngine, box: Box, cancelled: bool) -> None:
    before = _written_here()
    (box.store / "file").write_bytes(bytes(1_000_000))
    if _written_here() < before + 1_000_000:
        pytest.skip("needs a disk, and a kernel that counts what is written to it")
    await attempt(engine, "true")
    meter = engine._computers["a"].meter
    assert meter is not None
    writes = "head -c 3000000 /dev/zero > kept; head -c 2000000 /dev/zero > gone; rm gone; : > written"
    run = await engine.start_run("a", "0", f"bash -c '{writes}; until [ -e go ]; do sleep 0.01; done'")
    await _until(lambda: meter.open[0].written_before is not None)
    await attempt(engine, "until [ -e written ]; do sleep 0.01; done", session="other")
    if cancelled:
        await run.cancel()
    else:
        await attempt(engine, "touch go", session="other")
    written = (await run.wait()).usage.bytes_written
    assert written is not None
    # Some file systems count what they write of folders, too.
    assert 5_000_000 <= written < 6_000_000
    assert ((await _took(engine, "sleep 0.1")).bytes_written or 0) < 1_000_000


def _written_here() -> int:
    with contextlib.suppress(OSError, IndexError):
        return int(Path("/proc/self/io").read_text().partition("\nwrite_bytes: ")[2].split()[0])
    return 0


@pytest.mark.slow
async def test_usage_of_a_command_that_a_timeout_ended(engine: BubblewrapEngine) -> None:
    held = "x=$(head -c 30000000 /dev/zero | tr '\\0' x); while :; do :; done"
    # A busy machine takes its time until all is held, and has been seen twice.
    for timeout in (1.5, 6, 24):
        took = await attempt(engine, f'bash -c "{held}"'.replace("$", "\\$"), timeout=timeout)
        assert took.reason is Reason.TIMED_OUT
        if (took.usage.peak_memory or 0) > 30_000_000:
            break
    assert took.usage.cpu_seconds is not None
    assert took.usage.cpu_seconds > 0.1
    assert took.usage.peak_memory is not None
    assert took.usage.peak_memory > 30_000_000


@pytest.mark.slow
async def test_usage_of_the_shell_itself_until_a_timeout(engine: BubblewrapEngine) -> None:
    # A busy machine takes its time until the shell has had its turn.
    for timeout in (0.5, 2, 8):
        took = await attempt(engine, "while :; do :; done", timeout=timeout)
        assert took.reason is Reason.TIMED_OUT
        if (took.usage.cpu_seconds or 0) > 0.03:
            break
    assert took.usage.cpu_seconds is not None
    assert took.usage.cpu_seconds > 0.03
    assert took.usage.peak_memory is None


@pytest.mark.slow
async def test_it_is_exact_where_there_is_a_group_and_not_beside_others(engine: BubblewrapEngine) -> None:
    await attempt(engine, "true")
    computer = engine._computers["a"]
    assert computer.sandbox is not None
    assert computer.meter is not None
    if computer.sandbox.group is None:
        pytest.skip("needs a part of the cgroup tree")
    meter = computer.meter
    await _until(lambda: meter._quiet is not None)
    took = await _took(engine, BURN)
    assert took.exact
    assert took.cpu_seconds is not None
    assert took.cpu_seconds > 0.05
    await _until(lambda: meter._quiet is not None)
    other = asyncio.create_task(_took(engine, BURN + "; until [ -e go ]; do sleep 0.01; done", "other"))
    await _until(lambda: bool(meter.open))
    assert not (await _took(engine, "sleep 0.1; touch go")).exact
    assert not (await other).exact
    await attempt(engine, "sleep 1000 &")
    assert not (await _took(engine, "sleep 0.1")).exact


def test_a_sample_counts_the_shell_from_the_beginning_and_what_has_the_mark() -> None:
    measure = Measure(shell=5, shell_before=1.0, written_before=1000, mark=77)
    processes = [(_process(5, 3.5), None), (_process(6, 0.25), 77), (_process(7, 9.0), 76)]
    measure.sample(processes, {5: 1, 6: 10, 7: 100}, {5: 4096, 6: 8192, 7: 1 << 20}.get)
    assert (measure.cpu_seconds, measure.bytes_written, measure.peak_memory) == (2.75, 11288, 10)
    measure.sample([(_process(5, 3.6), None)], {5: 1}, {5: 5000}.get)
    took = (measure.cpu_seconds, measure.bytes_written, measure.peak_memory)
    assert took == (2.75, 11288, 10), "what is gone stays counted"


def test_nothing_is_said_of_writes_where_the_kernel_does_not_count_them() -> None:
    measure = Measure(shell=5, shell_before=1.0, mark=77)
    measure.sample([(_process(5, 3.5), None), (_process(6, 0.25), 77)], {}, lambda _: None)
    assert measure.bytes_written is None


async def test_a_peak_of_one_sample_is_none(engine: BubblewrapEngine) -> None:
    await attempt(engine, "true")
    meter = engine._computers["a"].meter
    assert meter is not None
    for samples, peak in ((1, None), (2, 10)):
        measure = meter.begin(shell=5)
        measure.shell_before, measure.mark = 1.0, 77
        for _ in range(samples):
            measure.sample([(_process(6, 0.25), 77)], {6: 10}, lambda _: None)
        assert meter.end(measure).peak_memory == peak


def test_a_shell_that_had_taken_no_time_before_is_counted() -> None:
    measure = Measure(shell=5, shell_before=0.0)
    measure.sample([(_process(5, 2.5), None)], {}, lambda _: None)
    assert measure.cpu_seconds == 2.5


class _Group:
    cpu_seconds = 10.0


class _Processes:
    shell = 1.0
    here = 2

    def spent(self, pid: int) -> float | None:
        return self.shell

    def written(self, pid: int) -> int | None:
        return None

    def count(self) -> int:
        return self.here


def test_the_count_of_the_group_is_of_a_command_that_has_the_sandbox_to_itself() -> None:
    async def check() -> None:
        group, processes = _Group(), _Processes()
        meter = Meter(processes, group, lambda: 1)  # type: ignore[arg-type]
        assert meter.end(meter.begin(5)) == Usage(), "too short"
        await _until(lambda: meter._quiet is not None)

        async def begin(shell: int) -> Measure:
            measure = meter.begin(shell)
            await _until(lambda: measure.shell_before is not None)
            return measure

        measure = await begin(5)
        group.cpu_seconds = 12.5
        assert meter.end(measure) == Usage(2.5, None, exact=True)

        measure = await begin(5)
        processes.here, processes.shell = 3, 2.0
        assert meter.end(measure) == Usage(1.0), "a process is left, which goes on"

        measure = await begin(5)
        processes.here, processes.shell = 2, 4.0
        assert meter.end(measure) == Usage(2.0), "one was left by another command"

        await _until(lambda: meter._quiet is not None)
        one, two = await begin(5), await begin(6)
        assert not meter.end(one).exact
        assert not meter.end(two).exact

    asyncio.run(check())


async def _until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not done():
            await asyncio.sleep(0.001)
