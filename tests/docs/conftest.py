"""Where the snippets run: beside an embedded deployment, with no settings of the developer's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from arker.local.process.launcher import Deployment


@pytest.fixture
def deployment_environment(
    deployment: Deployment, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The environment of a reader whose clients find the deployment of the tests."""
    home = str(tmp_path_factory.mktemp("home"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ARKER_", "PYTEST_"))}
    return {
        **kept,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
        "HOME": home,
        "XDG_CONFIG_HOME": f"{home}/config",
        "ARKER_STATE": f"{home}/state",
        "ARKER_API_KEY": deployment.api_key,
        "ARKER_BASE_URL": deployment.base_url,
        "ARKER_GLOBAL_URL": deployment.base_url,
        "NO_COLOR": "1",
        # A reader without it does not see what it says of its configuration.
        "PYTEST_ADDOPTS": "-p no:asyncio",
    }
