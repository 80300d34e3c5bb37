"""Run 100 untrusted snippets, each in its own computer, 16 at a time.

It prints:

    100 snippets: 90 passed, 10 failed
    snippet 7: ZeroDivisionError: integer division or modulo by zero
    no computer is left
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from arker import AsyncArker, AsyncComputer

SNIPPETS = [f"print(sum(range({n})) // {0 if n % 10 == 7 else n + 1})" for n in range(100)]


def judge(prepared: AsyncComputer) -> Callable[[str], Awaitable[str]]:
    """A function that runs one snippet in a fork, which is deleted afterwards with everything the snippet did."""

    async def run(snippet: str) -> str:
        async with prepared.fork() as computer:
            await computer.sync.write_file("/home/user/snippet.py", snippet)
            result = await computer.run("python3 snippet.py", timeout=30)
            return result.check().text

    return run


async def main() -> None:
    async with AsyncArker.local() as arker, await arker.vm("arkuntu").fork() as prepared:
        # What all snippets need is installed once, here; a fork takes as long with it as without.
        outcomes = await arker.map(judge(prepared), SNIPPETS, concurrency=16)
        failed = [n for n, outcome in enumerate(outcomes) if not outcome.ok]
        print(f"{len(outcomes)} snippets: {len(outcomes) - len(failed)} passed, {len(failed)} failed")
        print(f"snippet {failed[0]}:", str(outcomes[failed[0]].error).splitlines()[-1])
        await prepared.delete()
        print("no computer is left" if not (await arker.list()).total else "some are left")


asyncio.run(main())
