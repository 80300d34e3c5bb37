"""The platform on an engine in memory, and its web app without a socket."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MEMORY

from .kit import Bench


@pytest.fixture
def make_bench() -> Iterator[Callable[..., Bench]]:
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> Bench:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="arker-bench-", dir=MEMORY))
            bench = Bench(Path(folder), **options)
            stack.callback(bench.database.close)
            return bench

        yield make


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()
