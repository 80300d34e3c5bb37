"""Deployments for tests: one that a test process shares, and fresh ones to stop, kill and restart."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from arker.local.process.launcher import Deployment, launch

# A busy machine takes its time, for examples, too.
_patient = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
#: `pytest --hypothesis-profile exploring` looks at other examples each time.
hypothesis.settings.register_profile("exploring", _patient)
hypothesis.settings.register_profile("patient", _patient, derandomize=True)
hypothesis.settings.load_profile("patient")

# A job in the background of a script is started with SIGINT ignored, and so is all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

#: Files and folders of tests that take long: processes that are killed, limits that are reached, images, mounts and
#: privileges, other platforms, generated requests, types, every snippet and example, and the derived client, whose
#: source is tested.
SLOW = (
    "benchmarks", "chaos", "cli/test_deployments.py", "client/_sync", "client/test_memory.py",
    "client/test_python_faults.py", "client/test_tree_faults.py", "compat", "contract/test_existing_client.py",
    "contract/test_generated.py", "contract/test_malformed.py", "docs/test_snippets.py",
    "engine/conformance/test_walk.py", "engine/test_death.py", "engine/test_differential.py", "engine/test_images.py",
    "engine/test_kernel.py", "engine/test_limits.py", "engine/test_mounts.py", "engine/test_privileges.py",
    "engine/test_store.py", "examples", "faults/_sync", "integrations", "load", "local/test_durability.py",
    "local/test_full_disk.py", "local/test_images.py", "local/test_lag.py", "local/test_process.py", "packaging",
    "scripts", "security", "testing", "typing", "unit/test_platforms.py",
)  # fmt: skip

#: Of a table of tests of the engine, each of which starts an engine, so many rows are not slow.
ROWS = 2

#: Where the longest tests are, so that none of them is left alone at the end; then the tests that fork their process,
#: which is small as long as it has run few others.
FIRST = (
    "local/test_images.py", "docs/test_snippets.py", "local/test_durability.py", "examples",
    "contract/test_generated.py", "client/test_blocking.py", "scripts", "packaging", "engine", "security", "testing",
    "local",
)  # fmt: skip

#: Files and folders whose tests share what takes long to make: one process runs each.
TOGETHER = (
    "tests/docs/test_snippets.py", "tests/load", "tests/packaging", "tests/scripts/test_generate.py",
)  # fmt: skip

#: Which contract the shared deployment speaks; `make contracts` runs the client's tests with each one alone.
CONTRACT = os.environ.get("ARKER_TEST_CONTRACT", "both")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays to the end: the garbage collector looks at it neither now nor later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    def path_of(item: pytest.Item) -> str:
        return str(item.path.relative_to(Path(__file__).parent))

    def turn(item: pytest.Item) -> int:
        path = path_of(item)
        return next((n for n, name in enumerate(FIRST) if path.startswith(name)), len(FIRST))

    items.sort(key=turn)
    rows: Counter[str] = Counter()
    for item in items:
        path = path_of(item)
        table = item.nodeid.partition("[")[0]
        rows[table] += 1
        if path.startswith(SLOW) or (path.startswith("engine/") and rows[table] > ROWS):
            item.add_marker(pytest.mark.slow)
        needed = item.get_closest_marker("contract")
        if needed is not None and CONTRACT not in ("both", needed.args[0]):
            item.add_marker(pytest.mark.skip(reason=f"only contract {needed.args[0]} has what it tests"))
    if CONTRACT != "both":
        others = [item for item in items if "deployment" not in getattr(item, "fixturenames", ())]
        items[:] = [item for item in items if item not in others]
        config.hook.pytest_deselected(items=others)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """`-n auto`: more than there are cores, as about half of the time a test waits, for a disk or for a process."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else len(os.sched_getaffinity(0)) + 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Whichever process is free takes the next test, or all of one entry of `TOGETHER`."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((name for name in TOGETHER if nodeid.startswith(name)), nodeid)

    return Scheduling(config, log)


def _memory() -> str | None:
    """A folder in memory, if it is large, programs run from it, and it keeps what overlayfs says of files."""
    place = "/dev/shm"
    try:
        here = os.statvfs(place)
        with tempfile.TemporaryFile(dir=place) as file:
            os.setxattr(file.fileno(), "user.arker", b"")
    except OSError:
        return None
    large = here.f_bavail * here.f_frsize >= 4 << 30
    return place if large and not here.f_flag & os.ST_NOEXEC else None


#: Where tests that are not about disks make small stores: a disk takes half of the time of such a test. None for the
#: usual place.
MEMORY = _memory()

#: How often something is killed at a random moment, in all tests together.
KILLS = int(os.environ.get("ARKER_TEST_KILLS", "40"))

#: How much is made up for a test: requests of each kind for each operation, sessions, scripts.
EXAMPLES = int(os.environ.get("ARKER_TEST_EXAMPLES", "8"))


@pytest.fixture(scope="session")
def deployment() -> Iterator[Deployment]:
    """A running deployment with `.base_url` and `.api_key`, one for each test process.

    Tests share it: they delete what they fork, and do not count on being alone.
    """
    with launch(contract=CONTRACT) as running:
        yield running


class FreshDeployment:
    """`arker serve` as a process of its own, on a state folder that outlives it."""

    api_key = "ark_" + "t" * 40

    def __init__(self, state: Path, *options: str) -> None:
        self.state = state
        self.options = options
        self.base_url = ""
        self.announced = ""
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> FreshDeployment:
        """Start it, or start it again; returns when it serves."""
        assert self.process is None
        with (self.state / "test.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "arker", "serve", "--port", "0", "--state", self.state, *self.options],
                env={**os.environ, "ARKER_API_KEY": self.api_key},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        self.announced = ""
        for line in self.process.stdout:
            self.announced += line
            if line.startswith("export ARKER_BASE_URL="):
                self.base_url = line.strip().partition("=")[2]
            if "ARKER_API_KEY" in line:
                return self
        raise AssertionError(f"it did not start: {self.log}")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        return (self.state / "test.log").read_text()

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; its exit code."""
        assert self.process is not None
        assert self.process.stdout is not None
        try:
            return self.process.wait(60)
        finally:
            self.process.stdout.close()
            self.process = None

    def stop(self) -> int:
        """Stop it as Ctrl-C does; its exit code."""
        self.signal(signal.SIGINT)
        return self.wait()

    def kill(self) -> None:
        """kill -9."""
        self.signal(signal.SIGKILL)
        self.wait()


@pytest.fixture
def fresh_deployment() -> Iterator[Callable[..., FreshDeployment]]:
    """Makes deployments of a test's own: `fresh_deployment("--max-vms", "3").start()`; `state=` to share."""
    made: list[FreshDeployment] = []
    folders: list[Path] = []

    def make(*options: str, state: Path | None = None) -> FreshDeployment:
        if state is None:
            # Not below pytest's own folder: the deployment has to reach it when it has dropped root's powers.
            state = Path(tempfile.mkdtemp(prefix="arker-test-"))
            folders.append(state)
        made.append(FreshDeployment(state, *options))
        return made[-1]

    yield make
    for one in made:
        if one.process is not None:
            one.kill()
    for folder in folders:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a state folder, in which the last of a sandbox that is being killed may still write."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        subprocess.run(["chmod", "-R", "u+rwX", folder], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.02)
    raise AssertionError(f"{folder} cannot be removed")
