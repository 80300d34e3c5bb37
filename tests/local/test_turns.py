"""The turns of commands in sessions: apart, in order, and consistent after cancellation."""

from __future__ import annotations

import asyncio
import random

import pytest

from arker.local.service.turns import Turns


@pytest.mark.parametrize("seed", range(20))
async def test_turns_are_apart_whatever_is_cancelled(seed: int) -> None:
    rng = random.Random(seed)
    turns = Turns()
    inside: set[str] = set()

    async def turn(session: str) -> None:
        async with turns.turn("vm", session):
            assert session not in inside
            assert turns.taken("vm", session)
            inside.add(session)
            try:
                for _ in range(rng.randrange(4)):
                    await asyncio.sleep(0)
            finally:
                inside.remove(session)

    tasks = []
    for _ in range(200):
        tasks.append(asyncio.create_task(turn(rng.choice("ab"))))
        if rng.random() < 0.4:
            rng.choice(tasks).cancel()
        if rng.random() < 0.5:
            await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
    assert not turns.taken("vm", "a")
    assert not turns.taken("vm", "b")


async def test_who_comes_first_is_first() -> None:
    turns = Turns()
    order: list[int] = []

    async def turn(number: int) -> None:
        async with turns.turn("vm", "0"):
            await asyncio.sleep(0)
            order.append(number)

    await asyncio.gather(*map(turn, range(10)))
    assert order == list(range(10))


async def test_an_error_inside_ends_the_turn() -> None:
    turns = Turns()
    with pytest.raises(ZeroDivisionError):
        async with turns.turn("vm", "0"):
            _ = 1 / 0
    assert not turns.taken("vm", "0")
