from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.aio import pytest_pyfunc_call
from tests.faults.server import Server

__all__ = ["pytest_pyfunc_call"]


@pytest.fixture
def server() -> Iterator[Server]:
    """A scripted server; every test has closed all of its connections at its end."""
    with Server() as server:
        yield server
        assert server.settle(0), f"{len(server.open)} connections were left open"
