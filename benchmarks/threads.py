"""128 threads sharing one client make 1 000 calls between them, while the server takes 50 ms for each.

httpx is given room for 128 connections, Arker and its peers keep their own defaults. httpx is measured twice:
keeping at most 20 idle connections (its default, and its fastest) and keeping all. No client can be done
before 0.4 s, eight times 50 ms.
"""

from __future__ import annotations

from benchmarks.harness import Bench, Case, Target, options

RIVALS = ("arker", "httpx", "httpx, keeping all", "arker 0.1.2", "e2b", "runloop", "daytona")
METRICS = {"wall_s": "wall, s", "cpu_s": "CPU, s"}
TARGETS = (
    Target("1 000 calls by 128 threads, of httpx", "plain", "wall_s", 0.2, "httpx"),
    Target("1 000 calls by 128 threads, of httpx keeping all", "plain", "wall_s", 0.2, "httpx, keeping all"),
    Target("1 000 calls by 128 threads, of 0.1.2", "plain", "wall_s", 1.3, "arker 0.1.2"),
)


def main() -> None:
    arguments = options(__doc__)
    bench = Bench("threads", METRICS, arguments, rounds=3)
    sample = {"kind": "threads"} | (
        {"calls": 40, "workers": 8} if bench.quick else {"calls": 1000, "workers": 128}
    )
    rivals = bench.present(RIVALS, "run")
    bench.measure(
        [Case("TLS" if tls else "plain", rivals, sample, tls=tls, delay=0.05) for tls in (False, True)]
    )
    bench.finish(TARGETS)


if __name__ == "__main__":
    main()
