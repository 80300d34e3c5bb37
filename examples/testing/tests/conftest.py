"""What every test finds in its computer."""

from __future__ import annotations

from pathlib import Path

import pytest

from arker import Computer

SCRIPT = Path(__file__).parents[1] / "tidy.sh"


@pytest.fixture(scope="session")
def prepared_computer(prepared_computer: Computer) -> Computer:
    """The script, and a project that was built; made once, however many tests are forked from it."""
    prepared_computer.sync.upload(SCRIPT, "/home/user/bin/tidy.sh")
    prepared_computer.run(
        "chmod +x bin/tidy.sh && mkdir -p project/src/__pycache__ project/.cache && cd project"
        " && touch README src/main.py src/__pycache__/main.cpython-311.pyc .cache/x && cd"
    ).check()
    return prepared_computer
