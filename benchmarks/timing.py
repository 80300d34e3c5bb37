"""Percentiles, and the same work on this machine without a sandbox."""

from __future__ import annotations

import math
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import Target

#: case -> who -> metrics
Figures = dict[str, dict[str, dict[str, float]]]
METRICS = {"p50_ms": "p50, ms", "p99_ms": "p99, ms", "per_s": "per second", "memory_mb": "memory, MB"}
OUTPUT = 100_000_000
FLOOD = f"yes 'a line of output, as programs print them' | head -c {OUTPUT}"
SMALL = os.urandom(1000)


def percentiles(seconds: Iterable[float]) -> dict[str, float]:
    """Median and 99th percentile (nearest rank) in milliseconds."""
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] * 1000

    return {"p50_ms": at(0.5), "p99_ms": at(0.99)}


def timed(
    count: int, work: Callable[[], object], after: Callable[[], object] = lambda: None
) -> dict[str, float]:
    """Return percentiles of `count` calls of `work`; `after` runs after each and does not count."""
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
        after()
    return percentiles(taken)


@contextmanager
def folder(parent: Path | None = None) -> Iterator[Path]:
    """Make a folder that a deployment can reach after it has dropped root; it is removed at the end. It is in `parent`,
    else in the folder for temporary files."""
    place = Path(tempfile.mkdtemp(prefix="arker-benchmark-", dir=parent))
    try:
        yield place
    finally:
        # Layers have folders of any mode, of another owner when root started this.
        subprocess.run(["chmod", "-R", "u+rwX", place], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["rm", "-rf", place], check=False)


def shell(command: str) -> Callable[[], object]:
    """Run the command in a shell of this machine and read its output."""
    return lambda: subprocess.run(
        ["bash", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, check=True
    )


def write_durably(path: Path) -> None:
    """Write a small file as the deployment does: atomically, and to the disk."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        file.write(SMALL)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    fd = os.open(path.parent, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def subprocesses(count: int, scratch: Path) -> Figures:
    """Measure the same work as subprocesses and files of this machine, without a sandbox."""
    file = scratch / "small"
    return {
        "echo": {"subprocess": timed(count, shell("echo hello"))},
        "/bin/true": {"subprocess": timed(count, lambda: subprocess.run(["/bin/true"], check=True))},
        "write of 1 KB": {"subprocess": timed(count, lambda: write_durably(file))},
        "read of 1 KB": {"subprocess": timed(count, file.read_bytes)},
        "100 MB of output": {"subprocess": timed(3, shell(FLOOD))},
    }


def subprocess_throughput(workers: int, seconds: float) -> dict[str, float]:
    """Measure `/bin/true` as subprocesses of this number of threads."""
    until = time.perf_counter() + seconds

    def work() -> int:
        done = 0
        while time.perf_counter() < until:
            subprocess.run(["/bin/true"], check=True)
            done += 1
        return done

    with ThreadPoolExecutor(workers) as threads:
        futures = [threads.submit(work) for _ in range(workers)]
        return {"per_s": sum(future.result() for future in futures) / seconds}


def limits(case: str, p50: float, p99: float) -> tuple[Target, Target]:
    """Return the two targets of a case, in milliseconds."""
    return Target(f"{case}, p50 in ms", case, "p50_ms", p50), Target(
        f"{case}, p99 in ms", case, "p99_ms", p99
    )
