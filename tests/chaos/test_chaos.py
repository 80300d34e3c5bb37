"""The short form of `make chaos`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

#: Seconds; one failure is reproduced by its seed, which the output tells.
SECONDS = float(os.environ.get("ARKER_CHAOS_SECONDS", "10"))


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that a deployment reaches when it has dropped root's powers."""
    folder = Path(tempfile.mkdtemp(prefix="arker-chaos-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.timeout(180 + 2 * SECONDS)
def test_a_storm(place: Path) -> None:
    storm = [sys.executable, "-m", "tests.chaos.storm", str(SECONDS)]
    if os.geteuid() == 0:
        # On a disk of its own, small enough to be filled.
        mount = 'mount -t tmpfs -o size=400m,mode=0711 none "$TMPDIR" && exec "$@"'
        storm = ["unshare", "--mount", "sh", "-c", mount, "sh", *storm]
    environment = {**os.environ, "TMPDIR": str(place)}
    ended = subprocess.run(
        storm, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    print(ended.stdout)
    assert ended.returncode == 0, ended.stdout[-5000:]
