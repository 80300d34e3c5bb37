"""What only the asyncio client can get wrong. Never run; mypy and pyright read it, see test_typing."""

from __future__ import annotations

import httpx

from arker import AsyncArker, AsyncComputer


async def awaited_or_entered(vm: AsyncComputer) -> None:
    async with await vm.fork() as child, await vm.fork(count=2):
        await child.delete()
    async for _ in vm.terminal():  # type: ignore[misc]
        pass
    AsyncArker(http_client=httpx.Client())  # type: ignore[arg-type]
