"""No request blocks the event loop for more than 50 ms, on a machine of usual speed."""

from __future__ import annotations

import asyncio
import json
import time
from typing import cast

import pytest

from arker.contract import LARGEST_CHUNK
from arker.local.http.proxy import relay
from arker.local.http.upgrades import Upgraded
from arker.local.http.websockets import WebSocket
from arker.local.service import uploads

from .kit import Bench, chunk, code, command, fork, ulid
from .lag import watched

#: Twice as much: not every Python is equally fast, and a cache that others use counts as CPU time.
MOST = 0.1


async def test_the_watchdog_sees_what_takes_long() -> None:
    async with watched() as lag:
        await asyncio.sleep(0)
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass
    assert lag.worst >= 0.02


async def test_many_presigned_entries(bench: Bench) -> None:
    async with bench.client() as client:
        vm = await fork(client)
        entries = [{"path": f"/home/user/{n}", "size": 1, "presigned": True} for n in range(20_000)]
        body = json.dumps({"op": "write", "writes": entries})
        began = time.thread_time()
        async with watched() as lag:
            answer = await client.post(
                f"/api/v1/vms/{vm}/sync", content=body, headers={"Content-Type": "application/json"}
            )
        # It took 19 s when each entry counted all that were before it.
        assert time.thread_time() - began < 10
        results = answer.json()["results"]
        made = [result for result in results if "upload_id" in result]
        assert len(made) == uploads.MAX_UNFINISHED
        assert all("at most" in result["error"]["message"] for result in results[len(made) :])
        assert bench.database.all("SELECT count(*) FROM uploads")[0][0] == len(made)
    assert lag.worst < MOST * lag.slowness, lag.what


async def test_a_large_body_of_small_values(bench: Bench) -> None:
    async with bench.client() as client:
        vm = await fork(client)
        body = (
            b'{"op":"write","writes":['
            + b",".join([b'{"path":"/home/user/f","size":1,"x":[]}'] * 750_000)
            + b"]}"
        )
        assert len(body) > 28_000_000
        async with watched() as lag:
            answer = await client.post(
                f"/api/v1/vms/{vm}/sync", content=body, headers={"Content-Type": "application/json"}
            )
            assert code(answer) == "bad_request"
            assert "writes[0].x: unknown field" in answer.json()["error"]["message"]
    assert lag.worst < MOST * lag.slowness, lag.what


#: Head, what is repeated, how often, and tail.
@pytest.mark.parametrize(
    ("head", "piece", "times", "tail"),
    [
        (b'{"op":"write","writes":[', b"0,", 10_000_000, b"0]}"),
        (b'{"op":"write","x":[', b"0,", 10_000_000, b"0]}"),
        (b'{"op":"write","writes":[{"path":[', b"0,", 10_000_000, b"0]}]}"),
        (b"", b"[", 20_000_000, b""),
        (b'{"op":"', b'\\"', 10_000_000, b""),
        (b'{"op":"', b"\\", 20_000_000, b""),
        (b"", b" ", 20_000_000, b""),
    ],
    ids=["elements", "member", "within", "brackets", "escapes", "backslashes", "blanks"],
)
async def test_a_large_body_of_nothing_that_is_asked_for(
    bench: Bench, head: bytes, piece: bytes, times: int, tail: bytes
) -> None:
    body = head + piece * times + tail
    async with bench.client() as client:
        vm = await fork(client)
        async with watched() as lag:
            answer = await client.post(
                f"/api/v1/vms/{vm}/sync", content=body, headers={"Content-Type": "application/json"}
            )
        assert code(answer) == "bad_request"
    assert lag.worst < MOST * lag.slowness, lag.what


async def test_contents_as_large_as_they_may_be(bench: Bench) -> None:
    async with bench.client() as client:
        vm = await fork(client)
        data = bytes(range(256)) * (LARGEST_CHUNK // 256)
        entries = [chunk(f"/home/user/{name}", data, ulid(name)) for name in "ABCDE"]
        body = json.dumps({"op": "write", "writes": entries}).encode()
        async with watched() as lag:
            answer = await client.post(
                f"/api/v1/vms/{vm}/sync", content=body, headers={"Content-Type": "application/json"}
            )
            assert all(result["written"] for result in answer.json()["results"])
            assert set(bench.engine.files[vm].values()) == {data}
            answer = await client.post(f"/api/v1/vms/{vm}/sync", json={"op": "read", "path": "/home/user/A"})
            assert answer.json()["size"] == len(data)
    # The client of the test is in this loop, too: it parses what it is answered.
    assert lag.worst < 3 * MOST * lag.slowness, lag.what


async def test_a_command_as_large_as_it_may_be(bench: Bench) -> None:
    async with bench.client() as client:
        vm = await fork(client)
        async with watched() as lag:
            assert (await command(client, vm, ": " + "x" * 4_000_000)).status_code == 200
            refused = await client.post(
                f"/api/v1/vms/{vm}/run",
                content=b'{"command":"id","session_id":0,"x":[' + b"0," * 2_000_000 + b"0]}",
                headers={"Content-Type": "application/json"},
            )
            assert code(refused) == "bad_request"
    assert lag.worst < MOST * lag.slowness, lag.what


class _Flood:
    """A `ByteStream` from a server that always has more to say."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self._asked = asyncio.Event()

    async def receive(self, size: int = 65536) -> bytes:
        await self._asked.wait()
        piece = self._pieces.pop(0) if self._pieces else b""
        if len(piece) > size:
            self._pieces.insert(0, piece[size:])
        return piece[:size]

    async def send(self, data: bytes) -> None:
        self._asked.set()

    async def send_eof(self) -> None:
        pass

    async def close(self) -> None:
        pass


_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_AGAIN = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ([_HEAD, *[b"1\r\nx\r\n" * 8_000] * 5, b"0\r\n\r\n"], 200),
        ([*[_AGAIN * 2500] * 5, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], 502),
    ],
    ids=["small chunks", "informational responses"],
)
async def test_a_server_that_floods_its_caller(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, pieces: list[bytes], status: int
) -> None:
    async def open_port(vm_id: str, port: int) -> _Flood:
        return _Flood(*pieces)

    monkeypatch.setattr(bench.engine, "open_port", open_port)
    async with bench.client() as client:
        vm = await fork(client)
        async with watched() as lag:
            answer = await client.get(f"/api/v1/local/vms/{vm}/ports/8000/http/")
    assert answer.status_code == status
    assert status == 502 or answer.content == b"x" * 40_000
    assert lag.worst < MOST * lag.slowness, lag.what


async def test_a_tunnel_that_is_always_full() -> None:
    one, other = _Flood(*[b"x" * 65536] * 20_000), _Flood()
    await one.send(b"")
    await other.send(b"")
    async with watched() as lag:
        await relay(one, other)
    assert lag.worst < MOST * lag.slowness, lag.what


async def test_a_websocket_of_empty_frames() -> None:
    stream = _Flood(*[b"\x82\x80mask" * 10_000] * 10)
    await stream.send(b"")
    async with watched() as lag:
        socket = WebSocket(cast("Upgraded", stream))
        while await socket.receive() is not None:
            pass
    assert lag.worst < MOST * lag.slowness, lag.what
