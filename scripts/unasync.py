"""Derive the blocking client from the asyncio one, `_sync` from `_async`, or check that it is what that
gives.

python scripts/unasync.py            # derive
python scripts/unasync.py --check    # compare; exit 1 with a readable diff when they differ
"""

from __future__ import annotations

import argparse
import difflib
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Folders named `_async` whose sister `_sync` is derived.
SOURCES = [*sorted((ROOT / "arker").rglob("_async")), *sorted((ROOT / "tests").rglob("_async"))]

#: Applied in this order to the whole text. A rule that matches in no file is an error.
RULES: list[tuple[str, str]] = [
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\b__a(enter|exit|iter|next)__", r"__\1__"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\ba(close|iter_raw|next)\b", r"\1"),
    (r"\bAsync(\w+)", r"\1"),
    (r"\b(handle_)?async_(\w+)", r"\1\2"),
    (r"\b(_io)?_async\b", r"\1_sync"),
    (r"\bAwaitable\[([^][]*(?:\[[^][]*\])?[^][]*)\]", r"\1"),
    (
        r"\bThe client for asyncio, and the source that the blocking one is derived from\.",
        "The blocking client.",
    ),
]


def derive(text: str, used: set[str]) -> str:
    """The blocking twin of a source text; adds the rules that were used to `used`."""
    for pattern, replacement in RULES:
        text, count = re.subn(pattern, replacement, text)
        if count:
            used.add(pattern)
    return text


def formatted(text: str, path: Path) -> str:
    """Format with ruff: shorter code is folded, imports are sorted, unused imports are
    removed."""
    for command in (["check", "--quiet", "--fix-only", "--select=I,F401"], ["format", "--quiet"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(path), "-"],
            input=text,
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        if done.returncode:
            sys.exit(f"{path}: {done.stderr}")
        text = done.stdout
    return text


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    used: set[str] = set()
    differ = False
    for source in SOURCES:
        target = source.with_name("_sync")
        expected: dict[Path, str] = {}
        for path in sorted(source.rglob("*.py")):
            twin = target / path.relative_to(source)
            head = f"# Derived from {path.relative_to(ROOT)} by `make generate`; do not edit.\n"
            expected[twin] = formatted(head + derive(path.read_text(), used), twin)
        existing = {path: path.read_text() for path in target.rglob("*.py")}
        for path in sorted(expected.keys() | existing.keys()):
            old, new = existing.get(path, ""), expected.get(path, "")
            if path in existing and path in expected and old == new:
                continue
            name = str(path.relative_to(ROOT))
            if check:
                differ = True
                sys.stdout.writelines(
                    difflib.unified_diff(
                        old.splitlines(keepends=True),
                        new.splitlines(keepends=True),
                        name,
                        f"{name} (derived)",
                    )
                )
            elif path in expected:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(new)
            else:
                path.unlink()
    unused = [pattern for pattern, _ in RULES if pattern not in used]
    if unused:
        print("rules that no source uses:", *unused, sep="\n  ")
    if differ:
        print("_sync differs from what _async gives; run: python scripts/unasync.py")
    return 1 if differ or unused else 0


if __name__ == "__main__":
    sys.exit(main())
