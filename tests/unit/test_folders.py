"""What is left out of a tree, by patterns as git reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from arker.errors import ArkerError
from arker.folders import LocalTree, ignorer

PATHS = ("a", "b/a", "b/a.txt", "b/build", "b/c/a", "build/out/a", "build/keep", "src/a.txt")


@pytest.mark.parametrize(
    ("patterns", "kept"),
    [
        ([], PATHS),
        (["a"], ("b/a.txt", "b/build", "build/keep", "src/a.txt")),
        (["build/"], ("a", "b/a", "b/a.txt", "b/build", "b/c/a", "src/a.txt")),
        (["*", "!*/", "!*.txt"], ("b/a.txt", "src/a.txt")),
        (["/**", "!**/", "!build"], ("b/build",)),
        (["build/*", "!build/keep"], tuple(path for path in PATHS if path != "build/out/a")),
        (["build/**", "!build/keep"], tuple(path for path in PATHS if path != "build/out/a")),
        # What brings back a folder does not bring back what is in it.
        (["**/c", "![ab]", "b/**/a"], ("a", "b/a.txt", "b/build", "build/out/a", "build/keep", "src/a.txt")),
        (["!/**", "b"], ("a", "build/out/a", "build/keep", "src/a.txt")),
        (["b/", "!b/a"], ("a", "build/out/a", "build/keep", "src/a.txt")),
        (["# a", "", "\\#"], PATHS),
    ],
)
def test_patterns_mean_what_they_mean_to_git(
    tmp_path: Path, patterns: list[str], kept: tuple[str, ...]
) -> None:
    for path in PATHS:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    found = LocalTree(tmp_path).scan(ignorer(patterns)).entries
    assert sorted(path for path, info in found.items() if info.kind == "file") == sorted(kept)


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ArkerError, match=r"bad_request: ignore: .*'!'"):
        ignorer(["!"])
