"""Slow clients, on a real socket with short deadlines, are disconnected without affecting others."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest

from arker.local.http import bodies, connections
from arker.local.process import server
from arker.local.service import signing

from .kit import BASE, KEY, Bench, chunk, fork, other_client, serving, ulid, write

HEAD = f"POST /api/v1/vms/{BASE}/fork HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"


async def exchange(address: tuple[str, int], *pieces: bytes) -> bytes:
    """Send pieces, one after another; all that comes until the other side closes. What is sent later than that resets
    the connection, so there are no pauses."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()
        await writer.wait_closed()


async def flood(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send far more than the buffers of both sockets hold."""
    for _ in range(10_000):
        writer.write(data)
        await writer.drain()


async def test_a_body_that_stops_coming_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PIECE_WAIT", 0.1)
    async with serving(bench) as address:
        answer = await exchange(address, HEAD.encode() + b"Content-Length: 100\r\n\r\n{")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b'"bad_request"' in answer
        assert b"did not arrive in time" in answer
        assert bench.engine.files == {}


async def test_a_body_that_trickles_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_WAIT", 0.2)
    async with serving(bench) as address:
        pieces = [HEAD.encode() + b"Content-Length: 100\r\n\r\n", *[b" "] * 3]
        answer = await exchange(address, *pieces)
        assert answer.startswith(b"HTTP/1.1 400 ")


async def test_a_body_that_comes_in_pieces_is_taken(bench: Bench) -> None:
    async with serving(bench) as address:
        body = [bytes([byte]) for byte in b'{"is_public": false}']
        head = HEAD.encode() + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        answer = await exchange(address, *[bytes([byte]) for byte in head], *body)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert len(bench.engine.files) == 1


@pytest.mark.slow
async def test_connections_that_ask_for_nothing_are_closed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_WAIT", 0.5)
    async with serving(bench) as address:
        assert await exchange(address) == b""
        assert await exchange(address, b"GET / HT") == b""
        # Also when it is not the first request of the connection.
        first = f"GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()
        answer = await exchange(address, first, b"GET / HT")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.count(b"HTTP/1.1") == 1


CHUNKED = HEAD.encode() + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (b"", b"\r\n" * 1000),
        (CHUNKED + b"1;", b"x" * 4000),
        (CHUNKED + b"1\r\n{\r\n0\r\n", b"x: y\r\n" * 1000),
        (CHUNKED.replace(KEY.encode(), b"none") + b"0\r\nx: ", b"y" * 4000),
    ],
    ids=["blank lines", "a chunk's extension", "trailers", "a trailer without a key"],
)
async def test_trailers_and_chunk_extensions_are_limited(bench: Bench, head: bytes, more: bytes) -> None:
    async with serving(bench) as address:
        _, writer = await asyncio.open_connection(*address)
        try:
            writer.write(head)
            with pytest.raises(ConnectionError):
                await flood(writer, more)
        finally:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def test_trailers_are_not_headers(bench: Bench) -> None:
    async with serving(bench) as address:
        head, _, _ = HEAD.encode().partition(b"Authorization")
        answer = await exchange(
            address,
            head + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            b'14\r\n{"is_public": false}\r\n0\r\n' + f"Authorization: Bearer {KEY}\r\n\r\n".encode(),
        )
        assert answer.startswith(b"HTTP/1.1 401 ")


async def test_the_rest_of_a_body_that_was_answered_is_not_waited_for_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_WAIT", 0.5)
    async with serving(bench) as address:
        head = HEAD.replace(KEY, "none").encode() + b"Content-Length: 100\r\n\r\n"
        answer = await exchange(address, head, b" ")
        assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.slow
async def test_an_answer_that_takes_its_time_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in [(connections, "HEAD_WAIT"), (bodies, "PIECE_WAIT")]:
        monkeypatch.setattr(module, name, 0.5)
    async with serving(bench) as address:

        async def slow(text: str) -> object:
            await asyncio.sleep(1)
            from .fake import outcome

            return outcome(b"done")

        bench.engine.command = slow  # type: ignore[assignment]
        await bench.engine.create(BASE[:26], "arkuntu")
        await bench.database.execute(
            "INSERT INTO vms VALUES (?, 'org_local', 'computer', NULL, 'arkuntu', 0, NULL, 0, 0, NULL)",
            BASE[:26],
        )
        body = b'{"command": "x", "session_id": 0}'
        head = HEAD.replace(f"{BASE}/fork", f"{BASE[:26]}/run").encode()
        answer = await exchange(
            address, head + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        assert b'"stdout":"done"' in answer


async def large_file(bench: Bench, size: int) -> tuple[Path, str]:
    """A file in a computer: where it lies, and the token of a signed URL for it."""
    vm = BASE[:26]
    await bench.engine.create(vm, "arkuntu")
    bench.engine.files[vm]["/home/user/f"] = bytes(size)
    await (await bench.engine.open_file(vm, "/home/user/f")).close()
    (path,) = bench.folder.glob(f"{vm}*")
    version = f"{path.stat().st_mtime_ns:x}-{size:x}"
    grant = signing.Grant("GET", vm, "/home/user/f", size, 2**40, version)
    secret = bench.database.one("SELECT value FROM meta WHERE name = 'secret'")
    assert secret is not None
    return path, signing.sign(secret["value"], grant)


@pytest.mark.slow
async def test_an_answer_that_is_not_read_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = asyncio.Event()
    original = connections.Connection.connection_lost

    def connection_lost(protocol: connections.Connection, error: Exception | None) -> None:
        lost.set()
        original(protocol, error)

    monkeypatch.setattr(connections.Connection, "connection_lost", connection_lost)
    monkeypatch.setattr(server, "READ_WAIT", 0.5)
    async with serving(bench) as address:
        _, token = await large_file(bench, 60_000_000)
        with socket.create_connection(address) as client:
            client.sendall(f"GET /signed/{token} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await asyncio.wait_for(lost.wait(), 30)


async def test_a_file_that_changes_while_it_is_sent_is_never_taken_for_whole(bench: Bench) -> None:
    async with serving(bench) as address:
        size = 60_000_000
        path, token = await large_file(bench, size)
        reader, writer = await asyncio.open_connection(*address)
        writer.write(f"GET /signed/{token} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"content-length: 60000000\r\n" in answer
        # A command in the computer writes into it, while most of it is still to be sent.
        await asyncio.to_thread(_overwrite, path)
        received = 0
        while data := await asyncio.wait_for(reader.read(1 << 20), 30):
            received += len(data)
        writer.close()
        assert received < size


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(50_000_000)
        file.write(b"other")


async def test_bodies_that_are_held_at_once_have_a_bound(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(30_000)
    monkeypatch.setattr(bodies, "MAX_BODY", 60_000)
    monkeypatch.setattr(bodies, "MAX_BODIES", 60_000)
    async with bench.client() as client, other_client(bench, client) as stranger:
        mine, theirs = await fork(client), await fork(stranger)
        waiting = asyncio.Event()
        original, taken = bench.engine.write_file, []

        async def slow(vm_id: str, path: str, source: bytes, **options: Any) -> None:
            taken.append(path)
            if path == "/home/user/first":
                await waiting.wait()
            await original(vm_id, path, source, **options)

        bench.engine.write_file = slow  # type: ignore[method-assign]
        first, second = (
            asyncio.create_task(write(client, mine, chunk(f"/home/user/{name}", data, ulid(name[0].upper()))))
            for name in ("first", "kept")
        )
        while not taken:
            await asyncio.sleep(0)
        # Neither small ones nor another organization's wait for it.
        assert (await write(client, mine, chunk("/home/user/small", b"x", ulid("B"))))[0]["written"]
        assert (await write(stranger, theirs, chunk("/home/user/other", data, ulid("C"))))[0]["written"]
        assert taken == ["/home/user/first", "/home/user/small", "/home/user/other"]
        # Whoever is gone before its turn takes no room.
        third = asyncio.create_task(write(client, mine, chunk("/home/user/third", data, ulid("D"))))
        await asyncio.sleep(0)
        third.cancel()
        waiting.set()
        assert (await first)[0]["written"]
        assert (await second)[0]["written"]
        assert (await write(client, mine, chunk("/home/user/last", data, ulid("E"))))[0]["written"]
        assert "/home/user/third" not in taken
