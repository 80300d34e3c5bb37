"""`scripts/changelog.py` accepts a changelog that can be released and reports the errors of any other."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOOD = """\
# Changelog

## [Unreleased]

### Added

* Something new.

## [0.2.0] - 2025-11-30

### Fixed

* A fault.

## [0.2.0rc1] - 2025-11-02

### Added

* The first thing.
"""


@pytest.fixture(scope="module")
def changelog() -> ModuleType:
    spec = importlib.util.spec_from_file_location("changelog", ROOT / "scripts" / "changelog.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["changelog"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_changelog_of_the_project_is_in_form(
    changelog: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["changelog.py"])
    assert changelog.main() == 0


def test_a_good_one_has_no_problems(changelog: ModuleType) -> None:
    assert changelog.check(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("## [Unreleased]\n", "", "must be `## [Unreleased]`"),
        ("[0.2.0] - 2025-11-30", "[0.2.0]", "must read `[1.2.3] - 2025-01-31`"),
        ("[0.2.0] - 2025-11-30", "0.2.0 - 2025-11-30", "must read `[1.2.3] - 2025-01-31`"),
        ("2025-11-30", "2025-11-31", "2025-11-31 is not a date"),
        ("2025-11-30", "2025-11-01", "0.2.0rc1 must be older"),
        ("0.2.0rc1", "0.2.1", "0.2.1 must be older"),
        ("0.2.0rc1", "0.2.0", "0.2.0 must be older"),
        ("### Fixed", "### Mended", "`### Mended` must be one of"),
        ("* A fault.", "", "`### Fixed` in [0.2.0] - 2025-11-30 is empty"),
        ("### Fixed", "### Added\n\n### Fixed", "`### Added` above is empty"),
        ("* A fault.", "* A fault.\n\n### Fixed\n\n* Another.", "`### Fixed` is there twice"),
        ("### Fixed\n\n* A fault.\n", "", "0.2.0 says nothing"),
    ],
)
def test_a_broken_one_is_named(changelog: ModuleType, old: str, new: str, problem: str) -> None:
    assert GOOD.count(old) >= 1
    assert problem in "\n".join(changelog.check(GOOD.replace(old, new, 1)))


def test_the_version_of_the_package_is_accounted_for(changelog: ModuleType) -> None:
    empty = GOOD.replace("### Added\n\n* Something new.\n", "", 1)
    assert changelog.check_current(GOOD, "0.3.0") == []
    assert changelog.check_current(empty, "0.2.0") == []
    assert changelog.check_current(empty, "0.3.0") == [
        "0.3.0 has no section, and there is nothing under Unreleased"
    ]


def test_a_release_is_the_tag_the_package_and_the_newest_section(changelog: ModuleType) -> None:
    ready = GOOD.replace("### Added\n\n* Something new.\n", "", 1)
    assert changelog.check_release(ready, "0.2.0", "v0.2.0") == []
    assert "is not v0.2.0" in changelog.check_release(ready, "0.2.0", "v0.2.1")[0]
    assert "must be 0.3.0" in changelog.check_release(ready, "0.3.0", "v0.3.0")[0]
    assert "move what is under Unreleased" in changelog.check_release(GOOD, "0.2.0", "v0.2.0")[0]


def test_the_notes_are_what_stands_under_the_release(
    changelog: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "arker").mkdir()
    (tmp_path / "arker" / "_version.py").write_text('__version__ = "0.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(GOOD.replace("### Added\n\n* Something new.\n", "", 1))
    monkeypatch.setattr(changelog, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["changelog.py", "--release", "v0.2.0"])
    assert changelog.main() == 0
    assert capsys.readouterr().out == "### Fixed\n\n* A fault.\n"
