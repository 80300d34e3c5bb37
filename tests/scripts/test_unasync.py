"""`_sync` is derived by a short table in which every rule is used."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def unasync():
    spec = importlib.util.spec_from_file_location("unasync", ROOT / "scripts" / "unasync.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "derived"),
    [
        ("async def f() -> AsyncArker:", "def f() -> Arker:"),
        ("async with await x.fork() as vm:", "with x.fork() as vm:"),
        ("[row async for row in rows]", "[row for row in rows]"),
        ("await anext(it, None)", "next(it, None)"),
        ("def __aenter__(self)", "def __enter__(self)"),
        ("await self.aclose()", "self.close()"),
        ("from arker._http._async.pool import AsyncPool", "from arker._http._sync.pool import Pool"),
        ("job: Callable[[T], Awaitable[R]]", "job: Callable[[T], R]"),
        ("job: Callable[[], Awaitable[list[T]]]", "job: Callable[[], list[T]]"),
        ("asynchronous, awaiting", "asynchronous, awaiting"),
    ],
)
def test_rules(unasync, text: str, derived: str) -> None:
    assert unasync.derive(text, set()) == derived


def test_every_rule_is_used(unasync) -> None:
    used: set[str] = set()
    for folder in unasync.SOURCES:
        for path in folder.rglob("*.py"):
            unasync.derive(path.read_text(), used)
    assert used == {pattern for pattern, _ in unasync.RULES}


def test_a_difference_is_shown(unasync, tmp_path: Path, monkeypatch, capsys) -> None:
    pytest.importorskip("ruff", reason="what is derived is formatted by ruff, which comes with `make check`")
    source = tmp_path / "_async"
    source.mkdir()
    (source / "a.py").write_text("async def f() -> None: ...\n")
    (tmp_path / "_sync").mkdir()
    (tmp_path / "_sync" / "stray.py").write_text("x = 1\n")
    monkeypatch.setattr(unasync, "SOURCES", [source])
    monkeypatch.setattr(unasync, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["unasync", "--check"])
    assert unasync.main() == 1
    shown = capsys.readouterr().out
    assert "+def f() -> None: ..." in shown
    assert "-x = 1" in shown
    assert "rules that no source uses" in shown
    monkeypatch.setattr("sys.argv", ["unasync"])
    unasync.main()
    assert (tmp_path / "_sync" / "a.py").read_text() == (
        "# Derived from _async/a.py by `make generate`; do not edit.\ndef f() -> None: ...\n"
    )
    assert not (tmp_path / "_sync" / "stray.py").exists()
