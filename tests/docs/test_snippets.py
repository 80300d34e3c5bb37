"""What the README and the documentation show is executed as it stands, against an embedded deployment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SNIPPETS = Path(__file__).with_name("snippets.py")


def run(page: Path, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The page's snippets, in a process of their own: they may leave loops and clients to the exit."""
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(SNIPPETS), str(page)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_snippets(page: Path, deployment_environment: dict[str, str], tmp_path: Path) -> None:
    try:
        outcome = run(page, tmp_path, deployment_environment)
    finally:
        # A page that starts a deployment stops it, unless it fails in between.
        if (tmp_path / "state").exists():
            stop = ["arker", "serve", "--stop", "--state", tmp_path / "state"]
            subprocess.run(stop, env=deployment_environment, check=False, stderr=subprocess.DEVNULL)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


PAGE = """
```python
greeting = "hello"
```

<!-- not executed: it would fail -->
```python
1 / 0
```

```sh
mkdir folder && cd folder
export NAME=world
```

```python
import os
print(greeting, os.environ["NAME"], os.getcwd())
```
```text
hello world ...folder
```

1. And then:

   ```sh
   echo $NAME from $(basename $PWD)
   ```
   ```text
   world from folder
   ```
"""


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("", "", None),
        ("hello world", "hello moon", "page.md:17: printed"),
        ("world from", "moon from", "page.md:27: printed"),
        ("export NAME=world", "false", "page.md:12: exit code 1"),
        ("<!-- not executed: it would fail -->\n", "", "ZeroDivisionError"),
        ("1 / 0", "1 /", "SyntaxError"),
        ("\n```sh", "\n1. ```sh", "AssertionError"),
    ],
)
def test_a_page_that_promises_too_much_fails(tmp_path: Path, old: str, new: str, problem: str | None) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace(old, new, 1) if old else PAGE)
    outcome = run(page, tmp_path, {"PATH": "/usr/bin:/bin"})
    if problem is None:
        assert outcome.returncode == 0, outcome.stderr
    else:
        assert outcome.returncode != 0
        assert problem in outcome.stderr
