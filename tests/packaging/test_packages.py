"""The published wheel and sdist, and how they work on a machine without a clone of the project."""

from __future__ import annotations

import email
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import arker

ROOT = Path(__file__).resolve().parents[2]


def build(source: Path, target: Path, *kinds: str) -> dict[str, Path]:
    """Build from a tree, as a release does but with the build backend that is here; by their suffix."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(target), *(f"-t{kind}" for kind in kinds)],
        cwd=source, check=True, capture_output=True,
        # Nothing of a machine's own may get in.
        env={**os.environ, "PYTHONHASHSEED": str(len(str(target))), "TZ": "Asia/Tokyo"},
    )  # fmt: skip
    return {"".join(path.suffixes[-1:]): path for path in target.iterdir()}


def unpack(sdist: Path, target: Path) -> Path:
    with tarfile.open(sdist) as opened:
        # Early releases of 3.11 know no filters.
        opened.extractall(target, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (folder,) = target.iterdir()
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist of the clone, and the wheel of that, as a release makes them."""
    folder = tmp_path_factory.mktemp("built")
    sdist = build(ROOT, folder / "dist", "sdist")[".gz"]
    return build(unpack(sdist, folder / "source"), folder / "dist", "wheel")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_builds_are_reproducible(built: dict[str, Path], tmp_path: Path) -> None:
    # Another time, another place, and from the sdist instead of a clone.
    again = build(unpack(built[".gz"], tmp_path / "source"), tmp_path / "again", "sdist", "wheel")
    assert {path.name: digest(path) for path in again.values()} == {
        path.name: digest(path) for path in built.values()
    }


def test_the_wheel_has_what_is_needed_and_nothing_else(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built[".whl"]) as wheel:
        names = wheel.namelist()
        metadata = email.message_from_bytes(wheel.read(f"arker-{arker.__version__}.dist-info/METADATA"))
        entry_points = wheel.read(f"arker-{arker.__version__}.dist-info/entry_points.txt").decode()
    info = f"arker-{arker.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"arker", "arker_api", info}
    assert {
        "arker/__init__.py",
        "arker/py.typed",
        "arker/testing.py",
        "arker/_sync/client.py",
        "arker/cli/app.py",
        "arker/local/engine/engine.py",
        "arker_api/regional/client.py",
        "arker_api/control/client.py",
        f"{info}/licenses/LICENSE",
    } <= set(names)
    assert not [name for name in names if name.endswith((".pyc", ".log", ".db")) or "/." in name]
    assert metadata["Version"] == arker.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert set(metadata.get_all("Provides-Extra")) == {"cli", "files", "fsspec", "local"}
    assert entry_points.split() == [
        "[console_scripts]", "arker", "=", "arker.cli:main",
        "[fsspec.specs]", "arker", "=", "arker.integrations.fsspec:ArkerFileSystem",
        "[pytest11]", "arker", "=", "arker.testing",
    ]  # fmt: skip


def test_the_sdist_has_what_the_tests_need(built: dict[str, Path]) -> None:
    with tarfile.open(built[".gz"]) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames()}
    assert {
        "pyproject.toml", "Makefile", "README.md", "CHANGELOG.md", "LICENSE", "openapi/regional.yaml",
        "scripts/generate.py", "tests/conftest.py", "examples/quickstart.py", "docs/index.md",
    } <= names  # fmt: skip
    assert not [
        name for name in names if name.startswith((".venv", ".git/", "site/")) or name.endswith(".pyc")
    ]


class Machine:
    """An environment with nothing but what was installed into it."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.bin = folder / "venv" / "bin"
        self.wheel = wheel
        venv.create(folder / "venv", symlinks=True)
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("ARKER_")
        }
        self.environment |= {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "XDG_CONFIG_HOME": str(folder / "config"),
            "ARKER_STATE": str(folder / "state"),
        }

    def install(self, extras: str = "") -> None:
        pip = [sys.executable, "-m", "pip", "--python", self.bin / "python", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "install", "--quiet", "--no-compile", f"{self.wheel}{extras}"],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        subprocess.run([*pip, "check"], check=True, stdout=subprocess.DEVNULL)

    def run(self, *argv: str, code: int = 0) -> str:
        """What a program of this environment prints, both streams."""
        done = subprocess.run(
            [self.bin / argv[0], *argv[1:]],
            env=self.environment, cwd="/", text=True, timeout=100, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == code, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def machine(built: dict[str, Path]) -> Iterator[Machine]:
    # Not below pytest's own folder: the deployment has to reach its state when it has dropped root's powers.
    folder = Path(tempfile.mkdtemp(prefix="arker-test-"))
    folder.chmod(0o755)
    yield Machine(folder, built[".whl"])
    subprocess.run(["chmod", "-R", "u+rwX", folder], check=False, stderr=subprocess.DEVNULL)
    shutil.rmtree(folder)


LOCAL = """
import arker
with arker.Arker.local() as client, client.vm("arkuntu").fork() as computer:
    print(computer.run("echo it runs").text, end="")
"""


def test_an_empty_environment(machine: Machine) -> None:
    machine.install()
    assert machine.run("python", "-c", "import arker; print(arker.__version__)") == f"{arker.__version__}\n"
    loaded = machine.run("python", "-c", "import sys, arker; arker.RunResult; print(*sys.modules)").split()
    assert not {"httpx", "httpcore", "h11", "pydantic", "attr", "click", "ssl", "asyncio"} & set(loaded)
    # The client and its errors are whole; what is not there says how to get it.
    assert "unauthorized: no API key" in machine.run("python", "-c", "import arker; arker.Arker()", code=1)
    refused = machine.run("python", "-c", LOCAL, code=1).splitlines()[-1]
    assert refused.startswith("arker.errors.ArkerError: unavailable: ")
    assert "pip install 'arker[local]'" in refused
    assert machine.run("arker", "--version") == f"arker, version {arker.__version__}\n"
    assert "fork" in machine.run("arker", "--help")
    assert machine.run("arker", "ls", code=2).count("\n") == 1
    assert "pip install 'arker[local]'" in machine.run("arker", "serve", code=1)

    machine.install("[local]")
    assert machine.run("python", "-W", "error", "-c", LOCAL) == "it runs\n"
    machine.run("arker", "serve", "--detach", "--port", "0")
    try:
        machine.run("arker", "fork", "--name", "first")
        assert machine.run("arker", "run", "first", "--", "echo and so does this") == "and so does this\n"
    finally:
        machine.run("arker", "serve", "--stop")
