"""Transfers use constant memory: the peak of a separate process is measured."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.server import KEY, Server

MIB = 1 << 20
SIZE = 64 * MIB

PROGRAM = """
import asyncio, inspect, sys
import arker
from arker import Arker, AsyncArker

colour, work, url, vm_id, local = sys.argv[1:]
PATH = "/home/user/a"

def pieces():
    for _ in range(64):
        yield bytes(1 << 20)

WORK = {
    "upload": lambda sync: sync.upload(local, PATH),
    "pieces": lambda sync: sync.write_file(PATH, pieces()),
    "download": lambda sync: sync.download(PATH, local + "2"),
    "read": lambda sync: sync.read_file(PATH),
}

def peak():
    # Of this program alone; what getrusage says begins with that of the process it was started from.
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024

async def main():
    client = (Arker if colour == "sync" else AsyncArker)(arker_key, url, global_url=url)
    sync = client.vm(vm_id).sync
    async def do(made):
        return await made if inspect.isawaitable(made) else made
    await do(sync.write_file("/home/user/warm", bytes(5 << 20)))
    await do(sync.read_file("/home/user/warm"))
    before = peak()
    result = await do(WORK[work](sync))
    print(peak() - before)
    await do(client.aclose() if colour == "async" else client.close())

import os
arker_key = os.environ["KEY"]
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.mark.skipif(sys.platform != "linux", reason="counts the way of Linux")
@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize(
    ("work", "most"),
    [("upload", 8 * MIB), ("pieces", 8 * MIB), ("download", 8 * MIB), ("read", 1.1 * SIZE)],
)
def test_memory_does_not_grow_with_the_file(
    server: Server, tmp_path: Path, work: str, most: float, colour: str
) -> None:
    with (tmp_path / "local").open("wb") as file:
        file.truncate(SIZE)
    vm = server.vm(a=bytes(SIZE))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, colour, work, server.url, vm, str(tmp_path / "local")],
        env={**os.environ, "KEY": KEY},
        capture_output=True,
        text=True,
    )
    server.vms.pop(vm)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < most
    if work == "read":
        # What is measured is there.
        assert int(done.stdout) > 0.9 * SIZE
