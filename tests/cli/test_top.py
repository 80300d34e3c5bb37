"""What computers take, as a table."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from arker import Arker, ComputerUsage
from arker.cli.top import Row, size, table

from .conftest import Cli


@pytest.mark.slow
def test_the_table_and_its_order(cli: Cli, client: Arker, name: str) -> None:
    with (
        client.vm("arkuntu").fork(name=f"{name}-busy") as busy,
        client.vm("arkuntu").fork(name=f"{name}-idle"),
    ):
        busy.start(
            "head -c 3000000 /dev/zero >file; x=$(head -c 20000000 /dev/zero | tr '\\0' x); while :; do :; done"
        )
        until = time.monotonic() + 60
        while True:
            rows = json.loads(cli("top", "--json", "--all", "--sort", "name").stdout)
            rows = {row["name"]: row for row in rows if row["name"] in (f"{name}-busy", f"{name}-idle")}
            found = rows[f"{name}-busy"]
            if found["cpu_percent"] > 1 and found["memory_bytes"] > 20_000_000:
                break
            assert time.monotonic() < until, rows
        assert (found["state"], found["processes"] >= 2) == ("running", True)
        idle = rows[f"{name}-idle"]
        assert (idle["state"], idle["cpu_percent"], idle["memory_bytes"], idle["processes"]) == (
            "idle",
            0,
            0,
            0,
        )
        assert found["disk_bytes"] is None or found["disk_bytes"] > 0  # measured from time to time
        lines = cli("top").stdout.splitlines()
        assert lines[0].split() == ["NAME", "STATE", "CPU%", "MEMORY", "PROCS", "DISK"]
        assert any(line.startswith(f"{name}-busy"[:20]) for line in lines)
        assert not any(line.startswith(f"{name}-idle") for line in lines)
        assert {len(line) for line in lines} == {80}


def test_a_terminal_is_drawn_anew_until_it_is_interrupted(environment: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "arker", "top", "--interval", "0.2"]
    with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen, until = b"", time.monotonic() + 60
        while seen.count(b"NAME ") < 3:
            assert time.monotonic() < until, seen
            if select.select([ours], [], [], 0.1)[0]:
                seen += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # the terminal is gone with its last user
            while data := os.read(ours, 65536):
                seen += data
        assert process.wait(30) in (130, -signal.SIGINT)
    os.close(ours)
    assert seen.startswith(b"\x1b[?1049h")
    assert b"\x1b[?1049l" in seen


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0B"), (999, "999B"), (1000, "1.0K"), (99 << 10, "99.0K"), (512 << 20, "512M"), (5 << 50, "5120T")],
)
def test_sizes_are_short(count: int, text: str) -> None:
    assert size(count) == text


def test_long_names_are_cut_and_strange_ones_shown() -> None:
    row = Row(ComputerUsage("id", "n" * 60 + "\x1b[2J", "running", 1.0, 1 << 30, 2, 3 << 20), 123.4)
    [_, line] = table([row], 80)
    assert len(line) == 80
    assert line.split() == ["n" * 39 + "…", "running", "123.4", "1.0G", "2", "3.0M"]
    [_, line] = table([Row(ComputerUsage("i\x1b", None, "idle", 0, 0, 0, None), 0)], 60)
    assert line.split() == ["i\ufffd", "idle", "0.0", "0B", "0"]
