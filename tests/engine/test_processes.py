"""No process of a computer escapes being counted, stopped and killed; and no other process is affected."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arker.local.engine import BubblewrapEngine, computer
from arker.local.engine.processes import Process, Processes, mapped_without_name, parents_first, parse_stat
from arker.local.engine.supervisor import interval

from .harness import attempt, content, sh, until_there_are

MIB = 1 << 20
_EXIT = 60 if platform.machine() == "x86_64" else 93

#: A program whose main thread ends while another one does `{work}`.
LEADERLESS = f"""python3 -c '
import ctypes, mmap, os, threading, time
def work():
    {{work}}
threading.Thread(target=work).start()
ctypes.CDLL(None).syscall({_EXIT}, 0)
'"""
SLEEP = LEADERLESS.format(work="time.sleep(300)")
HIDDEN = {
    "orphan": "(setsid sleep 300 &)",
    "without environment": "(env -i setsid sleep 300 &)",
    "twice": "(env -i setsid bash -c '(setsid sleep 300 &)' &)",
    "without a main thread": f"{SLEEP} &",
    "orphan without a main thread": f"(env -i setsid {SLEEP} &)",
}


async def until(what: Callable[[], bool | Awaitable[bool]], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while True:
        done = what()
        if not isinstance(done, bool):
            done = await done
        if done:
            return
        assert time.monotonic() < end, "it did not come to pass"
        await asyncio.sleep(0.01)


def processes(engine: BubblewrapEngine, vm: str = "a") -> list[Process]:
    sandbox = engine._computers[vm].sandbox
    assert sandbox is not None
    return sandbox.processes.all()


def test_a_list_of_processes_is_complete_while_another_thread_makes_one() -> None:
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    shown = Processes(proc, os.getpid())
    # Entries are read in blocks, from a position that belongs to the descriptor.
    with os.scandir(proc) as other:
        next(other)
        assert os.getpid() in {process.pid for process in shown.all()}
    shown.close()


def test_a_main_thread_that_ended_ends_no_process() -> None:
    line = b"7 (a) Z (b) %b 1 5 5 0 -1 4227148 720 0 1 0 1 20 300 4000 20 0 %d 0 84474 0 0"
    assert parse_stat(line % (b"Z", 2)) == Process(7, 1, 5, "Z", 84474, 2, 43.21)
    assert parse_stat(line % (b"Z", 1)) is None
    assert parse_stat(line % (b"S", 1)) == Process(7, 1, 5, "S", 84474, 1, 43.21)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), unique_by=lambda pair: pair[0]))
def test_parents_come_before_what_they_started(pairs: list[tuple[int, int]]) -> None:
    processes = [Process(pid, parent, 0, "S", 0, 1, 0.0) for pid, parent in pairs]
    order = [process.pid for process in parents_first(processes)]
    assert sorted(order) == sorted(pid for pid, _ in pairs)
    parents = dict(pairs)
    for pid in order:
        line = [pid]
        while (parent := parents[line[-1]]) in parents and parent not in line:
            line.append(parent)
        # What is read of processes that end meanwhile may go in a circle.
        if parent not in line:
            assert [each for each in order if each in line] == line[::-1]


def test_mapped_files_without_a_name() -> None:
    maps = (
        b"7f00-7f10 rw-s 00000000 fe:01 1234                       /home/user/a b (deleted)\n"
        b"7f20-7f30 r--p 00000000 fe:01 99                         /usr/lib/x\n"
        b"7f40-7f50 rw-p 00000000 00:00 0 \n"
    )
    assert list(mapped_without_name(maps)) == [((os.makedev(0xFE, 1), 1234), 0x10)]


@pytest.mark.slow
@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
async def test_a_timeout_ends_what_hides(engine: BubblewrapEngine, hidden: str) -> None:
    await sh(engine, "sleep 301 & (env -i setsid sleep 302 &)")
    await sh(engine, "sleep 303 & (env -i setsid sleep 304 &)", session="b")
    before = {p.pid for p in processes(engine)}
    outcome = await attempt(engine, f"{hidden}\nsleep 300", timeout=1)
    assert not outcome.completed
    # All that it started is gone; what others, and this session before, left behind runs on.
    shells = [s.shell.pid for s in engine._computers["a"].sessions.values() if s.shell is not None]
    assert {p.pid for p in processes(engine)} <= before | set(shells)
    await until_there_are(engine, 4, "sleep", session="b")


@pytest.mark.slow
async def test_a_timeout_ends_what_hides_behind_a_shell_that_takes_no_mark(engine: BubblewrapEngine) -> None:
    await sh(engine, "sleep 301 &", session="b")
    await sh(engine, "ulimit -x 0")
    outcome = await attempt(engine, f"{HIDDEN['twice']}\nsleep 300", timeout=1)
    assert not outcome.completed
    await until_there_are(engine, 1, "sleep", session="b")


@pytest.mark.slow
async def test_a_timeout_ends_nothing_that_another_session_starts_meanwhile(
    engine: BubblewrapEngine,
) -> None:
    await asyncio.gather(sh(engine, ":"), sh(engine, ":", session="b"))
    ends = asyncio.create_task(attempt(engine, "(env -i setsid sleep 301 &); sleep 302", timeout=1))
    for _ in range(5):
        await sh(engine, "(env -i setsid sleep 303 &) ; sleep 303 &", session="b")
    assert not (await ends).completed
    # The last ones may be on their way through `env` and `setsid`.
    until_all = "until [ $(pgrep -fc '^sleep 303') = 10 ]; do sleep 0.01; done"
    assert await sh(engine, f"{until_all}; pgrep -f '^sleep 30[12]' || true", session="b", timeout=60) == ""


@pytest.mark.slow
async def test_a_process_that_lowers_its_mark_is_ended(engine: BubblewrapEngine) -> None:
    lower = "import os, resource, time\nresource.setrlimit(10, (5, 5))\nos.setsid()\ntime.sleep(300)"
    await attempt(engine, f"(env -i python3 -c '{lower}' &)\nsleep 300", timeout=2)
    await until_there_are(engine, 0, "python3")


@pytest.mark.slow
@pytest.mark.engine(memory=300 * MIB)
async def test_memory_of_a_process_without_a_main_thread(engine: BubblewrapEngine) -> None:
    hog = LEADERLESS.format(work='held = [bytearray(b"x") * (90 << 20)]; time.sleep(300)')
    await attempt(engine, f"for i in 1 2 3 4 5 6; do {hog} >/dev/null 2>&1 & done")
    sandbox = engine._computers["a"].sandbox
    assert sandbox is not None
    await until(lambda: len(processes(engine)) < 8)  # two of them are the shell and what is above it
    await until(lambda: sum(sandbox.processes.memory().values()) <= 300 * MIB)
    await until(lambda: any(p.state == "Z" for p in processes(engine)))


async def test_a_fork_stops_what_has_no_main_thread(engine: BubblewrapEngine) -> None:
    # Two files that are always alike but for the moment between two writes.
    work = '[open(name, "w").write(str(n)) for n in range(10**9) for name in ("x", "y")]'
    await sh(engine, f"seq 100000 > big; {LEADERLESS.format(work=work)} >/dev/null 2>&1 &")
    await until(lambda: _is_there(engine, "/home/user/y"))
    for index in range(5):
        await engine.fork("a", f"c{index}")
        x, y = [await content(engine, f"/home/user/{name}", f"c{index}") for name in "xy"]
        assert b"" in (x, y) or int(x) - int(y) in (0, 1), (x, y)
    before = await content(engine, "/home/user/x")
    await until(lambda: _differs(engine, "/home/user/x", before))


async def _is_there(engine: BubblewrapEngine, path: str) -> bool:
    return (await attempt(engine, f"[ -e {path} ]")).exit_code == 0


async def _differs(engine: BubblewrapEngine, path: str, before: bytes) -> bool:
    return await content(engine, path) != before


async def test_a_freeze_stops_every_thread(engine: BubblewrapEngine) -> None:
    await sh(engine, f"{SLEEP} & python3 -c 'import time; time.sleep(300)' & sleep 300 &")
    sandbox = engine._computers["a"].sandbox
    assert sandbox is not None
    await until(lambda: any(p.state == "Z" for p in processes(engine)))
    sandbox.processes._group = None  # by signals, as where there are no cgroups
    stopped = await sandbox.processes.freeze()
    try:
        states = [s for p in sandbox.processes.all() for _, s in sandbox.processes._states(p)]
        assert set(states) <= set("TtZ")
        assert sandbox.processes.awake() == []
    finally:
        sandbox.processes.thaw(stopped)
    await until(lambda: bool(sandbox.processes.awake()))
    assert await sh(engine, "echo on") == "on\n"


async def test_a_computer_with_a_process_without_a_main_thread_is_not_at_rest(
    engine: BubblewrapEngine,
) -> None:
    await sh(engine, f"{SLEEP} >/dev/null 2>&1 &")
    await until(lambda: any(p.state == "Z" for p in processes(engine)))
    assert not engine._computers["a"].at_rest


def test_the_interval_of_looks_bounds_their_cost() -> None:
    assert interval(0.0, in_need=False) == interval(0.004, in_need=False) == 0.25
    assert interval(0.1, in_need=False) == pytest.approx(5.0)
    assert interval(0.1, in_need=True) == pytest.approx(0.5)
    assert interval(100.0, in_need=False) == 10.0


@pytest.mark.slow
@pytest.mark.engine(idle=0.5, memory=200 * MIB)
async def test_a_withheld_checkpoint_delays_no_other_look(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All of them would take half a minute, one after the other.
    monkeypatch.setattr(computer, "_SETTLE_SECONDS", 4.0)
    withhold = "[[ $BASH_COMMAND != *shopt* ]] || sleep 600"
    for index in range(8):
        await engine.create(f"b{index}", "arkuntu")
        await attempt(engine, f"set -T; trap '{withhold}' DEBUG", vm=f"b{index}", timeout=0.5)
    hog = "python3 -c 'import time; b = bytearray(b\"x\") * (90 << 20); time.sleep(60)'"
    began = time.monotonic()
    outcome = await attempt(engine, f"for i in 1 2 3 4; do {hog} & done; wait -n", timeout=60)
    assert b"arker: killed: the computer used more" in outcome.stderr
    assert time.monotonic() - began < 25
