"""Terminals: a shell on a pseudo-terminal that stays while nobody is attached."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from arker.local.engine import BubblewrapEngine, LimitReached, TerminalSize, VmMissing
from arker.local.engine.processes import Process, Processes
from arker.local.engine.terminal import SCROLLBACK, Attachment

from .harness import attempt, sh, until_there_are

SIZE = TerminalSize(80, 24)


class Screen:
    """What an attachment has shown, and a way to wait for more."""

    def __init__(self, attachment: Attachment) -> None:
        self.attachment = attachment
        self.shown = b""

    async def until(self, pattern: str) -> re.Match[bytes]:
        async with asyncio.timeout(60):
            while not (found := re.search(pattern.encode(), self.shown)):
                data = await self.attachment.receive()
                assert data, f"ended without {pattern!r}: {self.shown[-2000:]!r}"
                # What has been searched is not searched again with each piece of a flood.
                self.shown = self.shown[-1000:] + data
        self.shown = self.shown[found.end() :]
        return found

    async def rest(self) -> bytes:
        async with asyncio.timeout(30):
            while data := await self.attachment.receive():
                self.shown += data
        return self.shown

    async def type(self, text: str) -> None:
        await self.attachment.send(text.encode())


async def screen(engine: BubblewrapEngine, session: str = "0", **options: Any) -> Screen:
    return Screen(await engine.open_terminal("a", session, SIZE, **options))


async def test_a_shell_of_the_session(engine: BubblewrapEngine) -> None:
    await sh(engine, "mkdir -p work; cd work; export GREETING='a  b'; f() { echo f of $GREETING; }; set -eu")
    seen = await screen(engine)
    await seen.type("pwd; f; tty; echo $- $TERM; stty size\r")
    await seen.until(r"[\r\n]/home/user/work\r\n")
    await seen.until(r"f of a b\r\n")
    await seen.until(r"/dev/pts/0\r\n")
    flags = (await seen.until(r"(\w+) xterm-256color\r\n"))[1]
    assert b"i" in flags
    assert b"e" not in flags
    await seen.until(r"24 80\r\n")
    await seen.type("cd /; GREETING=changed; exit 7\r")
    assert await seen.attachment.wait() == 7
    await seen.rest()
    assert await sh(engine, "pwd; echo $GREETING") == "/home/user/work\na b\n"


async def test_control_characters_reach_the_foreground(engine: BubblewrapEngine) -> None:
    seen = await screen(engine)
    program = "bash -c 'echo fore\"\"ground; exec sleep 1000'\r"
    await seen.type(program)
    await seen.until("foreground")
    await seen.type("\x03")
    await seen.until(r"\^C")
    await seen.type("echo and $?\r")
    await seen.until(r"[\r\n]and 130\r\n")
    await seen.type(program)
    await seen.until("foreground")
    await seen.type("\x1a")
    await seen.until("Stopped")


async def test_programs_are_notified_of_a_resize(engine: BubblewrapEngine) -> None:
    seen = await screen(engine)
    await seen.type('bash -c \'trap "echo to""ld" WINCH; while :; do stty size; sleep 0.05; done\'\r')
    await seen.until("24 80")
    await seen.attachment.resize(TerminalSize(132, 50))
    await seen.until("told")
    await seen.until("50 132")
    await engine.resize_terminal("a", "0", TerminalSize(20, 10))
    await seen.until("10 20")
    await engine.resize_terminal("a", "other", SIZE)  # has none


async def test_detached_it_goes_on_and_shows_what_was_drawn(engine: BubblewrapEngine) -> None:
    seen = await screen(engine)
    await seen.type("echo first$((1+1)); until [ -e go ]; do sleep 0.01; done; echo se''cond; touch done\r")
    await seen.until("first2")
    await seen.attachment.close()
    await sh(engine, "touch go; until [ -e done ]; do sleep 0.01; done")
    seen = await screen(engine)
    await seen.until("first2")
    await seen.until("second")


async def test_the_scrollback_has_a_bound_and_begins_with_a_line(engine: BubblewrapEngine) -> None:
    seen = await screen(engine)
    await seen.type("seq -f 'line %08.0f' 100000; echo do''ne\r")
    await seen.until("done\r\n")
    await seen.attachment.close()
    again = await screen(engine)
    await again.until("done\r\n")
    await again.attachment.close()
    terminal = engine._computers["a"].terminal("0")
    assert terminal is not None
    assert SCROLLBACK // 2 < len(terminal.scrollback()) <= SCROLLBACK
    assert terminal.scrollback().startswith(b"line 000")


async def test_a_second_attachment_ends_the_first(engine: BubblewrapEngine) -> None:
    first = await screen(engine)
    await first.until(r"\$ ")
    waiting = asyncio.create_task(first.attachment.receive())
    second = await screen(engine)
    assert await asyncio.wait_for(waiting, 30) == b""
    with pytest.raises(BrokenPipeError):
        await first.attachment.send(b"x")
    await second.type("echo mi''ne\r")
    await second.until("mine")
    await first.attachment.close()
    await second.type("echo st''ill\r")
    await second.until("still")


async def test_kill_ends_what_is_forked_meanwhile(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_all = Processes.all

    def forked_later(processes: Processes) -> list[Process]:
        monkeypatch.undo()
        return [process for process in list_all(processes) if process.pid == process.session]

    seen = await screen(engine)
    await seen.type("sleep 1000 & echo sta''rted; wait\r")
    await seen.until("started")
    monkeypatch.setattr(Processes, "all", forked_later)
    await seen.attachment.kill()
    await seen.attachment.wait()
    await until_there_are(engine, 0, "sleep")


async def test_a_shell_runs_nothing_more_when_its_terminal_is_killed(
    engine: BubblewrapEngine, slow_signals: None
) -> None:
    # The numbers of the processes are others each time, and the order of a set of them.
    for _ in range(5):
        seen = await screen(engine)
        await seen.type("(((echo sta''rted; sleep 1000; touch ended); touch ended); touch ended)\r")
        await seen.until("started")
        await until_there_are(engine, 1, "sleep", session="see")
        await seen.attachment.kill()
        await seen.attachment.wait()
        await until_there_are(engine, 0, "sleep", session="see")
        assert await sh(engine, "ls", session="see") == ""


async def test_kill_ends_all_of_it(engine: BubblewrapEngine) -> None:
    seen = await screen(engine)
    await seen.type("trap '' HUP TERM INT; sleep 1000 & sleep 2000\r")
    await seen.until("2000\r\n")
    await seen.attachment.kill()
    assert await seen.attachment.wait() == 137
    await seen.rest()
    await until_there_are(engine, 0, "sleep")
    # The session has another one.
    fresh = await screen(engine)
    await fresh.type("echo he''re\r")
    await fresh.until("here")


async def test_a_terminal_without_clients_ends_after_its_idle_time(engine: BubblewrapEngine) -> None:
    seen = await screen(engine, idle=0.2)
    await seen.until(r"\$ ")
    await seen.attachment.close()
    assert await asyncio.wait_for(seen.attachment.wait(), 60) == 137


async def test_a_program_instead_of_the_shell(engine: BubblewrapEngine) -> None:
    await sh(engine, "export WHO=me; printf '#!/bin/sh\\ntty; echo $WHO; exit 3' >'a b'; chmod +x 'a b'")
    seen = await screen(engine, command="/home/user/a b")
    assert await seen.rest() == b"/dev/pts/0\r\nme\r\n"
    assert await seen.attachment.wait() == 3


@pytest.mark.slow
async def test_a_flood_that_nobody_reads_stops_and_goes_on(engine: BubblewrapEngine) -> None:
    seen = await screen(engine)
    await seen.until(r"\$ ")
    await seen.type("head -c 5000000 /dev/zero | tr '\\0' x; touch /tmp/drawn; echo en''d\r")
    await sh(engine, "echo others are served", session="1")
    assert len(seen.attachment._unread) < 1 << 20
    assert (await attempt(engine, "test -e /tmp/drawn", session="1")).exit_code == 1
    await seen.until("end\r\n")


@pytest.mark.slow
async def test_an_attachment_that_reads_nothing_ends_so_that_the_program_goes_on(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arker.local.engine.terminal.STALLED_SECONDS", 0.2)
    seen = await screen(engine)
    await seen.type("seq 1000000; touch /tmp/drawn\r")
    await sh(engine, "until [ -e /tmp/drawn ]; do sleep 0.05; done", session="1")
    await seen.rest()
    with pytest.raises(BrokenPipeError):
        await seen.attachment.send(b"x")


async def test_a_program_that_reads_nothing(engine: BubblewrapEngine) -> None:
    seen = await screen(engine)
    await seen.type("stty raw -echo; echo re''ady; sleep 1000\r")
    await seen.until("ready")
    flood = asyncio.create_task(seen.attachment.send(bytes(1 << 20)))
    await sh(engine, "echo others are served", session="1")
    assert not flood.done()
    await seen.attachment.kill()
    with pytest.raises(BrokenPipeError):
        await asyncio.wait_for(flood, 60)
    assert await seen.attachment.wait() == 137


async def test_it_ends_with_its_computer(engine: BubblewrapEngine) -> None:
    for end in (engine.stop, engine.delete):
        seen = await screen(engine)
        await seen.until(r"\$ ")
        await end("a")
        await seen.rest()
        assert await seen.attachment.wait() is None
    with pytest.raises(VmMissing):
        await screen(engine)


@pytest.mark.slow
@pytest.mark.engine(idle=0.1)
async def test_an_open_terminal_keeps_its_computer_awake(engine: BubblewrapEngine) -> None:
    seen = await screen(engine)
    await seen.until(r"\$ ")
    await seen.attachment.close()
    await asyncio.sleep(1)
    assert "a" in await engine.running()
    seen = await screen(engine)
    await seen.type("exit\r")
    await seen.rest()
    async with asyncio.timeout(30):
        while "a" in await engine.running():
            await asyncio.sleep(0.05)


async def test_a_computer_has_so_many(engine: BubblewrapEngine) -> None:
    seen = [await screen(engine, f"s{n}") for n in range(16)]
    with pytest.raises(LimitReached):
        await screen(engine)
    await seen[0].type("exit\r")
    await seen[0].rest()
    await screen(engine)


#: Takes all processes, and each that comes free; ends when there was none left for the first time.
FILLER = """
import os, time
full, fill = os.pipe()
if os.fork():
    os.read(full, 1)
    raise SystemExit
while True:
    try:
        if not os.fork():
            time.sleep(100)
            os._exit(0)
    except OSError:
        os.write(fill, b".")
        time.sleep(0.001)
"""


@pytest.mark.slow
@pytest.mark.engine(processes=32)
async def test_a_computer_without_room_for_another_process(
    engine: BubblewrapEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arker.local.engine.terminal._START_SECONDS", 1.0)
    await sh(engine, f"python3 -c '{FILLER}' >/dev/null 2>&1")
    with pytest.raises(LimitReached):
        await screen(engine)
    monkeypatch.undo()
    await engine.stop("a")
    seen = await screen(engine)
    await seen.until(r"\$ ")


async def test_programs_of_a_terminal_are_not_taken_for_the_engines(engine: BubblewrapEngine) -> None:
    terminal = await screen(engine)
    await terminal.type("cp /usr/bin/sleep closed; chmod 111 closed; echo do''ne\n")
    await terminal.until("done")
    sandbox = engine._computers["a"].sandbox
    assert sandbox is not None
    assert sandbox.processes.nameless().in_flight == 0
    await terminal.type("./closed 100\n")
    while sandbox.processes.nameless().in_flight != 1:
        await asyncio.sleep(0.01)
