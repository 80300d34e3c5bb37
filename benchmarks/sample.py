"""One figure of one client, taken in a fresh process.

python -m benchmarks.sample '{"rival": "httpx", "kind": "sequential", "url": "http://...", "seconds": 1}'
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.rivals import INLINE, LARGE, RIVALS, check, pattern

#: Calls before the measured ones: connections are open, lazy imports done, code paths warm.
WARM_UP = 20
#: Calls between two readings of the clock.
BATCH = 10

Metrics = dict[str, float]


def per_call(calls: int, cpu: float, wall: float) -> Metrics:
    return {"calls": calls, "cpu_us": cpu / calls * 1e6, "wall_us": wall / calls * 1e6}


def sequential(rival: str, url: str, seconds: float, **_: object) -> Metrics:
    """One call after the other on one thread."""
    call = RIVALS[rival].run(url, 1)
    for _i in range(WARM_UP):
        check(call())
    calls = 0
    wall, cpu = time.perf_counter(), time.process_time()
    while not calls or time.perf_counter() - wall < seconds:
        for _i in range(BATCH):
            call()
        calls += BATCH
    return per_call(calls, time.process_time() - cpu, time.perf_counter() - wall)


def sequential_async(rival: str, url: str, seconds: float, **_: object) -> Metrics:
    """One call after the other in one task."""

    async def measure() -> Metrics:
        call = await RIVALS[rival].run_async(url, 1)
        for _i in range(WARM_UP):
            check(await call())
        calls = 0
        wall, cpu = time.perf_counter(), time.process_time()
        while not calls or time.perf_counter() - wall < seconds:
            for _i in range(BATCH):
                await call()
            calls += BATCH
        return per_call(calls, time.process_time() - cpu, time.perf_counter() - wall)

    return asyncio.run(measure())


def concurrent_async(rival: str, url: str, calls: int, **_: object) -> Metrics:
    """Many calls at once by one client: first with no connection open yet, then again."""

    async def measure() -> Metrics:
        call = await RIVALS[rival].run_async(url, calls)
        metrics: Metrics = {"calls": 2 * calls}
        for state in ("cold", "warm"):
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            outputs = await asyncio.gather(*(call() for _i in range(calls)))
            metrics[f"{state}_s"] = time.perf_counter() - wall
            metrics[f"{state}_cpu_s"] = time.process_time() - cpu
            for output in outputs:
                check(output)
        return metrics

    return asyncio.run(measure())


def threads(rival: str, url: str, calls: int, workers: int, **_: object) -> Metrics:
    """Threads that share one client, each making its part of the calls."""
    call = RIVALS[rival].run(url, workers)
    check(call())
    ready = threading.Barrier(workers + 1)
    todo = iter(range(calls))
    lock = threading.Lock()
    failures: list[BaseException] = []

    def work() -> None:
        ready.wait()
        try:
            while True:
                with lock:
                    if next(todo, None) is None:
                        return
                check(call())
        except BaseException as error:
            failures.append(error)
            raise

    pool = [threading.Thread(target=work) for _i in range(workers)]
    for thread in pool:
        thread.start()
    ready.wait()
    wall, cpu = time.perf_counter(), time.process_time()
    for thread in pool:
        thread.join()
    metrics = {"calls": calls + 1, "wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    if failures:
        raise SystemExit(f"{len(failures)} threads failed, the first with {failures[0]!r}")
    return metrics


def transfer(rival: str, url: str, operation: str, file: str, **_: object) -> Metrics:
    """Transfer one file twice: first for the peak of additional memory, then for the times."""
    client, path = RIVALS[rival], Path(file)
    size = INLINE if operation.endswith("_inline") else LARGE
    data = pattern(size)
    call = {
        "upload": lambda: client.upload(url, path),
        "download": lambda: client.download(url, path),
        "read": lambda: client.read(url),
        "write_inline": lambda: client.write_inline(url, data),
        "read_inline": lambda: client.read_inline(url),
    }[operation]()
    before = reset_peak_memory()
    result = call()
    peak = peak_memory()
    if operation == "download" and not holds(path, data):
        raise SystemExit(f"{rival} stored something else than was sent")
    if operation.startswith("read") and result != data:
        raise SystemExit(f"{rival} returned something else than was sent")
    del result
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "calls": 2,
        "wall_ms": wall * 1e3,
        "cpu_ms": cpu * 1e3,
        "mb_per_s": size / wall / 1e6,
        "peak_mb": (peak - before) / 1e6,
    }


def holds(path: Path, data: bytes) -> bool:
    """Whether the file contains the data, compared in pieces to save memory."""
    view = memoryview(data)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            if view[: len(piece)] != piece:
                return False
            view = view[len(piece) :]
    return not view


def memory(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def reset_peak_memory() -> int:
    """Return the memory in use in bytes, and reset the peak where the kernel allows it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return memory("VmRSS")
    except OSError:
        return peak_memory()


def peak_memory() -> int:
    try:
        return memory("VmHWM")
    except OSError:  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


KINDS: dict[str, Callable[..., Metrics]] = {
    function.__name__: function
    for function in (sequential, sequential_async, concurrent_async, threads, transfer)
}


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    options = json.loads(sys.argv[1])
    print(json.dumps(KINDS[options.pop("kind")](**options)), flush=True)
    # The end of a client is not part of these figures; `startup` measures it.
    os._exit(0)


if __name__ == "__main__":
    main()
