"""Code with `await` at its top level, for both colours: in their tests the words would be derived, too."""

DEFINE = """
import asyncio
async def five():
    await asyncio.sleep(0)
    return 5
await five()
"""
TWICE = "y = await five()\ny + await five()"
SCRIPT = "asyncio.run(five())"
FAIL = """async def bad():
    raise ValueError('in a task')

await bad()"""
FOREVER = "await asyncio.sleep(1000)"
TASK = "task = asyncio.ensure_future(five())\nawait task\ntask.done()"
