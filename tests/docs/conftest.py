"""Where the snippets run: on the machine of a reader who has just installed Arker."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Reader:
    """A home, a state folder and an environment without any setting of the developer's own."""

    home: Path
    environment: dict[str, str]

    @property
    def state(self) -> Path:
        """Where `arker serve` keeps what lasts."""
        return Path(self.environment["ARKER_STATE"])


@pytest.fixture(scope="session")
def reader() -> Iterator[Reader]:
    """One reader for all pages: what a page leaves behind is there for the next one."""
    # Not below pytest's own folder: a deployment that root starts has to reach it without root's powers.
    home = Path(tempfile.mkdtemp(prefix="arker-reader-"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ARKER_", "PYTEST_"))}
    environment = {
        **kept,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        # Root's default is a folder of the whole machine.
        "ARKER_STATE": str(home / ".local" / "state" / "arker"),
        # The default port may be in use on this machine.
        "ARKER_PORT": "0",
        "NO_COLOR": "1",
        # A reader has neither, nor sees the messages of the one and waits for the other.
        "PYTEST_ADDOPTS": "-p no:asyncio -p no:schemathesis",
    }
    home.chmod(0o755)
    yield Reader(home, environment)
    subprocess.run(["chmod", "-R", "u+rwX", home], check=False, stderr=subprocess.DEVNULL)
    shutil.rmtree(home)
