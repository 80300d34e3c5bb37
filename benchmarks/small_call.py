"""CPU and wall time of one small call over a kept connection, one after the other.

A call is a command with six bytes of output, sent and decoded as a user gets it; raw clients post the same
JSON and decode the answer. `arker 0.1.2` opens a connection, and over TLS builds a context, for every call.
"""

from __future__ import annotations

from benchmarks.harness import Bench, Case, Target, options

SYNC = ("arker", "httpx", "arker 0.1.2", "e2b", "runloop", "daytona")
ASYNC = ("arker", "httpx", "aiohttp", "e2b", "runloop", "daytona")
METRICS = {"cpu_us": "CPU, µs", "wall_us": "wall, µs"}
TARGETS = (
    Target("CPU of a sync call over TLS, of httpx", "sync, TLS", "cpu_us", 0.80, "httpx"),
    Target("CPU of a sync call over TLS, of 0.1.2", "sync, TLS", "cpu_us", 1 / 40, "arker 0.1.2"),
    Target("CPU of an async call over TLS, of httpx", "async, TLS", "cpu_us", 0.65, "httpx"),
)


def main() -> None:
    arguments = options(__doc__)
    bench = Bench("small_call", METRICS, arguments)
    seconds = 0.05 if bench.quick else 0.5
    bench.measure([
        Case(
            f"{colour}, {'TLS' if tls else 'plain'}",
            bench.present(rivals, method),
            {"kind": kind, "seconds": seconds},
            tls=tls,
        )
        for tls in (True, False)
        for colour, rivals, method, kind in (
            ("sync", SYNC, "run", "sequential"),
            ("async", ASYNC, "run_async", "sequential_async"),
        )
    ])  # fmt: skip
    bench.finish(TARGETS)


if __name__ == "__main__":
    main()
