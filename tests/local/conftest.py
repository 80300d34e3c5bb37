"""The platform on an engine in memory, and its web app without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from arker.local.http.app import create_app
from arker.local.http.metrics import Metrics
from arker.local.service.access import Principal
from arker.local.service.platform import Platform
from arker.local.storage.database import Database

from .fake import FakeEngine

KEY = "ark_" + "k" * 40
BASE = "01KQBYKEV5WJ7YB010603T1DCT_d8c0"


class Bench:
    """A platform with its engine, and a client of its web app."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.engine = FakeEngine(folder)
        self.database = Database(folder / "arker.db")
        self.options = options
        self.me = Principal("guest", "org_local", "Local")

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
    async def client(self, host: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
        async with self.platform() as platform:
            app = create_app(
                platform,
                Metrics(),
                rate_limit=self.options.get("rate_limit", 0),
                public_url=self.options.get("public_url"),
                own_url="http://127.0.0.1:1",
            )
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=True, client=(host, 1))
            async with httpx.AsyncClient(
                transport=transport, base_url="http://arker.test", headers={"Authorization": f"Bearer {KEY}"}
            ) as client:
                yield client


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**options: Any) -> Bench:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Bench(folder, **options))
        return made[-1]

    yield make
    for bench in made:
        bench.database.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run an async test, with a deadline of its own."""
    asyncio.run(asyncio.wait_for(coroutine, 30))
