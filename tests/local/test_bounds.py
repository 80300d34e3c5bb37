"""Total limits on connections: keyless connections are closed first, and calls with a key are answered."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import resource
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from arker.local.http import bounds, events
from arker.local.http.bounds import Bounds, UnderWay
from arker.local.http.websockets import WebSocket
from arker.local.service import files, handles, runs
from arker.local.service.keys import open_keys

from .fake import outcome
from .kit import KEY, Bench, code, command, fork, held_at_once, serving

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]
WHOAMI = f"GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()


@asynccontextmanager
async def opened(address: tuple[str, int], count: int, first: bytes = b"") -> AsyncIterator[list[Pair]]:
    """Connections, one after another, that send the same."""
    pairs: list[Pair] = []
    try:
        for _ in range(count):
            reader, writer = await asyncio.open_connection(*address)
            pairs.append((reader, writer))
            writer.write(first)
            await asyncio.sleep(0)
        yield pairs
    finally:
        for _, writer in pairs:
            writer.transport.abort()


async def status(pair: Pair, request: bytes = WHOAMI) -> int:
    reader, writer = pair
    writer.write(request)
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode()
    length = next(line for line in head.lower().split("\r\n") if line.startswith("content-length"))
    await reader.readexactly(int(length.partition(":")[2]))
    return int(head.split()[1])


async def ended(pair: Pair) -> bool:
    """Whether the other side closes it within some time; what it sent before is read."""
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(30):
            while await pair[0].read(1 << 16):
                pass
            return True
    return pair[0].exception() is not None


async def test_idle_connections_without_a_key_make_room(bench: Bench) -> None:
    async with serving(bench, Bounds(10)) as address, opened(address, 3) as keyed:
        assert [await status(pair) for pair in keyed] == [200] * 3
        async with opened(address, 40) as idle:
            async with opened(address, 1) as (new,):
                assert await status(new) == 200
            # The oldest of those without a key went; those that had shown one did not.
            assert all([await ended(pair) for pair in idle[:30]])
            assert await status(idle[-1]) == 200
            assert [await status(pair) for pair in keyed] == [200] * 3


async def test_of_connections_with_a_key_the_oldest_idle_one_makes_room(bench: Bench) -> None:
    async with serving(bench, Bounds(3)) as address, opened(address, 3) as keyed:
        assert [await status(pair) for pair in keyed] == [200] * 3
        async with opened(address, 1) as (new,):
            assert await status(new) == 200
            assert await ended(keyed[0])
            assert await status(keyed[1]) == 200


async def test_a_request_under_way_is_not_given_up_for_a_new_connection(bench: Bench) -> None:
    async with serving(bench, Bounds(1)) as address, opened(address, 1) as (busy,):
        begun = WHOAMI.replace(b"GET /api/v1/whoami", b"POST /api/v1/vms/fork")
        busy[1].write(begun.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"))
        # It is under way as soon as its head has come: the deployment asks for the body.
        assert await busy[0].readline() == b"HTTP/1.1 100 Continue\r\n"
        await busy[0].readline()
        async with opened(address, 1) as (new,):
            assert await ended(new)
        assert await status(busy, b"{}") == 400


def test_organizations_that_act_together_leave_room_for_one_more() -> None:
    under_way = UnderWay(64)
    for org in ("a", "b", "c"):
        while under_way.begin(org):
            pass
    assert under_way.begin("d")
    under_way.end("a")
    assert not under_way.begin("b")


async def test_one_organization_leaves_room_for_others(bench: Bench) -> None:
    theirs = "ark_" + "o" * 40
    with open_keys(bench.folder) as keys:
        keys.register(theirs, name="other", org="other")
    async with bench.client(most_requests=6) as client:
        vm, going, go = await fork(client), asyncio.Semaphore(0), asyncio.Event()

        async def wait(_: str) -> object:
            going.release()
            await go.wait()
            return outcome()

        bench.engine.command = wait  # type: ignore[assignment]
        runs = [asyncio.create_task(command(client, vm, "x", session_id=f"s{n}")) for n in range(3)]
        for _ in runs:
            await going.acquire()
        refused = await client.get("/api/v1/whoami")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        other = {"Authorization": f"Bearer {theirs}"}
        assert (await client.get("/api/v1/whoami", headers=other)).status_code == 200
        go.set()
        assert {(await run).status_code for run in runs} == {200}
        assert (await client.get("/api/v1/whoami")).status_code == 200


class Typed:
    """An upgraded connection on which frames came."""

    def __init__(self, frames: bytes) -> None:
        self.frames = frames
        self.closed = False

    async def receive(self, size: int = 65536) -> bytes:
        data, self.frames = self.frames[:size], self.frames[size:]
        return b"" if self.closed else data

    async def send(self, data: bytes) -> None: ...

    async def close(self) -> None:
        self.closed = True


async def test_a_message_of_a_websocket_has_a_bound_on_its_parts() -> None:
    empty = b"\x00\x80\0\0\0\0"
    stream = Typed(b"\x02" + empty[1:] + empty * 100_000)
    async with asyncio.timeout(30):
        assert await WebSocket(stream).receive() is None  # type: ignore[arg-type]
    assert stream.closed
    assert stream.frames


async def test_the_readers_of_a_run_have_a_bound(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_FOLLOWERS", 2)
    go = asyncio.Event()

    async def wait(_: str) -> object:
        await go.wait()
        return outcome(b"done")

    async with bench.client() as client:
        vm = await fork(client)
        bench.engine.command = wait  # type: ignore[assignment]
        path = f"/api/v1/local/vms/{vm}/runs"
        run = (await client.post(path, json={"command": "x", "session_id": "0"})).json()["run_id"]
        reading = [asyncio.create_task(client.get(f"{path}/{run}/events")) for _ in range(3)]
        done, _ = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
        assert [(await answer).status_code for answer in done] == [429]
        go.set()
        assert sorted([(await answer).status_code for answer in reading]) == [200, 200, 429]
        assert (await client.get(f"{path}/{run}/events")).status_code == 200


async def test_unfinished_heads_have_a_bound(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_HEADS", 200_000)
    head = WHOAMI[:-2] + b"X: " + b"x" * 50_000
    async with serving(bench, Bounds(100)) as address, opened(address, 20, head) as heads:
        assert all([await ended(pair) for pair in heads[:16]])
        assert await status(heads[-1], b"\r\n\r\n") == 200


class Reader:
    """A connection of a client that does not read."""

    def __init__(self, closed: list[Reader]) -> None:
        self.closed = closed

    def give_up(self) -> None:
        self.closed.append(self)


async def test_far_too_many_unread_answers_are_dropped_at_once() -> None:
    sums, closed = Bounds(1000), list[Reader]()
    readers = [Reader(closed) for _ in range(300)]
    for reader in readers:
        sums.stuck(reader, "a", 1 << 20)
    assert closed == readers[: 300 - 2 * bounds.MAX_UNREAD // (1 << 20)]
    # Many organizations together: that with the most gives way.
    del closed[:]
    for n in range(600):
        sums.stuck(Reader(closed), f"o{n % 12}", 1 << 20)
    left = 2 * bounds.MAX_UNREAD // (1 << 20) + 600 - len(closed)
    assert left == 2 * bounds.MAX_ALL_UNREAD // (1 << 20)
    assert closed[:50] == readers[-2 * bounds.MAX_UNREAD // (1 << 20) :][:50]


async def test_answers_being_made_have_a_limit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, most = 0, 0
    content = files._content

    async def slow(*arguments: Any) -> bytes:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(100):
            await asyncio.sleep(0)
        under_way -= 1
        return await content(*arguments)

    monkeypatch.setattr(files, "_content", slow)
    monkeypatch.setattr(files, "MAX_ANSWERS", 4_000_000)
    async with bench.client() as client:
        vm = await fork(client)
        await bench.engine.write_file(vm, "/home/user/f", bytes(200_000))
        read = {"op": "read", "path": "/home/user/f"}
        answers = await asyncio.gather(*(client.post(f"/api/v1/vms/{vm}/sync", json=read) for _ in range(40)))
    assert {answer.json()["size"] for answer in answers} == {200_000}
    assert 1 < most <= 4_000_000 // (4 * 200_000)


@pytest.mark.slow
async def test_unread_answers_have_a_bound(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_UNREAD", 8_000_000)
    monkeypatch.setattr(bounds, "STALLED", 1.5)
    async with bench.client() as client:
        vm = await fork(client)
    bench.engine.files[vm]["/home/user/f"] = os.urandom(4_000_000)
    body = b'{"op": "read", "path": "/home/user/f"}'
    read = (
        f"POST /api/v1/vms/{vm}/sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    sums = Bounds(100)

    def unread() -> int:
        return sum(size for _, size, _ in sums._unread.values())

    async with serving(bench, sums) as address, contextlib.AsyncExitStack() as stack:
        for _ in range(20):
            slow = stack.enter_context(socket.socket())
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.setblocking(False)
            await asyncio.get_running_loop().sock_connect(slow, address)
            slow.send(read)
        async with asyncio.timeout(30):
            while unread() <= bounds.MAX_UNREAD:
                await asyncio.sleep(0.01)
            # Who reads gets all of it, however many do not.
            async with opened(address, 1) as (new,):
                assert await status(new, read) == 200
            while unread() > bounds.MAX_UNREAD:
                await asyncio.sleep(0.01)
        # No more are given up than have to be.
        assert unread() > bounds.MAX_UNREAD - 6_000_000


async def test_large_outputs_come_into_memory_one_after_another(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "MAX_OUTPUTS", 3_000_000)
    most = held_at_once(monkeypatch)

    async def verbose(text: str) -> object:
        return outcome(b"x" * 1_000_000)

    bench.engine.command = verbose  # type: ignore[assignment]
    async with bench.client() as client:
        vm = await fork(client)
        answers = await asyncio.gather(*(command(client, vm, "x", session_id=f"s{n}") for n in range(12)))
        assert [len(answer.json()["stdout"]) for answer in answers] == [1_000_000] * 12
    assert max(most) == 3_000_000


@pytest.mark.slow
def test_connections_without_a_key_cannot_block_those_with_one(tmp_path: Path) -> None:
    # Not below pytest's own folder: the deployment has to reach it when it has dropped root's powers.
    state = tempfile.mkdtemp(prefix="arker-test-")
    serve = ["-m", "arker", "serve", "--port", "0", "--state", state, "--log-level", "warning"]
    log = tmp_path / "log"
    with contextlib.ExitStack() as stack:
        stack.callback(subprocess.run, ["rm", "-rf", state], check=False)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *serve],
                env={**os.environ, "ARKER_API_KEY": KEY},
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)),
            )
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)
        assert process.stdout is not None
        stack.enter_context(process.stdout)
        url = next(line.strip().partition("=")[2] for line in process.stdout if "ARKER_BASE_URL" in line)
        host, _, port = url.removeprefix("http://").rpartition(":")

        async def flood() -> None:
            async with opened((host, int(port)), 600):
                for _ in range(3):
                    async with opened((host, int(port)), 1) as (keyed,):
                        assert await status(keyed) == 200

        asyncio.run(flood())
        assert log.stat().st_size < 10_000, log.read_text()[-2000:]
        assert "Traceback" not in log.read_text()


async def test_input_that_no_command_reads(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handles, "MAX_UNREAD_INPUT", 300_000)

    async def wait(command: str) -> None:
        await asyncio.Event().wait()

    bench.engine.command = wait  # type: ignore[assignment]
    async with bench.client() as client:
        vm = await fork(client)
        body = {"command": "sleep 60", "input": base64.b64encode(b"x" * 200_000).decode()}
        path = f"/api/v1/local/vms/{vm}/runs"
        first = await client.post(path, json=body, headers={"Idempotency-Key": "one"})
        assert first.status_code == 200
        refused = await client.post(path, json=body)
        assert (refused.status_code, code(refused)) == (429, "quota_exceeded")
        again = await client.post(path, json=body, headers={"Idempotency-Key": "one"})
        assert again.json()["run_id"] == first.json()["run_id"]
        await client.delete(f"{path}/{first.json()['run_id']}")
        while (await client.post(path, json=body)).status_code != 200:
            await asyncio.sleep(0.01)
