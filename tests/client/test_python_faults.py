"""What becomes of an interpreter when its call, its client or its deployment ends."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable

import pytest

from arker import Arker, ArkerError, AsyncArker, RetryPolicy
from arker.local.process.launcher import Deployment, launch
from tests.conftest import FreshDeployment
from tests.faults.proxy import CuttingProxy

FOREVER = "print('here', flush=True)\nwhile True:\n    pass"


@pytest.mark.timeout(120)
def test_a_restart_of_the_deployment(fresh_deployment: Callable[..., FreshDeployment]) -> None:
    one = fresh_deployment().start()
    retry = RetryPolicy(attempts=12, backoff=0.1)
    with (
        CuttingProxy(one.base_url) as wire,
        Arker(one.api_key, wire.url, global_url=wire.url, retry=retry) as arker,
        arker.vm("arkuntu").fork() as vm,
        vm.python() as python,
    ):
        python.run("x = 1")

        def restart() -> None:
            one.stop()
            wire.move(one.start().base_url)

        thread = threading.Thread(target=restart)
        with pytest.raises(ArkerError) as caught:
            python.run(FOREVER, on_stdout=lambda _: thread.start())
        thread.join()
        assert caught.value.code == "unavailable"
        assert caught.value.processed == "maybe"
        result = python.run("'x' in globals()")
        assert (result.value, result.restarted) == ("False", True)
        assert "variables are lost" in result.notes[0]
        # Between calls, too.
        restart()
        result = python.run("1")
        assert (result.value, result.restarted) == ("1", True)


def test_a_cancelled_task_ends_the_code(deployment: Deployment) -> None:
    async def work() -> None:
        async with (
            AsyncArker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as arker,
            await arker.vm("arkuntu").fork() as vm,
            vm.python() as python,
        ):
            here = asyncio.Event()
            call = asyncio.create_task(python.run(FOREVER, on_stdout=lambda _: here.set()))
            await here.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            result = await python.run("1", timeout=60)
            assert (result.value, result.restarted) == ("1", True)
            assert "cancelled" in result.notes[0]
            assert len(await vm.runs(running=True)) == 1

    asyncio.run(work())


def test_ctrl_c_ends_the_code(deployment: Deployment) -> None:
    def interrupt(_: bytes) -> None:
        raise KeyboardInterrupt

    with (
        Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as arker,
        arker.vm("arkuntu").fork() as vm,
        vm.python() as python,
    ):
        with pytest.raises(KeyboardInterrupt):
            python.run(FOREVER, on_stdout=interrupt)
        assert python.run("1").restarted


def test_code_whose_client_is_gone_ends_by_its_timeout(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    from arker._sync import python as module

    source = module.program()
    assert b"ALONE = 30.0" in source
    monkeypatch.setattr(module, "program", lambda: source.replace(b"ALONE = 30.0", b"ALONE = 0.1"))
    with (
        Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as arker,
        arker.vm("arkuntu").fork() as vm,
    ):
        # As `run` begins a call; nobody waits for its end.
        process = vm.python()._start()
        process.send(
            "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    pass", 0.1, None
        )
        result = process.run.wait(timeout=60)
        assert (result.reason, result.exit_code) == ("signalled", 128 + signal.SIGALRM)


def test_more_output_than_the_deployment_keeps() -> None:
    with (
        launch(limits={"run_output": 1 << 20}) as deployment,
        Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as arker,
        arker.vm("arkuntu").fork() as vm,
        vm.python() as python,
    ):
        result = python.run("print('x' * 2_000_000)\nwhile True:\n    pass")
        assert result.error is not None
        assert (result.error.name, result.restarted, result.truncated) == ("ProcessEnded", True, True)
        assert "more output than the deployment keeps" in result.error.message
        assert result.stdout[:10] == b"x" * 10
        assert python.run("1").value == "1"


def test_the_computer_stays_out_of_it_when_the_interpreter_is_only_made(deployment: Deployment) -> None:
    with (
        Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as arker,
        arker.vm("arkuntu").fork() as vm,
    ):
        with vm.python() as python:
            python.interrupt()
            python.restart()
        assert vm.runs() == []
