"""The public surface: documented, typed, and the same in both colours."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import arker

ROOT = Path(__file__).resolve().parents[2]
PAIRS = [
    ("Arker", "AsyncArker"),
    ("Computer", "AsyncComputer"),
    ("Sync", "AsyncSync"),
    ("Files", "AsyncFiles"),
    ("File", "AsyncFile"),
    ("ComputerPath", "AsyncComputerPath"),
    ("Branches", "AsyncBranches"),
    ("Python", "AsyncPython"),
]
CLASSES = [name for name in arker.__all__ if inspect.isclass(getattr(arker, name))]
#: What raises nothing, or says so in the text of its class.
QUIET = {"all", "is_retryable"}


def members(cls: type) -> dict[str, object]:
    return {name: vars(cls)[name] for name in vars(cls) if not name.startswith("_")}


def function(member: object) -> object:
    member = member.fget if isinstance(member, property) else member
    return member.__func__ if isinstance(member, (classmethod, staticmethod)) else member


METHODS = [
    pytest.param(getattr(arker, cls), name, id=f"{cls}.{name}")
    for cls in CLASSES
    for name, member in members(getattr(arker, cls)).items()
    if inspect.isfunction(function(member))
]


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_says_what_it_is(name: str) -> None:
    assert len(inspect.getdoc(getattr(arker, name)) or "") > 20


@pytest.mark.parametrize(("cls", "name"), METHODS)
def test_every_method_says_what_it_does(cls: type, name: str) -> None:
    member = members(cls)[name]
    doc = inspect.getdoc(member) or ""
    assert doc.endswith((".", ")", "`"))
    parameters = list(inspect.signature(function(member)).parameters.values())[1:]  # type: ignore[arg-type]
    for parameter in parameters if not isinstance(member, property) else ():
        if len(parameters) > 1 or parameter.kind is parameter.KEYWORD_ONLY:
            assert re.search(rf"^    {parameter.name}: ", doc, re.M), f"{parameter.name} is not explained"
    if parameters and name not in ("to_dict", "check"):
        assert "Raises:" in doc


@pytest.mark.parametrize(
    "cls", [cls for cls in CLASSES if hasattr(getattr(arker, cls), "__dataclass_fields__")]
)
def test_every_field_is_explained(cls: str) -> None:
    doc = inspect.getdoc(getattr(arker, cls)) or ""
    for field in getattr(arker, cls).__dataclass_fields__:
        assert re.search(rf"^    {field}: ", doc, re.M), f"{cls}.{field} is not explained"


@pytest.mark.parametrize(("cls", "name"), METHODS)
def test_every_duration_has_its_unit(cls: type, name: str) -> None:
    doc = inspect.getdoc(members(cls)[name]) or ""
    for line in re.findall(r"^    (?:timeout|delay|seconds): .*(?:\n     .*)*", doc, re.M):
        assert "seconds" in line or "see " in line.lower(), line


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS)
def test_both_colours_agree(blocking: str, asynchronous: str) -> None:
    one, other = members(getattr(arker, blocking)), members(getattr(arker, asynchronous))
    renamed = {"aclose": "close"}
    assert list(one) == [renamed.get(name, name) for name in other]
    for (name, member), twin in zip(one.items(), other.values(), strict=True):
        if inspect.isfunction(function(member)):
            ours, theirs = inspect.signature(function(member)), inspect.signature(function(twin))  # type: ignore[arg-type]
            assert list(ours.parameters) == list(theirs.parameters), name
            for mine, its in zip(ours.parameters.values(), theirs.parameters.values(), strict=True):
                assert (mine.kind, mine.default) == (its.kind, its.default), name


def test_no_docstring_of_the_blocking_client_speaks_of_the_other() -> None:
    for path in (ROOT / "arker" / "_sync").glob("*.py"):
        text = path.read_text()
        assert not re.search(r"\bawait\b|\basync\b|Async[A-Z]", text), path
