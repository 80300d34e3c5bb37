"""What the README and the documentation show is executed as it stands, against an embedded deployment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_snippets(page: Path, deployment_environment: dict[str, str], tmp_path: Path) -> None:
    # A process a page: a snippet may set signal handlers, start loops or leave clients to the interpreter's exit.
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import pathlib, snippets; snippets.run_page(pathlib.Path({str(page)!r}))"
    outcome = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        cwd=tmp_path,
        env=deployment_environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
