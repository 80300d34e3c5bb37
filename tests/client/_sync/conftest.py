# Derived from tests/client/_async/conftest.py by `make generate`; do not edit.
"""The client that a test gets as `arker`, in place of that of `arker.testing`, which blocks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from arker import Arker
from arker.local.process.launcher import Deployment


@pytest.fixture
def arker(deployment: Deployment) -> Iterator[Arker]:
    """A client of the deployment that the tests share."""
    with Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as client:
        yield client
