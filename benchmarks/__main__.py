"""Run every benchmark of the client, then write the table and the plot: `python -m benchmarks [--quick]`."""

from __future__ import annotations

import subprocess
import sys

from benchmarks import report
from benchmarks.harness import options
from benchmarks.rivals import ROOT


def main() -> None:
    arguments = options(__doc__)
    failed = []
    for name in report.BENCHMARKS:
        print(f"\n== {name}", flush=True)
        # A process of its own for each: one pins itself to a core.
        command = [sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
    if not arguments.quick and arguments.rivals is None:
        report.main()
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
