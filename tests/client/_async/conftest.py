"""The client that a test gets as `arker`, in place of that of `arker.testing`, which blocks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from arker import AsyncArker
from arker.local.process.launcher import Deployment


@pytest.fixture
async def arker(deployment: Deployment) -> AsyncIterator[AsyncArker]:
    """A client of the deployment that the tests share."""
    async with AsyncArker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as client:
        yield client
