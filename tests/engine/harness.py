"""Each test of the engine runs in a child process of its own, as a user without privileges even when pytest is root.

An engine belongs to the process that starts it, and the privileges of root are dropped for good; and a test that
leaves a sandbox behind loses it with its process.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from arker.local.engine import BubblewrapEngine, Limits, RunOutcome, drop_privileges, run, small_files, trees
from arker.local.engine.processes import Processes
from tests.conftest import MEMORY

TIMEOUT = 100.0


@dataclass
class Box:
    """A store for engines of a test, and what to start them with."""

    folder: Path
    limits: dict[str, Any] = field(default_factory=dict)
    network: bool = False

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @contextlib.asynccontextmanager
    async def engine(self, *, probe: bool = True, **limits: Any) -> AsyncIterator[BubblewrapEngine]:
        """A started engine; without `probe` it does not try a sandbox first."""
        engine = BubblewrapEngine(self.store, Limits(**{**self.limits, **limits}), network=self.network)
        if not probe:
            engine._prove = _nothing  # type: ignore[method-assign]
        await engine.start()
        try:
            yield engine
        finally:
            await engine.close()


async def _nothing() -> None:
    pass


async def sh(
    engine: BubblewrapEngine, command: str, vm: str = "a", session: str = "0", **options: Any
) -> str:
    """Return the output of a command, which must succeed without output on stderr."""
    outcome = await run(engine, vm, session, command, **options)
    assert (outcome.exit_code, outcome.stderr) == (0, b""), outcome
    return outcome.stdout.decode()


async def attempt(
    engine: BubblewrapEngine, command: str, vm: str = "a", session: str = "0", **options: Any
) -> RunOutcome:
    """How a command ends, whatever it does."""
    return await run(engine, vm, session, command, **options)


async def until_there_are(
    engine: BubblewrapEngine, count: int, name: str, vm: str = "a", session: str = "0"
) -> None:
    """Wait until so many processes have a name: one that was killed has it until process 1 has taken notice."""
    await sh(
        engine,
        f"until [ $(pgrep -cx {name}) = {count} ]; do :; done",
        vm,
        session,
        timeout=60,
    )


@pytest.fixture
def slow_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the signals to two processes, the first one has the time to act."""
    send = Processes.send

    def send_slowly(processes: Processes, pid: int, number: signal.Signals) -> None:
        send(processes, pid, number)
        time.sleep(0.02)

    monkeypatch.setattr(Processes, "send", send_slowly)


async def content(engine: BubblewrapEngine, path: str, vm: str = "a") -> bytes:
    async with await engine.open_file(vm, path) as file:
        return await file.read(0, file.size)


PROGRAMS = ("bash", "cat", "chown", "id", "ln", "ls", "mkdir", "mv", "rm", "rmdir", "setsid", "stat", "touch")


def lay_out_image(folder: Path) -> Path:
    """Lay out an image of some programs and their libraries; its root."""
    root = folder / "root"
    for name in ("usr/bin", "usr/lib", "usr/lib64", "home/user", "etc", "tmp", "root"):
        (root / name).mkdir(parents=True)
    for link in ("bin", "lib", "lib64"):
        (root / link).symlink_to(f"usr/{link}")
    for program in PROGRAMS:
        found = shutil.which(program)
        assert found is not None
        shutil.copy(found, root / "usr/bin" / program)
        linked = subprocess.run(["ldd", found], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"(/\S+) \(0x", linked):
            target = root / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copy(library, target)
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/bash\ndaemon:x:1:1::/:/bin/false\n")
    (root / "etc/group").write_text("root:x:0:\ndaemon:x:1:\n")
    return root


@pytest.fixture
def box(request: pytest.FixtureRequest) -> Iterator[Box]:
    """A store in a folder that any user may search; `@pytest.mark.engine(**limits)` sets limits and `network`."""
    on_disk = request.node.get_closest_marker("on_disk") is not None
    folder = Path(tempfile.mkdtemp(prefix="arker-engine-", dir=None if on_disk else MEMORY))
    folder.chmod(0o711)
    (folder / "store").mkdir(mode=0o700)
    options = dict(marker.kwargs) if (marker := request.node.get_closest_marker("engine")) else {}
    network = options.pop("network", False)
    try:
        yield Box(folder, options, network)
    finally:
        left = _processes_of(folder)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        trees.remove_tree(folder)
        assert not left, "the test left processes behind"


@pytest.fixture
def engine(box: Box) -> Box:
    """In the test: a started engine on an empty store, with a computer `a`."""
    return box


@pytest.fixture
def as_root() -> None:
    """The test keeps the privileges of pytest, which must run as root."""
    if os.geteuid() != 0:
        pytest.skip("needs root")


def _processes_of(folder: Path) -> list[int]:
    """bwrap names its mounts on its command line; killed ones are waited for."""
    until = time.monotonic() + 30
    while True:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if str(folder) in small_files.read(f"/proc/{entry.name}/cmdline"):
                        found.append(int(entry.name))
        if not found or time.monotonic() > until:
            return found
        time.sleep(0.02)


async def _run(function: Any, arguments: dict[str, Any]) -> None:
    async with contextlib.AsyncExitStack() as stack:
        if "engine" in arguments:
            # The test starts a sandbox itself.
            arguments["engine"] = await stack.enter_async_context(arguments["engine"].engine(probe=False))
            await arguments["engine"].create("a", "arkuntu")
        await function(**arguments)


def _child(function: Any, arguments: dict[str, Any], report: int) -> None:
    outcome: Any = None
    try:
        box = arguments.get("engine") or arguments.get("box")
        if os.geteuid() == 0 and box is not None and "as_root" not in arguments:
            drop_privileges(box.store)
        if inspect.iscoroutinefunction(function):
            asyncio.run(_run(function, arguments))
        else:
            function(**arguments)
    except pytest.skip.Exception as error:
        outcome = ("skip", str(error))
    except BaseException:
        outcome = ("fail", traceback.format_exc())
    with os.fdopen(report, "wb") as pipe:
        pickle.dump(outcome, pipe)


def run_apart(item: pytest.Function) -> None:
    """Run a test function in a child process and raise what it raised."""
    names = item._fixtureinfo.argnames
    arguments = {name: item.funcargs[name] for name in names}
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # Python warns of threads of the test runner; the child uses none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            os.setpgid(0, 0)
            # What pytest-asyncio would run in the event loop of this process.
            _child(inspect.unwrap(item.obj), arguments, writer)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(0)
    os.close(writer)
    fd = os.pidfd_open(pid)
    try:
        import select

        if not select.select([fd], [], [], TIMEOUT)[0]:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            pytest.fail(f"the test did not end within {TIMEOUT} s", pytrace=False)
        os.waitpid(pid, 0)
    finally:
        os.close(fd)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    if not data:
        pytest.fail("the process of the test died", pytrace=False)
    outcome = pickle.loads(data)
    if outcome is not None:
        kind, text = outcome
        if kind == "skip":
            pytest.skip(text)
        pytest.fail(text, pytrace=False)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Tests with a store run in processes of their own."""
    if "box" not in pyfuncitem.funcargs:
        return None
    run_apart(pyfuncitem)
    return True


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "engine(network=False, **limits): how the engine of the test is started"
    )
    config.addinivalue_line(
        "markers",
        "on_disk: tests what file systems do differently, or writes a lot; its store is not in memory",
    )
