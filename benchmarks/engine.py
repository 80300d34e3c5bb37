"""The engine of the embedded deployment, called in its own process: what an operation takes, p50 and p99.

"subprocess" does the same without a sandbox: a `bash -c` for each command, a synced file; for a fork, "copy" is
`cp -a` of the same folder. A fork is the first one of a computer after it has written: a further one would find
nothing to be frozen. Its 1 GB and 10 GB are allocated, not written. Memory is what the processes of sandboxes have to
themselves and their share of what they have in common (PSS), for one computer.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import Bench, Target, options, run, whole_source
from benchmarks.timing import (
    FLOOD,
    METRICS,
    SMALL,
    Figures,
    folder,
    limits,
    percentiles,
    shell,
    subprocess_throughput,
    subprocesses,
    timed,
)

if TYPE_CHECKING:
    from arker.local.engine import BubblewrapEngine

#: What a computer has written when it is forked: the case, a command, the number of forks for a figure, and whether a
#: copy of the same is measured, too.
FORKS = (
    ("1 MB", "head -c 1000000 /dev/urandom >x", 40, True),
    ("100 MB", "head -c 100000000 /dev/urandom >x", 5, True),
    ("1 GB", "fallocate -l 1000000000 x", 40, False),
    ("10 GB", "for i in 0 1 2 3 4; do fallocate -l 2000000000 x$i; done", 20, False),
    ("10 files", "touch {1..10}", 40, True),
    ("1 000 files", "touch {1..1000}", 40, True),
    ("100 000 files", "mkdir {1..100}; for i in {1..100}; do touch $i/{1..1000}; done", 3, True),
)
AT_REST, LIVE = 500, 100
SIDE_BY_SIDE = (1, 2, 8)
TARGETS = (
    *(target for what, *_ in FORKS for target in limits(f"fork of {what}", 0.5, 2)),
    *limits("echo", 0.25, 1),
    *limits("/bin/true", 1.2, 4),
    Target("100 MB of output, p50 in ms", "100 MB of output", "p50_ms", 300),
    Target("/bin/true in 8 computers, per second", "8 side by side", "per_s", 1000, at_least=True),
    Target("memory of a live computer, MB", f"{LIVE} live", "memory_mb", 4),
)


async def measured(count: int, work: Callable[[], Awaitable[object]]) -> dict[str, float]:
    """Percentiles of `count` awaits."""
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - began)
    return percentiles(taken)


async def sample(place: Path, *, quick: bool) -> Figures:
    """One round, on an engine of its own."""
    from arker.local.engine import BubblewrapEngine, Limits

    count, seconds = (20, 0.2) if quick else (1000, 2.0)
    # The limit of a real deployment would stop 10 GB in as many forks.
    engine = BubblewrapEngine(place / "store", Limits(disk=1 << 40))
    await engine.start()
    try:
        figures = await _forks(engine, place, quick=quick)
        figures |= await _live_forks(engine, count // 10)
        figures |= await _commands(engine, count)
        for computers in SIDE_BY_SIDE:
            figures[f"{computers} side by side"] = {"arker": await _throughput(engine, computers, seconds)}
        figures |= await _many(engine, *((10, 3) if quick else (AT_REST, LIVE)))
    finally:
        await engine.close()
    beside = subprocesses(count, place)
    for workers in SIDE_BY_SIDE:
        beside[f"{workers} side by side"] = {"subprocess": subprocess_throughput(workers, seconds)}
    return {case: {**found, **beside.get(case, {})} for case, found in figures.items()}


async def _succeed(engine: BubblewrapEngine, vm: str, command: str) -> None:
    from arker.local.engine import run as run_command

    outcome = await run_command(engine, vm, "0", command)
    if outcome.exit_code:
        raise RuntimeError(f"{command!r} ended with {outcome.exit_code}: {outcome.stderr!r}")


async def _forks(engine: BubblewrapEngine, place: Path, *, quick: bool) -> Figures:
    figures: Figures = {}
    for what, fill, count, copied in FORKS:
        if quick and count < 40:
            continue
        taken = []
        for _ in range(3 if quick else count):
            await engine.create("parent", "arkuntu")
            await _succeed(engine, "parent", fill)
            await engine.stop("parent")
            began = time.perf_counter()
            await engine.fork("parent", "child")
            taken.append(time.perf_counter() - began)
            await engine.delete("parent")
            await engine.delete("child")
        figures[f"fork of {what}"] = {"arker": percentiles(taken)}
        if copied:
            source, copy = place / "copied", place / "copy"
            source.mkdir()
            subprocess.run(["bash", "-c", fill], cwd=source, check=True)
            figures[f"fork of {what}"]["copy"] = timed(
                1 if quick else 3, shell(f"cp -a {source} {copy}"), partial(shutil.rmtree, copy)
            )
            shutil.rmtree(source)
    return figures


async def _live_forks(engine: BubblewrapEngine, count: int) -> Figures:
    """Forks of a computer with a shell that waits, and with a process that runs."""
    numbers = itertools.count()
    figures: Figures = {}
    for case, command in (("an idle shell", "true"), ("a process that runs", "sleep 1000 &")):
        await engine.create("parent", "arkuntu")
        taken = []
        for _ in range(count):
            await _succeed(engine, "parent", f"echo {next(numbers)} >x; {command}")
            began = time.perf_counter()
            await engine.fork("parent", "child")
            taken.append(time.perf_counter() - began)
            await engine.delete("child")
        await engine.delete("parent")
        figures[f"fork beside {case}"] = {"arker": percentiles(taken)}
    return figures


async def _commands(engine: BubblewrapEngine, count: int) -> Figures:
    made: list[str] = []

    async def first_answer() -> None:
        made.append(f"fresh{len(made)}")
        await engine.create(made[-1], "arkuntu")
        await _succeed(engine, made[-1], "echo hello")

    async def read() -> None:
        async with await engine.open_file("a", "/home/user/small") as file:
            if await file.read(0, file.size) != SMALL:
                raise RuntimeError("another content was read than was written")

    few = max(2, count // 10)
    figures: Figures = {
        "new computer to its first answer": {"arker": await measured(few, first_answer)},
        "delete of a live computer": {"arker": await measured(few, lambda: engine.delete(made.pop()))},
    }
    await engine.create("a", "arkuntu")
    works: dict[str, Callable[[], Awaitable[object]]] = {
        "echo": lambda: _succeed(engine, "a", "echo hello"),
        "a command of 16 KB": lambda: _succeed(engine, "a", f": {'x' * 16384}"),
        "/bin/true": lambda: _succeed(engine, "a", "/bin/true"),
        "write of 1 KB": lambda: engine.write_file("a", "/home/user/small", SMALL),
        "read of 1 KB": read,
    }
    for case, work in works.items():
        await work()
        figures[case] = {"arker": await measured(count, work)}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    flood = await measured(5, lambda: _succeed(engine, "a", FLOOD))
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    figures["100 MB of output"] = {"arker": {**flood, "memory_mb": peak}}
    await engine.delete("a")
    return figures


async def _throughput(engine: BubblewrapEngine, computers: int, seconds: float) -> dict[str, float]:
    vms = [f"side{number}" for number in range(computers)]
    for vm in vms:
        await engine.create(vm, "arkuntu")
        await _succeed(engine, vm, "true")
    until = time.perf_counter() + seconds

    async def work(vm: str) -> int:
        done = 0
        while time.perf_counter() < until:
            await _succeed(engine, vm, "/bin/true")
            done += 1
        return done

    done = sum(await asyncio.gather(*map(work, vms)))
    for vm in vms:
        await engine.delete(vm)
    return {"per_s": done / seconds}


async def _many(engine: BubblewrapEngine, at_rest: int, live: int) -> Figures:
    """Memory of each of many computers, and the time of a command in one of them."""
    own = _memory(os.getpid())
    for number in range(at_rest):
        await engine.create(f"rest{number}", "arkuntu")
    resting = (_memory(os.getpid()) - own) / at_rest
    vms = [f"rest{number}" for number in range(live)]
    for vm in vms:
        await _succeed(engine, vm, "echo hello")
    living = sum(map(_memory, _descendants(os.getpid()))) / live
    turns = itertools.cycle(vms)
    crowd = await measured(live * 3, lambda: _succeed(engine, next(turns), "echo hello"))
    return {
        f"{at_rest} at rest": {"arker": {"memory_mb": resting}},
        f"{live} live": {"arker": {"memory_mb": living}},
        f"echo among {live} live": {"arker": crowd},
    }


def _memory(pid: int) -> float:
    """Return a process's proportional share of memory in MB; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = list(children.get(pid, ()))
    for child in found:
        found += children.get(child, ())
    return found


def main() -> None:
    arguments = options(__doc__)
    bench = Bench("engine", METRICS, arguments, rounds=3, measured=whole_source)
    for _ in range(bench.rounds):
        with folder() as place:
            request = ["--sample", str(place), *(["--quick"] if bench.quick else [])]
            output = run([sys.executable, "-m", "benchmarks.engine", *request], {"PATH": os.environ["PATH"]})
        figures: Figures = json.loads(output.splitlines()[-1])
        for case, found in figures.items():
            for who, metrics in found.items():
                bench.add(case, who, metrics)
    bench.finish(TARGETS)


def _sample(place: Path, *, quick: bool) -> None:
    """One round, in a process that may drop its privileges permanently."""
    from arker.local.engine import drop_privileges

    if os.geteuid() == 0:
        drop_privileges(place)
    sys.stdout.write(json.dumps(asyncio.run(sample(place, quick=quick))) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--sample"]:
        _sample(Path(sys.argv[2]), quick="--quick" in sys.argv)
    else:
        main()
