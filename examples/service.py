"""A web service that gives every user a computer: made at the first request, deleted when the service ends.

To serve: pip install 'arker[local]' fastapi, and in this folder: uvicorn service:app

    curl -X POST localhost:8000/users/ada/run -H 'content-type: application/json' -d '{"command": "pwd > me"}'
    curl localhost:8000/users/ada/files/me
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from arker import ArkerError, AsyncArker, AsyncComputer, RunResult


class Computers:
    """The computers of the users. Requests that arrive while a user's computer is being made wait for it."""

    def __init__(self, arker: AsyncArker) -> None:
        self._arker = arker
        self._of: dict[str, asyncio.Task[AsyncComputer]] = {}

    async def of(self, user: str) -> AsyncComputer:
        """The user's computer."""
        task = self._of.get(user)
        if task is None or (task.done() and task.exception()):
            task = self._of[user] = asyncio.create_task(self._arker.vm("arkuntu").fork(name=f"user-{user}"))
        # One request that goes away must not take the computer along.
        return await asyncio.shield(task)

    async def delete(self) -> None:
        """Delete all computers."""
        made = await asyncio.gather(*self._of.values(), return_exceptions=True)
        await asyncio.gather(*(one.delete() for one in made if isinstance(one, AsyncComputer)))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One client for the whole service."""
    async with AsyncArker.local() as arker:
        app.state.computers = Computers(arker)
        yield
        await app.state.computers.delete()


app = FastAPI(lifespan=lifespan)


async def computer_of(request: Request, user: str) -> AsyncComputer:
    """The computer of the user in the path. A real service would check a token."""
    computer: AsyncComputer = await request.app.state.computers.of(user)
    return computer


UsersComputer = Annotated[AsyncComputer, Depends(computer_of)]


class Command(BaseModel):
    """A command to run, and its timeout in seconds."""

    command: str
    timeout: Annotated[int, Field(ge=1, le=300)] = 60


@app.post("/users/{user}/run")
async def run(command: Command, computer: UsersComputer) -> dict[str, object]:
    """Run a command in the user's computer; its folder and variables stay for the next command."""
    result: RunResult = await computer.run(command.command, timeout=command.timeout)
    return result.to_dict()


@app.get("/users/{user}/files/{path:path}")
async def read(path: str, computer: UsersComputer) -> Response:
    """A file of the user's computer."""
    return Response(
        await computer.sync.read_file(f"/home/user/{path}"), media_type="application/octet-stream"
    )


@app.put("/users/{user}/files/{path:path}", status_code=204)
async def write(path: str, request: Request, computer: UsersComputer) -> None:
    """Write a file; the body is streamed in constant memory."""
    await computer.sync.write_file(f"/home/user/{path}", request.stream())


@app.exception_handler(ArkerError)
async def failed(request: Request, error: ArkerError) -> JSONResponse:
    """Pass an error of Arker on to the user."""
    return JSONResponse({"error": {"code": error.code, "message": error.message}}, error.status or 503)
