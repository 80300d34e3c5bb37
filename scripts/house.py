"""Draw which part of the project imports which, from the sources: docs/house.svg; tests/unit/test_arrows.py keeps the
arrows pointing down.

python scripts/house.py            # draw
python scripts/house.py --check    # exit 1 when the drawing is not what the sources give
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

ROOT = Path(__file__).resolve().parent.parent
DRAWING = ROOT / "docs" / "house.svg"
WIDTH, HEIGHT = 190, 58


@dataclass(frozen=True)
class Part:
    """A part of the project.

    Attributes:
        title: Its name.
        what: What is in it, in a few words.
        at: The left upper corner of its box.
        modules: What its modules begin with; the longest that fits decides. Names in capitals are of `arker` itself.
    """

    title: str
    what: str
    at: tuple[int, int]
    modules: tuple[str, ...]


PARTS = {
    "cli": Part("arker/cli", "the command line", (250, 20), ("arker.cli", "arker.__main__")),
    "testing": Part(
        "testing, integrations", "pytest, fsspec ...", (20, 20), ("arker.testing", "arker.integrations")
    ),
    "client": Part(
        "arker/_async → _sync",
        "client, computers, files",
        (135, 120),
        ("arker._async", "arker._sync", "arker.computer", *(f"arker.{letter}" for letter in ascii_uppercase)),
    ),
    "wire": Part("arker/_http", "connections, retries", (20, 220), ("arker._http", "arker._io_")),
    "generated": Part("generated/arker_api", "operations, schemas", (250, 220), ("arker_api",)),
    "values": Part(
        "arker/*.py",
        "errors, results, config ...",
        (20, 320),
        ("arker.",),
    ),
    "shared": Part(
        "arker/contract.py, ids ...",
        "what both sides hold to",
        (250, 320),
        ("arker.contract", "arker.ids", "arker.archive"),
    ),
    "process": Part("arker/local/process", "starts, stops, settings", (520, 20), ("arker.local",)),
    "http": Part("arker/local/http", "routes, middleware", (520, 120), ("arker.local.http",)),
    "service": Part("arker/local/service", "what requests mean", (520, 220), ("arker.local.service",)),
    "storage": Part("arker/local/storage", "SQLite", (460, 320), ("arker.local.storage",)),
    "engine": Part("arker/local/engine", "sandboxes, layers, shells", (640, 400), ("arker.local.engine",)),
}


def part_of(module: str) -> str | None:
    """Return the part that a module, or a member of one, belongs to."""
    fits = [
        (len(prefix), name)
        for name, part in PARTS.items()
        for prefix in part.modules
        if module.startswith(prefix)
    ]
    return max(fits)[1] if fits else None


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """What a file imports, and whether only when a function is called. Imports for annotations do not count."""
    package = ["arker", *path.relative_to(ROOT / "arker").parent.parts]

    def walk(node: ast.AST, late: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                yield from ((alias.name, late) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = package[: len(package) - child.level + 1] if child.level else []
                module = ".".join([*base, *([child.module] if child.module else [])])
                yield from ((f"{module}.{alias.name}", late) for alias in child.names)
            yield from walk(child, late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))

    yield from walk(ast.parse(path.read_text()), late=False)


def arrows() -> dict[tuple[str, str], bool]:
    """Which part imports which, and whether only when a function is called."""
    found: dict[tuple[str, str], bool] = {}
    for path in sorted((ROOT / "arker").rglob("*.py")):
        module = ".".join(["arker", *path.relative_to(ROOT / "arker").with_suffix("").parts]).removesuffix(
            ".__init__"
        )
        source = part_of(module)
        for name, late in imports(path):
            target = part_of(name)
            if source and target and source != target:
                found[source, target] = found.get((source, target), True) and late
    return found


def drawn() -> dict[tuple[str, str], bool]:
    """The arrows without those that others imply by way of further parts."""
    found = arrows()

    def reaches(source: str, target: str) -> bool:
        return any(at == source and (to == target or reaches(to, target)) for at, to in found)

    return {
        (source, target): late
        for (source, target), late in found.items()
        if not any(at == source and to != target and reaches(to, target) for at, to in found)
    }


def border(name: str, towards: str) -> tuple[float, float]:
    """Where an arrow between the middles of two boxes crosses the border of the first."""
    (x, y), (u, v) = (
        (PARTS[part].at[0] + WIDTH / 2, PARTS[part].at[1] + HEIGHT / 2) for part in (name, towards)
    )
    reach = min(abs(size / 2 / (b - a)) for a, b, size in ((x, u, WIDTH), (y, v, HEIGHT)) if a != b)
    return x + (u - x) * reach, y + (v - y) * reach


def drawing() -> str:
    """The drawing."""
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 830 480" font-family="sans-serif" role="img">',
        "<title>Which part imports which, if not by way of another; dashed: only when it is called</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#556"/></marker></defs>',
        '<rect width="830" height="480" fill="#fff"/>',
    ]
    for (source, target), late in sorted(drawn().items()):
        (x, y), (u, v) = border(source, target), border(target, source)
        dashes = ' stroke-dasharray="5 4"' if late else ""
        lines.append(
            f'<path d="M{x:.0f} {y:.0f} L{u:.0f} {v:.0f}" stroke="#556" fill="none" marker-end="url(#tip)"{dashes}>'
            f"<title>{PARTS[source].title} imports {PARTS[target].title}</title></path>"
        )
    for part in PARTS.values():
        x, y = part.at
        middle = x + WIDTH // 2
        lines += [
            f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#eef2fb" stroke="#88a"/>',
            f'<text x="{middle}" y="{y + 25}" text-anchor="middle" font-size="14" fill="#112">{part.title}</text>',
            f'<text x="{middle}" y="{y + 44}" text-anchor="middle" font-size="12" fill="#445">{part.what}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    if not parser.parse_args().check:
        DRAWING.write_text(drawing())
    elif not DRAWING.exists() or DRAWING.read_text() != drawing():
        print("docs/house.svg is not what the imports give; run: python scripts/house.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
