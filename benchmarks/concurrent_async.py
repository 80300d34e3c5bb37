"""1 000 async calls at once by one client, while the server takes 50 ms for each.

Cold is the first time, connecting; warm is the same again.

httpx and aiohttp are given room for 1 000 connections; Arker and its peers keep their own defaults. httpx is
measured twice: keeping at most 20 idle connections (its default, and its fastest) and keeping all.
"""

from __future__ import annotations

from benchmarks.harness import Bench, Case, Target, options

RIVALS = ("arker", "httpx", "httpx, keeping all", "aiohttp", "e2b", "runloop", "daytona")
METRICS = {"cold_s": "cold, s", "warm_s": "warm, s", "cold_cpu_s": "CPU cold, s", "warm_cpu_s": "CPU warm, s"}
TARGETS = (
    Target("1 000 concurrent calls, cold, of httpx", "plain", "cold_s", 0.15, "httpx"),
    Target("1 000 concurrent calls, warm, of httpx", "plain", "warm_s", 0.15, "httpx"),
    Target(
        "1 000 concurrent calls, cold, of httpx keeping all", "plain", "cold_s", 0.15, "httpx, keeping all"
    ),
    Target(
        "1 000 concurrent calls, warm, of httpx keeping all", "plain", "warm_s", 0.15, "httpx, keeping all"
    ),
    Target("1 000 concurrent calls, cold, of aiohttp", "plain", "cold_s", 3.5, "aiohttp"),
    Target("1 000 concurrent calls, warm, of aiohttp", "plain", "warm_s", 3.5, "aiohttp"),
)


def main() -> None:
    arguments = options(__doc__)
    bench = Bench("concurrent_async", METRICS, arguments, rounds=3)
    sample = {"kind": "concurrent_async", "calls": 50 if bench.quick else 1000}
    rivals = bench.present(RIVALS, "run_async")
    bench.measure([
        Case("TLS" if tls else "plain", rivals, sample, tls=tls, delay=0.05) for tls in (False, True)
    ])  # fmt: skip
    bench.finish(TARGETS)


if __name__ == "__main__":
    main()
