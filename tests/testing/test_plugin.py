"""The fixtures of `arker.testing` in a user's project."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from arker import Arker
from arker.local.process.launcher import Deployment

pytest_plugins = ["pytester"]

Run = Callable[..., pytest.RunResult]

SYNC = """
    import pytest

    @pytest.fixture(scope="session")
    def prepared_computer(prepared_computer):
        prepared_computer.run("echo prepared > file; export VARIABLE=kept").check()
        return prepared_computer

    @pytest.mark.parametrize("n", range(6))
    def test_alone(computer, n):
        assert computer.run("cat file; echo $VARIABLE; ls").text == "prepared\\nkept\\nfile\\n"
        computer.run(f"rm file; touch {n}")

    def test_client(arker, prepared_computer):
        assert prepared_computer.id in [vm.vm_id for vm in arker.iter_vms()]
        assert prepared_computer.run("ls").text == "file\\n"
"""

ASYNC = """
    import asyncio, pytest

    async def check(computer, arker):
        results = await asyncio.gather(*(computer.run("echo $PWD", session_id=f"s{n}") for n in range(8)))
        assert {result.text for result in results} == {"/home/user\\n"}
        await computer.sync.write_file("/home/user/x", b"x" * 5_000_000)
        assert len(await computer.sync.read_file("/home/user/x")) == 5_000_000
        assert computer.id in [vm.vm_id async for vm in arker.iter_vms()]

    @pytest.mark.anyio
    @pytest.mark.parametrize("anyio_backend", ["asyncio"])
    @pytest.mark.parametrize("n", range(2))
    async def test_anyio(anyio_backend, async_computer, async_arker, n):
        await check(async_computer, async_arker)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("n", range(2))
    async def test_pytest_asyncio(async_computer, async_arker, n):
        await check(async_computer, async_arker)

    def test_by_hand(async_computer, async_arker, computer):
        assert async_computer.id == computer.id
        asyncio.run(check(async_computer, async_arker))
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run pytest on a file as a process of its own, and see to it that neither a process nor a file is left."""
    mark = f"ARKER_TEST_{uuid.uuid4().hex}"
    monkeypatch.setenv(mark, "1")
    for name in ("ARKER_API_KEY", "ARKER_BASE_URL", "ARKER_GLOBAL_URL"):
        monkeypatch.delenv(name, raising=False)
    with tempfile.TemporaryDirectory(prefix="arker-test-") as folder:
        # The deployment has to reach it when it has dropped root's powers.
        Path(folder).chmod(0o755)
        monkeypatch.setenv("TMPDIR", folder)

        def start(source: str, *options: str) -> pytest.RunResult:
            pytester.makepyfile(source)
            pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
            return pytester.runpytest_subprocess(
                "-W", "error", "-p", "no:cacheprovider", "-p", "no:schemathesis", *options, timeout=100
            )

        yield start
        assert [path.name for path in Path(folder).iterdir() if path.name.startswith("arker-")] == []
    assert not list(marked(mark))


def marked(mark: str) -> Iterator[str]:
    """The processes that have a variable in their environment, but for this one."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                if f"{mark}=".encode() in (process / "environ").read_bytes():
                    yield f"{process.name}: {(process / 'cmdline').read_bytes()!r}"
            except OSError:
                continue


@pytest.mark.parametrize("options", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_every_test_has_a_computer_of_its_own(run: Run, options: list[str]) -> None:
    run(SYNC, *options).assert_outcomes(passed=7)


def test_coroutines_under_any_plugin(run: Run) -> None:
    run(ASYNC).assert_outcomes(passed=5)


def test_on_another_deployment(run: Run, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARKER_API_KEY", deployment.api_key)
    worker = os.urandom(4).hex()
    monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
    result = run(SYNC + ASYNC, "--arker-url", deployment.base_url)
    result.assert_outcomes(passed=12)
    assert deployment.api_key not in result.stdout.str() + result.stderr.str()
    assert left(deployment, worker) == []


def left(deployment: Deployment, text: str) -> list[str | None]:
    with Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as client:
        return [vm.name for vm in client.iter_vms(q=text)]


@pytest.mark.parametrize(
    "end", ["assert False", "os.kill(os.getpid(), signal.SIGINT); time.sleep(20)", "pytest.exit('enough')"]
)
def test_however_a_test_ends_nothing_is_left(
    run: Run, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setenv("ARKER_API_KEY", deployment.api_key)
    worker = os.urandom(4).hex()
    monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
    source = f"""
    import os, signal, time, pytest

    def test(computer, arker):
        assert arker.list(q={worker!r}).total == 2
        print("it ran")
        {end}
    """
    result = run(source, "-s", "--arker-url", deployment.base_url)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*it ran*"])
    assert left(deployment, worker) == []


@pytest.mark.parametrize(
    ("key", "url", "says"),
    [
        ("", "http://127.0.0.1:9", "set ARKER_API_KEY to a key of it"),
        ("k" * 20, "arker.example", "*https://*"),
        ("k" * 20, "", "*https://*"),
    ],
)
def test_impossible_options_are_refused_at_once(
    run: Run, monkeypatch: pytest.MonkeyPatch, key: str, url: str, says: str
) -> None:
    monkeypatch.setenv("ARKER_API_KEY", key)
    result = run("def test(computer): pass", f"--arker-url={url}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --arker-url: {says}"])


def test_the_key_goes_to_no_other_deployment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARKER_API_KEY", "k" * 20)
    source = """
    def test(arker):
        assert repr(arker) == "Arker(base_url='https://arker.example', global_url='https://arker.example')"
    """
    run(source, "--arker-url", "https://arker.example").assert_outcomes(passed=1)


def test_a_project_that_does_not_use_it_does_not_pay() -> None:
    code = "import pytest, sys; before = set(sys.modules); import arker.testing; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name.partition(".")[0] for name in done.stdout.split()} == {"arker"}
