"""Claims of README, CONTRIBUTING and other papers about the project are true."""

from __future__ import annotations

import re
import tomllib
from dataclasses import asdict
from pathlib import Path

import arker
from arker.local.engine import Limits

ROOT = Path(__file__).resolve().parents[2]


def test_every_dependency_is_justified() -> None:
    """Where it belongs: what is needed to run, what an extra brings, what it takes to develop."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    tables = {"needed to run": project["project"]["dependencies"]}
    tables |= {f"extra `{name}`": requirements for name, requirements in extras.items()}
    tables["to develop"] = [
        *project["build-system"]["requires"],
        *(one for group in project["dependency-groups"].values() for one in group if isinstance(one, str)),
    ]
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## Dependencies")[2].partition("\n## ")[0]
    known = {"arker"}
    for head, requirements in tables.items():
        declared = {re.match(r"[\w-]+", one)[0].lower() for one in requirements} - known  # type: ignore[index]
        known |= declared
        table = section.partition(f"| {head} | why |\n")[2].partition("\n\n")[0]
        rows = re.findall(r"^\| (`[^|]+) \| (\S[^|]*) \|$", table, re.MULTILINE)
        justified = {name.lower() for names, _ in rows for name in re.findall(r"`([\w-]+)`", names)}
        assert justified == declared, head


def test_the_limits_are_those_of_the_guide() -> None:
    page = (ROOT / "docs" / "guides" / "deployment.md").read_text()
    table = page.partition("| limit | default |")[2].partition("\n\n")[0]
    units = {"": 1, " MiB": 1 << 20, " GiB": 1 << 30, " s": 1}
    told = {
        name: int(number) * units[unit]
        for name, number, unit in re.findall(r"^\| `(\w+)` \| (\d+)( [A-Za-z]+)? \|", table, re.MULTILINE)
    }
    assert told == asdict(Limits())


def test_every_place_that_contributing_names_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    places = re.findall(r"`((?:arker|openapi|docs|tests|benchmarks|scripts|generated)/[\w./-]*)`", text)
    assert len(places) > 20
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_every_promise_of_the_security_model_is_tested() -> None:
    """What a row of the model names is there: `path::name`, or `path` for a whole file."""
    text = (ROOT / "docs" / "security.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert len(named) > 20
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / path).exists() or (name and f"def {name}(" not in (ROOT / path).read_text())
    ]
    assert missing == []


def test_every_relative_link_of_the_papers_leads_somewhere() -> None:
    for paper in [*ROOT.glob("*.md"), *(ROOT / ".github").rglob("*.md")]:
        text = re.sub(r"```.*?```", "", paper.read_text(), flags=re.DOTALL)
        targets = [
            *re.findall(r"\]\(([^)#\s]+)[^)]*\)", text),
            *re.findall(r"""(?:src|href|srcset)="([^"#]+)""", text),
        ]
        broken = [
            target
            for target in targets
            if "://" not in target and not (paper.parent / target).resolve().exists()
        ]
        assert broken == [], paper.name


def test_every_public_name_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text()
    described = set(re.findall(r"auto(?:class|exception|data):: arker\.(\w+)", page))
    assert described == set(arker.__all__) - {"__version__"}


def test_every_action_of_the_workflows_is_pinned_to_a_commit() -> None:
    uses = [
        line.strip()
        for workflow in (ROOT / ".github" / "workflows").glob("*.yml")
        for line in workflow.read_text().splitlines()
        if "uses:" in line
    ]
    assert len(uses) > 8
    assert [line for line in uses if not re.search(r"@[0-9a-f]{40} # v[\d.]+$", line)] == []
