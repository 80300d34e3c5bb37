"""Run the command line in this process and as a separate process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from arker import Arker
from arker.cli.app import app
from arker.local.process.launcher import Deployment

Cli = Callable[..., Result]
#: Environment variables that decide which deployment commands use.
VARIABLES = ["ARKER_API_KEY", "ARKER_BASE_URL", "ARKER_GLOBAL_URL", "ARKER_PROFILE", "ARKER_STATE"]


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment without any configuration, which this process has as well."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CONFIG_HOME", "ARKER_STATE"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    # Never the keyring of whoever runs the tests.
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    return dict(os.environ)


@pytest.fixture
def environment(
    bare: dict[str, str], deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The environment of somebody who uses the shared deployment."""
    own = {
        "ARKER_API_KEY": deployment.api_key,
        "ARKER_BASE_URL": deployment.base_url,
        "ARKER_GLOBAL_URL": deployment.base_url,
    }
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    return {**bare, **own}


def invoke(*args: str, input: bytes | str | None = None, code: int | None = 0) -> Result:
    """Run a command in this process. `code` is the exit code that it must have; None for any."""
    result = CliRunner().invoke(app, args, input=input, prog_name="arker", env={"ARKER_DEBUG": "1"})
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    assert code is None or result.exit_code == code, (result.exit_code, result.output)
    return result


@pytest.fixture
def cli(environment: dict[str, str]) -> Cli:
    """`cli("ls", "--json")`: a command in this process, on the shared deployment."""
    return invoke


def command(*args: str, before: str = "") -> list[str]:
    """How to start `arker` as a process, and what to do there before."""
    return [sys.executable, "-c", f"{before}\nimport arker.cli; arker.cli.main()", *args]


@pytest.fixture
def process(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """The same in a process of its own."""

    def start(*args: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command(*args), env=environment, capture_output=True, check=False, timeout=60, **options
        )

    return start


@pytest.fixture
def client(deployment: Deployment) -> Iterator[Arker]:
    with Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as client:
        yield client


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses."""
    return f"cli-{request.node.name[:60]}-{os.urandom(3).hex()}"
