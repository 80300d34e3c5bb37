"""When an engine ends, even suddenly, all its processes end; the next engine verifies this."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator

import pytest

from arker.local.engine import EngineError, _entering, sandbox
from arker.local.engine.predecessors import end_predecessors

from .harness import Box, attempt, sh


@contextlib.contextmanager
def engine_apart(box: Box, use: Callable[..., Awaitable[object]]) -> Iterator[tuple[int, int]]:
    """An engine in a process of its own, with a computer `a` in which `use` was done: the numbers of that process and
    of process 1 of the sandbox."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:

            async def main() -> None:
                async with box.engine() as engine:
                    if "a" not in engine._computers:
                        await engine.create("a", "arkuntu")
                    await use(engine)
                    live = engine._computers["a"].sandbox
                    assert live is not None
                    os.write(writer, b"%d\n" % live.processes._first)
                    await asyncio.sleep(600)

            asyncio.new_event_loop().run_until_complete(main())
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        first = pipe.readline()
    try:
        assert first, "the engine did not start"
        yield pid, int(first)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def ends_within(fd: int, seconds: float) -> bool:
    return bool(select.select([fd], [], [], seconds)[0])


def test_a_kill_ends_computers_whose_process_1_does_nothing(box: Box) -> None:
    async def use(engine: object) -> None:
        await sh(engine, "(env -i setsid sleep 300 &)")  # type: ignore[arg-type]

    with engine_apart(box, use) as (pid, first):
        process_1 = os.pidfd_open(first)
        # It reads no end of file in this state, nor anything else.
        signal.pidfd_send_signal(process_1, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        assert ends_within(process_1, 20)
        os.close(process_1)


@pytest.mark.engine(processes=128)
def test_a_kill_ends_a_fork_bomb(box: Box) -> None:
    async def use(engine: object) -> None:
        bomb = "b() { b | b & }; b; while :; do echo x >> /home/user/log; done"
        begun = "until [ -s /home/user/log ]; do :; done"
        await attempt(engine, f"({bomb}) >/dev/null 2>&1 & sleep 1; {begun}")  # type: ignore[arg-type]

    with engine_apart(box, use) as (pid, first):
        process_1 = os.pidfd_open(first)
        os.kill(pid, signal.SIGKILL)
        assert ends_within(process_1, 20)
        os.close(process_1)
    with engine_apart(box, lambda engine: sh(engine, "mv log old; sleep 1; [ ! -e log ]")):
        pass


def test_a_sandbox_that_outlived_its_engine_ends_before_the_next_one_starts(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the kernel had not ended it.
    isolation = sandbox.isolation

    def immortal(*args: object, **options: object) -> list[str]:
        return [word for word in isolation(*args, **options) if word != "--die-with-parent"]  # type: ignore[arg-type]

    async def use(engine: object) -> None:
        hides = "(env -i setsid bash -c 'while :; do date > now; done' &) >/dev/null 2>&1"
        await sh(engine, f"{hides}; until [ -e now ]; do :; done")  # type: ignore[arg-type]

    monkeypatch.setattr(sandbox, "isolation", immortal)
    with engine_apart(box, use) as (pid, first):
        process_1 = os.pidfd_open(first)
        signal.pidfd_send_signal(process_1, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        assert not ends_within(process_1, 1)
        monkeypatch.undo()

        async def after() -> None:
            async with box.engine() as engine:
                assert ends_within(process_1, 0)
                await sh(engine, "mv now old; sleep 0.2; [ ! -e now ]")

        asyncio.new_event_loop().run_until_complete(after())
        os.close(process_1)


def test_processes_that_only_name_a_store_are_left_alone(box: Box) -> None:
    run = box.store / "run"
    run.mkdir()
    other = os.posix_spawn("/bin/sh", ["sh", "-c", "sleep 300; :", str(run / "x")], {})
    try:
        end_predecessors(run)
        assert os.waitpid(other, os.WNOHANG) == (0, 0)
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)


def test_processes_that_do_not_end_are_reported(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    from arker.local.engine import predecessors

    run = box.store / "run"
    (run / "x").mkdir(parents=True)
    monkeypatch.setattr(predecessors, "_SECONDS", 0.1)
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda *_: None)
    other = os.posix_spawn("/bin/sh", ["bwrap", "-c", "sleep 300; :", str(run / "x")], {})
    try:
        with pytest.raises(EngineError, match=f"do not end: {other}"):
            end_predecessors(run)
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)


def test_the_helper_ends_silently_when_its_answer_is_not_read() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, open("/proc/self/ns/net", "rb") as namespace:  # noqa: PTH123
        # One of the host: it may not be entered, which is an answer as well.
        for _ in range(2):
            socket.send_fds(ours, [_entering.REQUEST.pack(socket.AF_INET, 1)], [namespace.fileno()])
        command = [sys.executable, "-I", "-S", _entering.__file__]
        helper = subprocess.Popen(command, stdin=theirs, stderr=subprocess.PIPE)
        assert select.select([ours], [], [], 30)[0]
        ours.close()
    _, said = helper.communicate(timeout=30)
    assert (helper.returncode, said) == (0, b"")
