"""The turns of commands: one at a time in a session, and sessions do not wait for each other."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from arker.local.service.turns import Turns


async def test_a_session_is_taken_while_a_command_has_its_turn_or_waits() -> None:
    turns = Turns()
    order: list[str] = []

    async def wait(name: str) -> None:
        async with turns.turn("vm", "0"):
            assert turns.taken("vm", "0")
            order.append(name)

    async with turns.turn("vm", "0"):
        waiting = [asyncio.create_task(wait(name)) for name in ("first", "cancelled", "last")]
        await asyncio.sleep(0)
        waiting[1].cancel()
        async with turns.turn("vm", "1"), turns.turn("other", "0"):
            assert order == []
        assert not turns.taken("vm", "1")
    assert turns.taken("vm", "0")
    await asyncio.gather(*waiting, return_exceptions=True)
    assert order == ["first", "last"]
    assert not turns.taken("vm", "0")


@pytest.mark.parametrize("late", [False, True])
async def test_a_session_is_free_after_commands_that_were_cancelled(late: bool) -> None:
    turns = Turns()

    async def wait() -> None:
        async with turns.turn("vm", "0"):
            pass

    async with turns.turn("vm", "0"):
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        if not late:
            waiting.cancel()
    # Late: in the same turn of the loop in which the command gets its turn.
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    assert not turns.taken("vm", "0")
    async with turns.turn("vm", "0"):
        assert turns.taken("vm", "0")
