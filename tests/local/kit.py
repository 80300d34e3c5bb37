"""Helpers for tests of the services: a platform on an engine in memory, and short forms of requests."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from arker.local.http.app import create_app
from arker.local.http.bounds import Bounds
from arker.local.http.metrics import Metrics
from arker.local.process import server
from arker.local.service.keys import generate, open_keys
from arker.local.service.platform import Platform
from arker.local.service.semaphores import ByteSemaphores
from arker.local.storage.database import Database

from .fake import FakeEngine

KEY = "ark_" + "k" * 40
BASE = "01KQBYKEV5WJ7YB010603T1DCT_d8c0"
PRIVATE = {"is_public": False}
ULID = "01KB3M9C2D4E6F8G0H2J4K6M8"


class Bench:
    """A platform with its engine, and a client of its web app."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.engine = FakeEngine(folder)
        self.database = Database(folder / "arker.db")
        self.options = options

    @asynccontextmanager
    async def platform(self) -> AsyncIterator[Platform]:
        """A process of the deployment, from start to clean end; what lasts stays for the next."""
        platform = Platform(
            self.database,
            self.engine,
            self.folder,
            resources={"vcpu": 2},
            guest_key=KEY,
            max_vms=self.options.get("max_vms", 0),
        )
        await platform.start()
        try:
            yield platform
        finally:
            await platform.close()

    @asynccontextmanager
    async def client(
        self, host: str = "127.0.0.1", *, most_requests: int | None = None
    ) -> AsyncIterator[httpx.AsyncClient]:
        async with self.platform() as platform:
            app = create_app(
                platform,
                Metrics(),
                rate_limit=self.options.get("rate_limit", 0),
                public_url=self.options.get("public_url"),
                own_url="http://127.0.0.1:1",
                contract=self.options.get("contract", "both"),
                most_requests=most_requests,
            )
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=True, client=(host, 1))
            async with httpx.AsyncClient(
                transport=transport, base_url="http://arker.test", headers={"Authorization": f"Bearer {KEY}"}
            ) as client:
                yield client


def ulid(letter: str) -> str:
    return ULID + letter


async def fork(client: httpx.AsyncClient, source: str = BASE, **body: Any) -> str:
    answer = await client.post(f"/api/v1/vms/{source}/fork", json={**PRIVATE, **body})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["vm_id"])


async def command(
    client: httpx.AsyncClient, vm: str, text: str, key: str | None = None, **body: Any
) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await client.post(
        f"/api/v1/vms/{vm}/run", json={"command": text, "session_id": 0, **body}, headers=headers
    )


async def write(client: httpx.AsyncClient, vm: str, *entries: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await client.post(f"/api/v1/vms/{vm}/sync", json={"op": "write", "writes": list(entries)})
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


async def read(client: httpx.AsyncClient, vm: str, path: str) -> bytes:
    answer = (await client.post(f"/api/v1/vms/{vm}/sync", json={"op": "read", "path": path})).json()
    if "presigned_url" in answer:
        return (await client.get(answer["presigned_url"], headers={"Authorization": ""})).content
    content: str = answer["content"]
    return base64.b64decode(content) if answer["encoding"] == "base64" else content.encode()


def chunk(
    path: str, data: bytes, upload_id: str, start: int = 0, size: int | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "path": path,
        "size": len(data) if size is None else size,
        "upload_id": upload_id,
        "start": start,
        "end": start + len(data),
        "content": base64.b64encode(data).decode(),
        **more,
    }


def code(answer: httpx.Response) -> str:
    body = answer.json()
    assert body.get("ok", False) is False
    assert body["error"]["request_id"] == answer.headers["x-request-id"]
    return str(body["error"]["code"])


def other_client(bench: Bench, client: httpx.AsyncClient, org: str = "acme") -> httpx.AsyncClient:
    """A client of another organization, of the same deployment."""
    key = generate()
    with open_keys(bench.folder) as keys:
        keys.register(key, name="", org=org)
    return httpx.AsyncClient(
        transport=client._transport, base_url=client.base_url, headers={"Authorization": f"Bearer {key}"}
    )


def held_at_once(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list to which the bytes that all semaphores hold are appended whenever they become more."""
    held: list[int] = []
    most: list[int] = []
    original = ByteSemaphores.held

    @asynccontextmanager
    async def counting(self: ByteSemaphores, org_id: str, size: int) -> AsyncIterator[None]:
        async with original(self, org_id, size):
            held.append(size)
            most.append(sum(held))
            yield
            held.remove(size)

    monkeypatch.setattr(ByteSemaphores, "held", counting)
    return most


@asynccontextmanager
async def serving(bench: Bench, bounds: Bounds | None = None) -> AsyncIterator[tuple[str, int]]:
    """The bench's platform behind the deployment's own HTTP server; its address."""
    ready = asyncio.Event()
    async with bench.platform() as platform:
        app = create_app(platform, Metrics(), own_url="http://127.0.0.1:1")
        listener = server._listen("127.0.0.1", 0)
        one = server._Server(app, 1, ready.set, lambda: None, bounds=bounds)
        task = asyncio.create_task(one.serve(sockets=[listener]))
        await ready.wait()
        try:
            yield listener.getsockname()
        finally:
            one._stopping.set()
            await task
