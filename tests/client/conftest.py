from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Literal

import pytest

from arker.local.process.launcher import Deployment, launch
from tests.faults.proxy import CuttingProxy
from tests.faults.server import server

__all__ = ["server"]


class Way(CuttingProxy):
    """A way to the files of computers: endpoints, or runs of a shell with a deployment that has only a contract."""

    def __init__(self, deployment: Deployment, name: str) -> None:
        super().__init__(deployment.base_url, without="" if name == "endpoints" else "/api/v1/local/")
        self.name = name
        self.contract: Literal["auto", "0.1", "0.3"] = "auto"
        if name == "shell-0.1":
            self.contract = "0.1"
        elif name == "shell-0.3":
            self.contract = "0.3"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of files take every way; the blocking client, which is derived, takes fewer."""
    if "way" in metafunc.fixturenames:
        ways = [
            pytest.param("endpoints"),
            pytest.param("shell-0.3", marks=pytest.mark.contract("0.3")),
            pytest.param("shell-0.1", marks=[pytest.mark.contract("0.1"), pytest.mark.slow]),
        ]
        all_three = "_async.test_file" in metafunc.module.__name__
        metafunc.parametrize("way", ways if all_three else ways[:2], indirect=True)


@pytest.fixture
def way(request: pytest.FixtureRequest, deployment: Deployment) -> Iterator[Way]:
    with Way(deployment, request.param) as way:
        yield way


@pytest.fixture(scope="session")
def serving() -> Iterator[Callable[[str], Deployment]]:
    """`serving("0.3")`: a deployment that serves this contract; all tests of this process share it."""
    with contextlib.ExitStack() as stack:
        yield functools.cache(lambda contract: stack.enter_context(launch(contract=contract)))
