"""Every snippet of the documentation runs and prints what its page promises.

The pages run in reading order, on one machine and one state, each in a new terminal: a page must not depend on what
another one leaves behind, nor be hindered by it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from arker.cli import local
from tests.docs.conftest import Reader
from tests.docs.snippets import find_snippets

ROOT = Path(__file__).resolve().parents[2]
SNIPPETS = Path(__file__).with_name("snippets.py")


def reading_order() -> list[Path]:
    """The README, the landing page, then the pages in the order of the site's navigation."""
    index = ROOT / "docs" / "index.md"
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```", index.read_text(), re.MULTILINE | re.DOTALL)
    names = [line for tree in trees for line in tree.split("\n") if line and not line.startswith(":")]
    return [ROOT / "README.md", index, *(ROOT / "docs" / f"{name}.md" for name in names)]


PAGES = reading_order()


def run(page: Path, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The page's snippets, in a process of their own: they may leave loops and clients to the exit."""
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(SNIPPETS), str(page)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_no_page_is_left_out() -> None:
    assert sorted(PAGES) == sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_snippets(page: Path, reader: Reader) -> None:
    try:
        outcome = run(page, reader.home, reader.environment)
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        assert running(reader) == [], "the page leaves a deployment running"
    finally:
        for state in running(reader):
            subprocess.run(
                ["arker", "serve", "--stop", "--state", state], env=reader.environment, check=False
            )


def running(reader: Reader) -> list[Path]:
    """The state folders that a deployment serves."""
    return [
        lock.parent
        for lock in reader.home.rglob("lock")
        if local.running(lock.parent, stopping=True) is not None
    ]


def test_the_pages_leave_no_computer_behind(reader: Reader) -> None:
    def arker(*words: str) -> str:
        done = subprocess.run(
            ["arker", *words], env=reader.environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    arker("serve", "--detach")
    try:
        assert arker("ls") == ""
    finally:
        arker("serve", "--stop")


def test_snippets_are_typed(tmp_path: Path) -> None:
    """`mypy --strict` finds nothing in what readers copy; the snippets of a page are one module."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed; it comes with the group `check`")
    for page in PAGES:
        module = ""
        for snippet in find_snippets(page.read_text()):
            if snippet.language == "python" and snippet.executed:
                # Padded, so that an error names the line of the page.
                module += "\n" * (snippet.line - module.count("\n")) + snippet.code
        name = str(page.relative_to(ROOT)).removesuffix(".md").replace("/", "_").replace("-", "_")
        (tmp_path / f"{name}.py").write_text(module)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", *tmp_path.glob("*.py")],
        cwd=tmp_path, env={**os.environ, "MYPYPATH": f"{ROOT}:{ROOT / 'generated'}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


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
