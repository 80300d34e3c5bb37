"""Connecting: several addresses, slow name lookups, many connections at a time."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from arker import ArkerError, AsyncArker, Timeouts
from arker._async.gather import async_gather
from arker._http import sockets
from arker._http._async import pool
from arker._http._async.connection import AsyncConnection
from arker._http._async.stream import AsyncStream
from arker._io_async import async_in_thread, async_sleep
from tests.faults import server as faults
from tests.faults.server import KEY, Server


def client(server: Server, **options: object) -> AsyncArker:
    return AsyncArker(KEY, server.url, **{"global_url": server.url, "retry": None, **options})  # type: ignore[arg-type]


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port of this machine that drops what comes, as a dead address does: its queue is full."""
    with socket.socket() as listener, contextlib.ExitStack() as queue:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        while True:
            waiting = queue.enter_context(socket.socket())
            waiting.settimeout(0.3)
            try:
                waiting.connect(("127.0.0.1", port))
            except TimeoutError:
                break
        yield port


@contextlib.contextmanager
def refusing() -> Iterator[int]:
    """A port of this machine on which nobody listens, and on which nobody else can begin to."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def resolving(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """Have every name resolve to ports of this machine."""
    original = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if options.get("flags"):
            return original(host, port, *args, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.slow
async def test_a_dead_first_address_costs_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server() as server, silent() as dead:
        resolving(monkeypatch, dead, dead, server.port)
        started = time.monotonic()
        stream = await AsyncStream.connect("several.test", 80, tls=False, timeout=20)
        took = time.monotonic() - started
        stream.close()
        assert 2 * sockets.STAGGER <= took < 15


async def test_an_address_that_refuses_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "STAGGER", 60.0)
    with Server() as server, refusing() as one, refusing() as other:
        resolving(monkeypatch, one, other, server.port)
        stream = await AsyncStream.connect("several.test", 80, tls=False, timeout=20)
        stream.close()


async def test_one_that_answers_late_still_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others having failed meanwhile."""
    monkeypatch.setattr(sockets, "STAGGER", 0.05)
    with Server() as server, refusing() as other:
        race = sockets.Race(
            [(socket.AF_INET, socket.SOCK_STREAM, 6, ("127.0.0.1", port)) for port in (server.port, other)]
        )
        while (won := race.step()) is None:
            pass
        race.close()
        assert won.getpeername()[1] == server.port
        assert not won.getblocking()
        won.close()


@pytest.mark.parametrize("ports", [0, 1, 3])
async def test_the_last_failure_is_raised(ports: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with refusing() as port:
        resolving(monkeypatch, *[port] * ports)
        with pytest.raises(OSError, match="refused" if ports else "the host has no address"):
            await AsyncStream.connect("several.test", 80, tls=False, timeout=20)


@pytest.mark.slow
async def test_connecting_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with silent() as dead:
        resolving(monkeypatch, dead, dead)
        started = time.monotonic()
        with pytest.raises(TimeoutError, match="connecting timed out"):
            await AsyncStream.connect("several.test", 80, tls=False, timeout=0.5)
        assert time.monotonic() - started < 30


def test_families_take_turns() -> None:
    def address(family: int, last: int) -> sockets.Address:
        return family, socket.SOCK_STREAM, 6, (f"{last}", 80)

    six, four = socket.AF_INET6, socket.AF_INET
    found = [address(six, 1), address(six, 2), address(six, 3), address(four, 4)]
    assert [item[3][0] for item in sockets.interleaved(found)] == ["1", "4", "2", "3"]


async def test_looking_a_name_up_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    original = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if not options.get("flags"):
            answer.wait(60)
            raise socket.gaierror("no such host")
        return original(host, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with AsyncArker(KEY, "https://slow.test", retry=None, timeout=Timeouts(connect=0.2)) as arker:
        started = time.monotonic()
        with pytest.raises(
            ArkerError, match=r"timeout: could not send: slow\.test: looking up its address timed out"
        ) as caught:
            await arker.vm("arkuntu").fork()
        assert time.monotonic() - started < 30
        assert caught.value.processed == "no"
        answer.set()
        with pytest.raises(ArkerError, match=r"network: could not send: slow\.test: .*no such host"):
            await arker.with_options(timeout=60).vm("arkuntu").fork()


async def test_a_burst_opens_some_connections_at_a_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, most, lock = 0, 0, threading.Lock()
    original = AsyncConnection.open

    async def noted(self: AsyncConnection, timeout: float) -> None:
        nonlocal opening, most
        with lock:
            opening += 1
            most = max(most, opening)
        await async_sleep(0.002)
        await original(self, timeout)
        with lock:
            opening -= 1

    monkeypatch.setattr(AsyncConnection, "open", noted)
    monkeypatch.setattr(pool, "OPENING", 4)
    monkeypatch.setattr(pool, "SLOW", 60.0)
    async with client(server) as arker:
        vm = arker.vm(server.vm())
        outcomes = await arker.map(lambda n: vm.run(str(n)), range(200), concurrency=200)
        assert [outcome.get().stdout for outcome in outcomes] == [str(n).encode() for n in range(200)]
        assert most <= 4


async def test_long_calls_do_not_wait_for_each_other(server: Server) -> None:
    count = 3 * pool.OPENING
    # None is answered before all of them are there.
    server.fail("run", *[faults.together(count)] * count)
    async with client(server) as arker:
        vm = arker.vm(server.vm())
        outcomes = await arker.map(lambda n: vm.run(str(n)), range(count), concurrency=count)
        assert all(outcome.ok for outcome in outcomes)
    assert server.connections == count


async def test_slow_connections_delay_no_other(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    original = AsyncConnection.open

    async def open_(self: AsyncConnection, timeout: float) -> None:
        if self.origin[2] == 1:
            await async_in_thread(stopped.wait, 60)
            raise ConnectionRefusedError("refused")
        await original(self, timeout)

    stopped = threading.Event()
    monkeypatch.setattr(AsyncConnection, "open", open_)
    monkeypatch.setattr(pool, "OPENING", 2)
    monkeypatch.setattr(pool, "SLOW", 0.05)
    async with AsyncArker(KEY, server.url, global_url="http://127.0.0.1:1", retry=None) as arker:
        vm = arker.vm(server.vm())

        async def last() -> None:
            await async_sleep(0.01)
            assert (await vm.run("x")).stdout == b"x"
            stopped.set()

        outcomes = await async_gather([arker.list, arker.list, last], 3)
        outcomes[2].get()
        assert [getattr(outcome.error, "code", None) for outcome in outcomes] == ["network", "network", None]
