"""The host reaches ports of computers through sockets that a helper process makes inside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from arker.local.engine import BubblewrapEngine, LimitReached, PortClosed, Unsupported
from arker.local.engine.ports import _BATCH

from .harness import Box, sh

SERVER = """\
import socket, sys, threading
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
server = socket.socket(family)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind((sys.argv[1], int(sys.argv[2])))
server.listen(100)
open("/tmp/up" + sys.argv[2], "w").close()
def serve(connection):
    while data := connection.recv(65536):
        connection.sendall(data.upper())
    connection.sendall(b"bye")
    connection.close()
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""


async def up(engine: BubblewrapEngine, address: str, port: int, vm: str = "a") -> None:
    """Start the server in a computer and wait until it listens."""
    await engine.write_file(vm, "/home/user/server.py", SERVER.encode())
    await sh(engine, f"setsid python3 server.py {address} {port} >/dev/null 2>&1 &", vm)
    await sh(engine, f"until [ -e /tmp/up{port} ]; do sleep 0.01; done", vm)


def helper(engine: BubblewrapEngine) -> int:
    pid = engine._helper.pid
    assert pid is not None
    return pid


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::"])
async def test_a_server_is_reached_and_both_ends_say_when_they_are_done(
    engine: BubblewrapEngine, address: str
) -> None:
    await up(engine, address, 8000)
    stream = await engine.open_port("a", 8000)
    await stream.send(b"hello")
    assert await stream.receive() == b"HELLO"
    await stream.send_eof()
    assert await stream.receive() == b"bye"
    assert await stream.receive() == b""
    await stream.close()
    await stream.close()


async def test_connections_are_of_their_computer(engine: BubblewrapEngine) -> None:
    await engine.create("b", "arkuntu")
    await up(engine, "127.0.0.1", 8000)
    await sh(engine, "true", "b")
    with pytest.raises(PortClosed, match="nothing listens on port 8000"):
        await engine.open_port("b", 8000)


async def test_the_host_s_servers_are_out_of_reach(engine: BubblewrapEngine) -> None:
    await sh(engine, "true")
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(PortClosed):
        await engine.open_port("a", server.getsockname()[1])


async def test_a_computer_at_rest_is_not_started_for_a_port(engine: BubblewrapEngine) -> None:
    with pytest.raises(PortClosed):
        await engine.open_port("a", 8000)
    assert "a" not in await engine.running()


async def test_the_helper_comes_back_when_it_is_killed(engine: BubblewrapEngine) -> None:
    await up(engine, "127.0.0.1", 8000)
    streams = [await engine.open_port("a", 8000)]
    before = helper(engine)
    os.kill(before, signal.SIGKILL)
    # More than the sockets that are spare, and those that a child of it makes which waits for a request.
    streams += [await engine.open_port("a", 8000) for _ in range(2 * _BATCH)]
    assert helper(engine) != before
    for stream in streams:
        await stream.send(b"x")
        assert await stream.receive() == b"X"
        await stream.close()


@pytest.mark.slow
async def test_a_stopped_helper_is_replaced(engine: BubblewrapEngine) -> None:
    await up(engine, "127.0.0.1", 8000)
    await (await engine.open_port("a", 8000)).close()
    os.kill(helper(engine), signal.SIGSTOP)
    began = time.monotonic()
    for _ in range(2 * _BATCH):
        await (await engine.open_port("a", 8000)).close()
    assert time.monotonic() - began < 30


async def test_the_helper_ends_with_the_engine_and_nothing_of_it_is_inside(box: Box) -> None:
    async with box.engine() as engine:
        await engine.create("a", "arkuntu")
        await up(engine, "127.0.0.1", 8000)
        stream = await engine.open_port("a", 8000)
        pid = helper(engine)
        inside = await sh(engine, "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
        assert "setns" not in inside
        assert "setns" in Path(f"/proc/{pid}/cmdline").read_text()
        await stream.close()
    assert not Path(f"/proc/{pid}").exists()


async def test_a_connection_ends_with_its_computer(engine: BubblewrapEngine) -> None:
    await up(engine, "127.0.0.1", 8000)
    stream = await engine.open_port("a", 8000)
    waiting = asyncio.create_task(stream.receive())
    await engine.stop("a")
    with contextlib.suppress(ConnectionError):  # it may end by a reset
        assert await asyncio.wait_for(waiting, 30) == b""
    with pytest.raises(PortClosed):
        await engine.open_port("a", 8000)
    await stream.close()


async def test_a_cancelled_call_leaves_nothing_open(engine: BubblewrapEngine) -> None:
    await up(engine, "127.0.0.1", 8000)
    await (await engine.open_port("a", 8000)).close()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        call = asyncio.create_task(engine.open_port("a", 8000))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    await (await engine.open_port("a", 8000)).close()
    # What is answered to a call that was cancelled is closed when it comes. The helper keeps spare ones.
    while len(list(Path("/proc/self/fd").iterdir())) > before + 4:
        await asyncio.sleep(0.01)


async def test_a_server_that_reads_nothing_blocks_only_its_connection(
    engine: BubblewrapEngine,
) -> None:
    code = (
        "import socket, time; s = socket.create_server(('127.0.0.1', 8001)); c = s.accept(); time.sleep(1000)"
    )
    await sh(engine, f'setsid python3 -c "{code}" >/dev/null 2>&1 &')
    await up(engine, "127.0.0.1", 8000)
    stuck = None
    while stuck is None:
        try:
            stuck = await engine.open_port("a", 8001)
        except PortClosed:
            await asyncio.sleep(0.01)
    flood = asyncio.create_task(stuck.send(bytes(64 << 20)))
    stream = await engine.open_port("a", 8000)
    for _ in range(100):
        await stream.send(b"x")
        assert await stream.receive() == b"X"
    assert not flood.done()
    flood.cancel()
    await stuck.close()
    await stream.close()


async def test_connections_have_a_bound_that_closed_ones_do_not_count_for(engine: BubblewrapEngine) -> None:
    await up(engine, "127.0.0.1", 8000)
    for _ in range(300):
        await (await engine.open_port("a", 8000)).close()
    streams = [await engine.open_port("a", 8000) for _ in range(256)]
    with pytest.raises(LimitReached):
        await engine.open_port("a", 8000)
    await streams.pop().close()
    streams.append(await engine.open_port("a", 8000))
    for stream in streams:
        await stream.close()


@pytest.mark.engine(network=True)
async def test_the_shared_network_of_the_host_is_refused(engine: BubblewrapEngine) -> None:
    await sh(engine, "true")
    with pytest.raises(Unsupported, match="shares the network of the host"):
        await engine.open_port("a", 8000)
