"""Shared and exclusive turns: separate, in order, and consistent after cancellation."""

from __future__ import annotations

import asyncio
import random

import pytest

from arker.local.engine.gate import Gate


def test_turns_are_apart_whatever_is_cancelled() -> None:
    async def main(seed: int) -> None:
        rng = random.Random(seed)
        idle: list[bool] = []
        gate = Gate(when_idle=lambda: idle.append(gate.idle))
        inside: list[bool] = []

        async def turn(exclusive: bool) -> None:
            async with gate.exclusive() if exclusive else gate.shared():
                assert not inside or not (exclusive or any(inside))
                assert not gate.idle
                inside.append(exclusive)
                try:
                    for _ in range(rng.randrange(4)):
                        await asyncio.sleep(0)
                finally:
                    inside.remove(exclusive)

        tasks = []
        for _ in range(200):
            tasks.append(asyncio.create_task(turn(rng.random() < 0.3)))
            if rng.random() < 0.4:
                rng.choice(tasks).cancel()
            if rng.random() < 0.5:
                await asyncio.sleep(0)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
        assert gate.idle
        assert idle
        assert all(idle)

    for seed in range(50):
        asyncio.run(main(seed))


def test_shared_turns_do_not_starve_an_exclusive_one() -> None:
    async def main() -> None:
        gate = Gate()
        done = asyncio.Event()

        async def share() -> None:
            while not done.is_set():
                async with gate.shared():
                    await asyncio.sleep(0)

        async def exclude() -> None:
            async with gate.exclusive():
                done.set()

        await asyncio.wait_for(asyncio.gather(share(), share(), share(), exclude()), 5)

    asyncio.run(main())


def test_who_comes_first_is_first() -> None:
    async def main() -> None:
        gate = Gate()
        order: list[int] = []

        async def turn(number: int) -> None:
            async with gate.exclusive():
                await asyncio.sleep(0)
                order.append(number)

        await asyncio.gather(*map(turn, range(10)))
        assert order == list(range(10))

    asyncio.run(main())


def test_an_error_inside_ends_the_turn() -> None:
    async def main() -> None:
        gate = Gate()
        with pytest.raises(ZeroDivisionError):
            async with gate.exclusive():
                _ = 1 / 0
        assert gate.idle

    asyncio.run(main())
