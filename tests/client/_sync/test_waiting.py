# Derived from tests/client/_async/test_waiting.py by `make generate`; do not edit.
"""Waiting for servers, files and output, and whether a computer is healthy."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from arker import Arker, ArkerError, CommandFailedError, NotFoundError, Run, RunInfo
from arker.local.process.launcher import Deployment
from tests.faults.proxy import CuttingProxy


@pytest.fixture
def client(deployment: Deployment) -> Arker:
    return Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url)


def test_a_server_a_file_and_output_are_waited_for(client: Arker) -> None:
    with client as arker, arker.vm("arkuntu").fork() as vm:
        program = "import time, http.server as h; time.sleep(0.3); h.test(bind='127.0.0.1', port=8000)"
        server = vm.start(f"touch ~/begun; echo 'käse: 5'; printf 'name? '; exec python3 -uc \"{program}\"")
        vm.wait_for(path="/home/user/begun", run=server)
        found = vm.wait_for(output=re.compile(r"käse: (\d)$"), run=server)
        assert found[1] == "5"
        # A prompt has no end of its line.
        assert (vm.wait_for(output="name? ", run=server))[0] == "name? "
        vm.wait_for(port=8000, run=server, timeout=30)
        vm.wait_for(port=8000)
        server.cancel()


def test_waiting_ends_with_the_run_and_after_its_time(client: Arker) -> None:
    with client as arker, arker.vm("arkuntu").fork() as vm:
        failed = vm.start("echo oops >&2; exit 3")
        for wait in (
            functools.partial(vm.wait_for, port=8000, run=failed),
            functools.partial(vm.wait_for, path="/tmp/never", run=failed),
            functools.partial(vm.wait_for, output="never", run=failed),
        ):
            with pytest.raises(CommandFailedError, match="exit code 3: oops") as caught:
                wait()
            assert caught.value.result is not None
            assert caught.value.result.exit_code == 3
        endless = vm.start("while :; do echo again; sleep 0.01; done")
        for wait in (
            functools.partial(vm.wait_for, port=8000, run=endless, timeout=0.1),
            functools.partial(vm.wait_for, path="/tmp/never", timeout=0.1),
            functools.partial(vm.wait_for, output="never (yet)", run=endless, timeout=0.1),
        ):
            with pytest.raises(ArkerError, match="not within") as late:
                wait()
            assert late.value.code == "timeout"
        assert "output 'never (yet)': not within" in late.value.message
        endless.cancel()


def test_one_thing_is_waited_for(client: Arker) -> None:
    with client as arker:
        vm = arker.vm("0" * 26)
        run = Run(vm, RunInfo("x", "0", "true", "running", datetime.now(UTC)))
        for arguments in (
            {}, {"port": 1, "path": "/"}, {"output": "x"}, {"output": b"x", "run": run},
        ):  # fmt: skip
            with pytest.raises(TypeError):
                vm.wait_for(**arguments)  # type: ignore[call-overload]


@pytest.mark.parametrize("contract", ["both", "0.1", "0.3"])
def test_a_computer_that_works_is_healthy(serving: Callable[[str], Deployment], contract: str) -> None:
    deployment = serving(contract)
    url = deployment.base_url
    with (
        Arker(deployment.api_key, url, global_url=url) as arker,
        arker.vm("arkuntu").fork() as vm,
    ):
        vm.run("set -u; exit() { :; }; trap 'exit 1' DEBUG")
        assert vm.healthy()
        with pytest.raises(NotFoundError):
            arker.vm("0" * 26).healthy()


def test_a_deployment_that_does_not_answer_is_not_healthy(deployment: Deployment) -> None:
    with CuttingProxy(deployment.base_url) as proxy:
        url = proxy.url
        with Arker(deployment.api_key, url, global_url=url, retry=None) as arker:
            vm = arker.vm("arkuntu").fork()
            assert vm.healthy()
            proxy.lose(64)
            assert not vm.healthy(timeout=5)
    with Arker(deployment.api_key, deployment.base_url) as arker:
        arker.vm(vm.id).delete()
