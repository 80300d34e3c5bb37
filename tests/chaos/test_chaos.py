"""The short form of `make chaos`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

#: Seconds; one failure is reproduced by its seed, which the output tells.
SECONDS = float(os.environ.get("ARKER_CHAOS_SECONDS", "10"))


@pytest.mark.timeout(180 + 2 * SECONDS)
def test_a_storm() -> None:
    storm = [sys.executable, "-m", "tests.chaos.storm", str(SECONDS)]
    if os.geteuid() == 0:
        # On a disk of its own, small enough to be filled.
        mount = 'mount -t tmpfs -o size=400m none /tmp && exec "$@"'
        storm = ["unshare", "--mount", "sh", "-c", mount, "sh", *storm]
    ended = subprocess.run(storm, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(ended.stdout)
    assert ended.returncode == 0, ended.stdout[-5000:]
