"""Base images. Each has a row, and so an id."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from arker.ids import new_ulid
from arker.local.engine.protocol import Engine
from arker.local.storage import computers as rows
from arker.local.storage.computers import Computer, Computers
from arker.local.storage.database import DATABASE, open_database
from arker.local.storage.errors import ImageInUse, StateError

from .translation import api_errors

__all__ = ["ImageInUse", "Images", "StateError", "public", "removing"]


class Images:
    """The base images of an engine."""

    def __init__(self, engine: Engine, rows: Computers) -> None:
        self._engine = engine
        self._rows = rows

    async def refresh(self) -> None:
        """Add a row for every image that the engine has and that has none."""
        for name in set(await self._engine.images()) - self._rows.base_names():
            # Several forks may discover the image at the same time.
            with api_errors():
                await self._rows.add_image(new_ulid(), name, time.time_ns() // 1_000_000)


def public(state: Path) -> list[Computer]:
    """Return base images, then published computers, of a state folder, whether or not a deployment serves it.

    Raises:
        StateError: the folder cannot be used.
    """
    with contextlib.closing(open_database(state / DATABASE)) as connection:
        return rows.public(connection)


@contextlib.contextmanager
def removing(state: Path, name: str) -> Iterator[None]:
    """Delete the row of a base image in one transaction with the block.

    Raises:
        StateError: the folder cannot be used.
        ImageInUse: computers are based on the image.
    """
    with (
        contextlib.closing(open_database(state / DATABASE)) as connection,
        rows.removing_image(connection, name),
    ):
        yield
