"""Check CHANGELOG.md, and give the notes of a release.

    python scripts/changelog.py                     # the form; exit 1 with what is wrong
    python scripts/changelog.py --release v0.2.0    # also that this is ready to be released; prints its notes

The form is Keep a Changelog's: `## [Unreleased]` first, then `## [1.2.3] - 2025-01-31`, newest first, each with
groups such as `### Added` that hold something.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GROUPS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
_HEADING = re.compile(r"\[(?P<name>[^]]+)\](?: - (?P<date>\S+))?")
_VERSION = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?")


@dataclass
class Section:
    """A `##` heading of the changelog and the text below it."""

    line: int
    heading: str
    body: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        match = _HEADING.fullmatch(self.heading)
        return match["name"] if match else ""

    @property
    def notes(self) -> str:
        return "\n".join(self.body).strip()


def parse(text: str) -> list[Section]:
    """The sections, in order."""
    sections: list[Section] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("## "):
            sections.append(Section(number, line[3:].strip()))
        elif sections:
            sections[-1].body.append(line)
    return sections


def version_key(version: str) -> tuple[int, ...]:
    """The sort key of versions: 1.2.0rc1 comes before 1.2.0."""
    release, stage, number = re.fullmatch(r"([\d.]+)(a|b|rc)?(\d+)?", version).groups()  # type: ignore[union-attr]
    return (*map(int, release.split(".")), {"a": 0, "b": 1, "rc": 2, None: 3}[stage], int(number or 0))


def check(text: str) -> list[str]:
    """The problems of form, one line each."""
    sections = parse(text)
    problems: list[str] = []
    if not sections or sections[0].heading != "[Unreleased]":
        problems.append("the first section must be `## [Unreleased]`")
    released: list[tuple[tuple[int, ...], datetime.date]] = []
    for section in sections:
        problems += _check_groups(section)
        if section is sections[0]:
            continue
        match = _HEADING.fullmatch(section.heading)
        if not match or not match["date"] or not _VERSION.fullmatch(match["name"]):
            problems.append(f"line {section.line}: `{section.heading}` must read `[1.2.3] - 2025-01-31`")
            continue
        try:
            date = datetime.date.fromisoformat(match["date"])
        except ValueError:
            problems.append(f"line {section.line}: {match['date']} is not a date")
            continue
        if not section.notes:
            problems.append(f"line {section.line}: {match['name']} says nothing")
        key = version_key(match["name"])
        if released and not (key < released[-1][0] and date <= released[-1][1]):
            problems.append(f"line {section.line}: {match['name']} must be older than the one above it")
        released.append((key, date))
    return problems


def _check_groups(section: Section) -> list[str]:
    problems: list[str] = []
    seen: list[str] = []
    filled = True
    for number, line in enumerate(section.body, section.line + 1):
        if not line.startswith("### "):
            filled = filled or bool(line.strip())
            continue
        if not filled:
            problems.append(f"line {number}: `### {seen[-1]}` above is empty")
        name, filled = line[4:].strip(), False
        if name not in GROUPS:
            problems.append(f"line {number}: `### {name}` must be one of {', '.join(GROUPS)}")
        elif name in seen:
            problems.append(f"line {number}: `### {name}` is there twice in {section.heading}")
        seen.append(name)
    if not filled:
        problems.append(f"line {section.line}: `### {seen[-1]}` in {section.heading} is empty")
    return problems


def check_current(text: str, version: str) -> list[str]:
    """Check that the package's version is released already, or has entries under Unreleased."""
    sections = parse(text)
    if any(section.name == version for section in sections[1:]) or (sections and sections[0].notes):
        return []
    return [f"{version} has no section, and there is nothing under Unreleased"]


def check_release(text: str, version: str, tag: str) -> list[str]:
    """Check that `tag` may be released: it is the package's version, the newest section, and has it all."""
    sections = parse(text)
    problems: list[str] = []
    if tag != f"v{version}":
        problems.append(f"the tag {tag} is not v{version}, the version of the package")
    if len(sections) < 2 or sections[1].name != version:
        problems.append(f"the newest release in the changelog must be {version}")
    if sections and sections[0].notes:
        problems.append("move what is under Unreleased into the section of the release")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--release", metavar="TAG", help="the tag to be released, such as v0.2.0")
    tag = parser.parse_args().release

    text = (ROOT / "CHANGELOG.md").read_text()
    source = (ROOT / "arker" / "_version.py").read_text()
    version = re.search(r'__version__ = "([^"]+)"', source)[1]  # type: ignore[index]
    problems = check(text) + (check_release(text, version, tag) if tag else check_current(text, version))
    if problems:
        print("CHANGELOG.md:", *problems, sep="\n  ", file=sys.stderr)
        return 1
    if tag:
        print(parse(text)[1].notes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
