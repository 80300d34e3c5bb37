"""Which part may import which, read from the source, so that imports within functions count too."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "arker"

#: What each part of the deployment may import of the deployment.
LOCAL = {
    "engine": {"engine"},
    "storage": {"storage"},
    "service": {"service", "storage", "engine"},
    "http": {"http", "service"},
    "process": {"process", "http", "service", "storage", "engine"},
}
#: What of the engine is about engines of any kind: the protocol, what is made of it, and a lock.
ENGINE = {"protocol", "file_protocol", "runs", "readable", "gate"}
#: Modules without I/O of their own, which both the client and the deployment use.
PURE = {"arker.archive", "arker.contract", "arker.ids"}
#: What only some layers may import of other projects.
OTHERS = {
    "sqlite3": {"storage", "engine"},
    "starlette": {"http", "process"},
    "uvicorn": {"http", "process"},
    "click": set(),
}
SQL = re.compile(
    r"\b(SELECT\s.+\sFROM|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|BEGIN\s+IMMEDIATE)\b",
    re.S,
)


@functools.cache
def imports(path: Path) -> list[str]:
    """Every module or member that a file imports, by its full name."""
    return list(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    package = ["arker", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("layer", LOCAL)
def test_layers_of_the_deployment(layer: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files(f"local/{layer}")
        for name in imports(path)
        if name.startswith("arker.local.") and name.split(".")[2] not in LOCAL[layer]
    ]
    assert wrong == []


@pytest.mark.parametrize("layer", ["service", "http"])
def test_services_know_any_engine_and_none_in_particular(layer: str) -> None:
    for path in files(f"local/{layer}"):
        for name in imports(path):
            if name.startswith("arker.local.engine"):
                assert name.split(".")[3] in ENGINE, f"{path.name}: {name}"


def test_nothing_of_the_deployment_knows_the_client_or_the_command_line() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files("local")
        for name in imports(path)
        if name.partition(".")[0] in ("arker", "arker_api")
        and not name.startswith("arker.local.")
        and name.rpartition(".")[0] not in PURE
    ]
    assert wrong == []


@pytest.mark.parametrize("other", OTHERS)
def test_imports_of_other_projects(other: str) -> None:
    wrong = [
        path
        for path in files("local")
        if any(name.partition(".")[0] == other for name in imports(path))
        and path.relative_to(ROOT / "local").parts[0] not in OTHERS[other]
    ]
    assert wrong == []


def test_sql_is_in_the_storage_alone() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {node.value[:60]!r}"
        for path in [*files("local"), *files("cli")]
        if path.relative_to(ROOT).parts[:2] not in (("local", "storage"), ("local", "engine"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value)
    ]
    assert wrong == []


def test_the_command_line_asks_services() -> None:
    for path in files("cli"):
        for name in imports(path):
            assert not name.startswith(("arker.local.storage", "arker.local.http")), f"{path.name}: {name}"


def test_the_client_reaches_the_deployment_in_one_place() -> None:
    reaching = {
        str(path.relative_to(ROOT))
        for path in files(".")
        if path.relative_to(ROOT).parts[0] not in ("local", "cli")
        and any(name.startswith("arker.local") for name in imports(path))
    }
    assert reaching == {"_async/client.py", "_sync/client.py"}


# --- the client ---

#: The parts of the client that wait or connect.
CLIENT = {"_async", "_sync", "_http", "_io_async", "_io_sync"}


def test_http_knows_no_operation_and_no_computer() -> None:
    for path in [*files("_http"), ROOT / "_io_async.py", ROOT / "_io_sync.py"]:
        for name in imports(path):
            wrong = name.startswith(("arker._async", "arker._sync", "arker_api", "arker.local", "arker.cli"))
            assert not wrong, f"{path.name}: {name}"


def test_values_and_decisions_know_no_connection() -> None:
    for path in ROOT.glob("*.py"):
        if path.stem not in {*CLIENT, "__init__", "__main__", "computer", "testing"}:
            for name in imports(path):
                first, _, rest = name.partition(".")
                assert first != "arker" or rest.partition(".")[0] not in {*CLIENT, "local", "cli"}, (
                    f"{path.name}: {name}"
                )
                assert first not in ("httpx", "h11", "socket", "ssl"), f"{path.name}: {name}"


def test_the_generated_client_knows_nothing_of_ours() -> None:
    for path in (ROOT.parent / "generated" / "arker_api").rglob("*.py"):
        assert "import arker\n" not in path.read_text()
        assert "from arker." not in path.read_text()


def test_no_part_imports_one_that_imports_it() -> None:
    spec = importlib.util.spec_from_file_location("house", ROOT.parent / "scripts" / "house.py")
    assert spec is not None
    assert spec.loader is not None
    house = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules["house"] = house
    spec.loader.exec_module(house)
    arrows = set(house.arrows())
    while arrows:
        # What nothing left points at can be taken away, and so everything at last.
        tops = {source for source, _ in arrows} - {target for _, target in arrows}
        assert tops, f"in a circle: {sorted(arrows)}"
        arrows = {(source, target) for source, target in arrows if source not in tops}
