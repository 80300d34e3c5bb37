"""Random walks over what can happen to the sessions of a computer; what must hold is checked after each step.

A failure names its seed and its steps. `ARKER_WALKS=500` makes so many walks on each engine.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from arker.local.engine import (
    BubblewrapEngine,
    Engine,
    Limits,
    Output,
    Reason,
    Run,
    RunState,
    SessionBusy,
    computer,
    run,
)
from arker.local.engine import session as engine_session
from arker.local.engine.session import SessionPhase
from arker.local.engine.shell import ShellState
from tests.engine.harness import Box
from tests.local.fake import FakeEngine

WALKS = int(os.environ.get("ARKER_WALKS", "2"))
STEPS = 25
SESSIONS = ("0", "other")
COMPUTERS = ("a", "b", "c")


@dataclass
class Known:
    """What is known of a session."""

    #: The values that `x` may have; an empty one is unset.
    values: set[str] = field(default_factory=lambda: {""})
    running: Run | None = None
    #: What `x` becomes if the command that runs is not ended.
    coming: str = ""


class Walk:
    """One walk. A step that makes no sense at its time does nothing."""

    def __init__(self, store: Path, kind: str, seed: int) -> None:
        self.rng = random.Random(seed)
        self.keeps_state = kind == "bubblewrap"
        self.store = store
        self.engine: BubblewrapEngine | FakeEngine
        self.known: dict[str, dict[str, Known]] = {}
        self.numbers = iter(range(1, 10_000))
        self.history: list[str] = []

    async def open(self) -> None:
        if self.keeps_state:
            self.engine = BubblewrapEngine(self.store, Limits(shells=2))
        else:
            self.engine = FakeEngine(self.store, real=True)
            self.engine.files = {vm: {} for vm in self.known}
        await self.engine.start()

    async def go(self) -> None:
        await self.open()
        try:
            await self.engine.create("a", "arkuntu")
            self.known["a"] = {session: Known() for session in SESSIONS}
            steps: list[Callable[[str, str], Awaitable[None]]] = [
                *[self.assign, self.look, self.begin] * 3,
                *[self.cancel, self.time_out, self.send, self.kill_shell, self.leave_behind] * 2,
                *[self.fork, self.stop, self.end_session, self.reopen, self.delete, self.cancel_call],
            ]
            for _ in range(STEPS):
                vm, session = self.rng.choice(list(self.known)), self.rng.choice(SESSIONS)
                step = self.rng.choice(steps)
                self.history.append(f"{step.__name__} {vm} {session}")
                await asyncio.wait_for(step(vm, session), 30)
                await self.check()
            for vm, sessions in self.known.items():
                for session in sessions:
                    await self.ended(vm, session, cancel=True)
                    await self.look(vm, session)
        finally:
            await self.engine.close()

    # Steps

    async def assign(self, vm: str, session: str) -> None:
        known = self.known[vm][session]
        value, status = str(next(self.numbers)), self.rng.choice([0, 0, 1, 3])
        how = self.rng.choice(
            ["x={}", "x={}; cd /tmp", "export x={}; f() {{ :; }}", "eval x={}", "x={}; (exit 0)"]
        )
        command = f"{how.format(value)}; echo said-{value}; (exit {status})"
        if known.running is not None:
            with pytest.raises(SessionBusy):
                await run(self.engine, vm, session, command)
            return
        outcome = await run(self.engine, vm, session, command, timeout=20)
        assert (outcome.stdout, outcome.exit_code) == (f"said-{value}\n".encode(), status), outcome
        known.values = {value}

    async def look(self, vm: str, session: str) -> None:
        known = self.known[vm][session]
        if known.running is None:
            outcome = await run(self.engine, vm, session, "echo $x", timeout=20)
            assert outcome.exit_code == 0, outcome
            if self.keeps_state:
                value = outcome.stdout.decode().strip()
                assert value in known.values, (value, known.values)
                known.values = {value}

    async def begin(self, vm: str, session: str) -> None:
        known = self.known[vm][session]
        if known.running is None:
            known.coming = str(next(self.numbers))
            started = await self.engine.start_run(
                vm, session, f"x={known.coming}; echo up; sleep 1000", timeout=1000
            )
            async for event in started.events():
                assert isinstance(event, Output), event
                assert event.data == b"up\n"
                break
            known.running = started

    async def cancel(self, vm: str, session: str) -> None:
        await self.ended(vm, session, cancel=True)

    async def ended(self, vm: str, session: str, *, cancel: bool) -> None:
        """End the command that runs; the session is then as it was before it."""
        known = self.known[vm][session]
        if known.running is not None:
            if cancel:
                await known.running.cancel()
            end = await known.running.wait()
            assert end.reason is (Reason.CANCELLED if cancel else Reason.COMPUTER_STOPPED), end
            known.running = None

    async def time_out(self, vm: str, session: str) -> None:
        if self.known[vm][session].running is None:
            outcome = await run(self.engine, vm, session, "x=never; echo up; sleep 60", timeout=0.15)
            assert (outcome.reason, outcome.exit_code) == (Reason.TIMED_OUT, 124), outcome

    async def cancel_call(self, vm: str, session: str) -> None:
        """A call that is cancelled at any moment; its command ran to its end or was ended."""
        known = self.known[vm][session]
        if known.running is None:
            value = str(next(self.numbers))
            call = asyncio.create_task(run(self.engine, vm, session, f"x={value}", timeout=20))
            await asyncio.sleep(self.rng.random() * 0.004)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            known.values = {*known.values, value}
            # The call does not wait for the end of what it cancelled.
            while "running" in [s.state for s in await self.engine.sessions(vm) if s.session_id == session]:
                await asyncio.sleep(0.001)

    async def send(self, vm: str, session: str) -> None:
        known = self.known[vm][session]
        if known.running is not None:
            number = self.rng.choice([signal.SIGTERM, signal.SIGKILL])
            await known.running.signal(number)
            end = await known.running.wait()
            # Its shell or the `sleep` is first to die.
            assert end.exit_code == 128 + number, end
            assert end.reason in (Reason.SIGNALLED, Reason.EXITED), end
            known.running, known.values = None, {*known.values, known.coming}

    async def kill_shell(self, vm: str, session: str) -> None:
        if self.known[vm][session].running is None and self.keeps_state:
            how = self.rng.choice(["kill -9 $$", "exec true", "exit 7"])
            outcome = await run(self.engine, vm, session, how, timeout=20)
            assert outcome.exit_code == {"kill -9 $$": 137, "exec true": 0, "exit 7": 7}[how], outcome

    async def leave_behind(self, vm: str, session: str) -> None:
        """A process that outlives its command, and writes then."""
        if self.known[vm][session].running is None:
            outcome = await run(self.engine, vm, session, "(sleep 0.05; echo late) & echo now", timeout=20)
            assert sorted(outcome.stdout.split()) in ([b"now"], [b"late", b"now"]), outcome

    async def fork(self, vm: str, session: str) -> None:
        free = [name for name in COMPUTERS if name not in self.known]
        if free:
            await self.engine.fork(vm, free[0])
            self.known[free[0]] = {id_: Known(set(known.values)) for id_, known in self.known[vm].items()}

    async def delete(self, vm: str, session: str) -> None:
        if len(self.known) > 1:
            await self.engine.delete(vm)
            for known in self.known.pop(vm).values():
                if known.running is not None:
                    assert (await known.running.wait()).reason is Reason.COMPUTER_STOPPED

    async def stop(self, vm: str, session: str) -> None:
        await self.engine.stop(vm)
        for id_ in SESSIONS:
            await self.ended(vm, id_, cancel=False)

    async def end_session(self, vm: str, session: str) -> None:
        await self.engine.end_session(vm, session)
        await self.ended(vm, session, cancel=True) if self.known[vm][session].running else None
        self.known[vm][session] = Known()

    async def reopen(self, vm: str, session: str) -> None:
        """The engine ends and another one starts."""
        runs = {
            vm: [k.running for k in sessions.values() if k.running] for vm, sessions in self.known.items()
        }
        await self.engine.close()
        for name, sessions in self.known.items():
            for id_ in sessions:
                await self.ended(name, id_, cancel=False)
        await self.open()
        for name, handles in runs.items():
            for handle in handles:
                found = await self.engine.run_of(name, handle.id)
                assert found.outcome is not None
                assert found.outcome.reason is Reason.COMPUTER_STOPPED

    # What holds after each step

    async def check(self) -> None:
        engine: Engine = self.engine
        assert await engine.missing([*self.known, "none"]) == {"none"}
        for vm, sessions in self.known.items():
            told = {session.session_id: session.state for session in await engine.sessions(vm)}
            for id_, known in sessions.items():
                busy = known.running is not None
                assert told.get(id_, "idle") == ("running" if busy else "idle"), (vm, id_, told)
                if known.running is not None:
                    assert known.running.state is RunState.RUNNING, known.running.outcome
                    assert known.running.id in {run.id for run in await engine.runs(vm)}
            if isinstance(engine, BubblewrapEngine):
                self._check_phases(engine, vm)

    def _check_phases(self, engine: BubblewrapEngine, vm: str) -> None:
        for session in engine._computers[vm].sessions.values():
            assert (session.phase is SessionPhase.IDLE) == (session.run is None)
            if (shell := session.shell) is not None:
                busy = shell.state in (ShellState.RUNNING, ShellState.DRAINING)
                assert busy == (session.phase is SessionPhase.RUNNING), (shell.state, session.phase)
                owes = shell.state in (ShellState.RUNNING, ShellState.DRAINING, ShellState.TELLING)
                assert shell.settled.is_set() != owes, shell.state


@pytest.mark.parametrize("seed", range(WALKS))
@pytest.mark.parametrize("kind", ["bubblewrap", "fake"])
async def test_a_random_walk(box: Box, kind: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # What a session knows is waited for, however busy the machine is.
    monkeypatch.setattr(computer, "_SETTLE_SECONDS", 20.0)
    monkeypatch.setattr(engine_session, "_TOLD_SECONDS", 20.0)
    walk = Walk(box.store, kind, seed)
    try:
        await walk.go()
    except BaseException as error:
        raise AssertionError(f"walk {seed}: {error!r} after {', '.join(walk.history)}") from error
