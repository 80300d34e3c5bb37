"""Fixtures for pytest, available as soon as Arker is installed: a separate computer for every test that requests
one.

    def test_sort(computer):
        assert computer.run("printf '2\\n1\\n' | sort").text == "1\\n2\\n"

Computers come from an embedded deployment, which starts with the first test that needs it and ends with the
test session (each worker of pytest-xdist has its own). With `pytest --arker-url URL` and the key in
`ARKER_API_KEY`, they come from that deployment. Each test gets a fork of `prepared_computer`, which is made once;
override it to install what all tests need:

    @pytest.fixture(scope="session")
    def prepared_computer(prepared_computer):
        prepared_computer.sync.upload("app.py", "/home/user/app.py")
        return prepared_computer
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from arker import Arker, AsyncArker, AsyncComputer, Computer

__all__ = ["arker", "async_arker", "async_computer", "computer", "prepared_computer"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--arker-url`."""
    parser.getgroup("arker").addoption(
        "--arker-url",
        metavar="URL",
        help="test on the deployment at URL, with the key in ARKER_API_KEY, instead of an embedded one",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a deployment that cannot be used, once for all tests."""
    url: str | None = config.getoption("--arker-url")
    if url is None:
        return
    from arker.config import resolve
    from arker.errors import ArkerError

    try:
        resolve(None, url, _global_url(url), os.environ)
    except ArkerError as error:
        what = "set ARKER_API_KEY to a key of it" if error.code == "unauthorized" else error.message
        raise pytest.UsageError(f"--arker-url: {what}") from None


@pytest.fixture(scope="session")
def arker(request: pytest.FixtureRequest) -> Iterator[Arker]:
    """A client of the deployment that the tests use: an embedded one, or that of `--arker-url`.

    Raises:
        ArkerError: `unavailable` when no embedded deployment can be started.
    """
    from arker import Arker

    url: str | None = request.config.getoption("--arker-url")
    with Arker.local() if url is None else Arker(base_url=url, global_url=_global_url(url)) as client:
        yield client


@pytest.fixture(scope="session")
def prepared_computer(arker: Arker, request: pytest.FixtureRequest) -> Iterator[Computer]:
    """The computer that each test's computer is forked from: a fork of `arkuntu`, unless you override this
    fixture. It is deleted at the end of the test session."""
    with arker.vm("arkuntu").fork(name=_name(request, "prepared")) as computer:
        yield computer


@pytest.fixture
def computer(prepared_computer: Computer, request: pytest.FixtureRequest) -> Iterator[Computer]:
    """A separate computer for this test, a fork of `prepared_computer`; it is deleted after the test."""
    with prepared_computer.fork(name=_name(request, request.node.name)) as computer:
        yield computer


@pytest.fixture
def async_arker(arker: Arker) -> Iterator[AsyncArker]:
    """An `AsyncArker` of the same deployment, for a test that is a coroutine, with any asyncio plugin."""
    import asyncio

    from arker import AsyncArker

    config = arker._pipeline.config
    client = AsyncArker(config.api_key, str(config.regional), global_url=str(config.control))
    yield client
    # The test's loop has ended or is about to end; closing needs no particular loop, but a coroutine needs one.
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(client.aclose())
    finally:
        loop.close()


@pytest.fixture
def async_computer(async_arker: AsyncArker, computer: Computer) -> AsyncComputer:
    """The `computer` of this test, for a test that is a coroutine."""
    return async_arker.vm(computer.id)


def _name(request: pytest.FixtureRequest, what: str) -> str:
    """A name that identifies computers which an aborted test session left in the cloud."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return "".join(c if c.isprintable() else "?" for c in f"pytest-{worker}-{what}")[:100]


def _global_url(url: str) -> str:
    from arker.config import global_url_of

    return os.environ.get("ARKER_GLOBAL_URL") or global_url_of(url)
