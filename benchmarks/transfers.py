"""Throughput, CPU and peak memory of 100 MB up and down, and of 4 MiB inside a request.

The peak is what the first transfer takes beyond what the client held before it; times are of a second
transfer. "raw socket" is a loop of 1 MiB reads and sends: what the transfer costs without a client.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.harness import Bench, Case, Target, options
from benchmarks.rivals import LARGE, pattern

RIVALS = ("arker", "raw socket", "httpx", "arker 0.1.2", "e2b", "runloop", "daytona")
METRICS = {"mb_per_s": "MB/s", "cpu_ms": "CPU, ms", "peak_mb": "peak memory, +MB"}
OPERATIONS = ("upload", "download", "read", "write_inline", "read_inline")
TARGETS = (
    Target(
        "upload over plain HTTP, throughput of a raw loop's",
        "upload, plain",
        "mb_per_s",
        0.5,
        "raw socket",
        True,
    ),
    Target("upload over TLS, throughput of a raw loop's", "upload, TLS", "mb_per_s", 0.5, "raw socket", True),
    Target("upload over TLS, CPU of a raw loop's", "upload, TLS", "cpu_ms", 1.4, "raw socket"),
    Target("upload over TLS, peak memory, MB", "upload, TLS", "peak_mb", 8),
    Target("download over TLS, peak memory, MB", "download, TLS", "peak_mb", 8),
    Target(
        "download to a file over TLS, throughput of a raw loop's",
        "download, TLS",
        "mb_per_s",
        0.75,
        "raw socket",
        True,
    ),
    Target(
        "download to bytes over TLS, peak memory, MB (1.1 of its size)",
        "read, TLS",
        "peak_mb",
        1.1 * LARGE / 1e6,
    ),
    Target(
        "write of 4 MiB in the request, CPU of 0.1.2's", "write inline, plain", "cpu_ms", 0.40, "arker 0.1.2"
    ),
    Target(
        "read of 4 MiB in the answer, CPU of 0.1.2's", "read inline, plain", "cpu_ms", 0.45, "arker 0.1.2"
    ),
)


def main() -> None:
    arguments = options(__doc__)
    bench = Bench("transfers", METRICS, arguments, rounds=5)
    with tempfile.TemporaryDirectory() as folder:
        up, down = Path(folder) / "up.bin", Path(folder) / "down.bin"
        up.write_bytes(pattern(LARGE))
        bench.measure([
            Case(
                f"{method.replace('_', ' ')}, {'TLS' if tls else 'plain'}",
                bench.present(RIVALS, method),
                {"kind": "transfer", "operation": method, "file": str(up if method == "upload" else down)},
                tls=tls,
            )
            for tls in (True, False)
            for method in OPERATIONS
        ])  # fmt: skip
    bench.finish(TARGETS)


if __name__ == "__main__":
    main()
