"""Regenerate `generated/arker_api` from `openapi/`, or check that it is what the specs give.

python scripts/generate.py            # regenerate
python scripts/generate.py --check    # validate the specs, compare; exit 1 with a readable diff when they differ
"""

from __future__ import annotations

import argparse
import difflib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

ROOT = Path(__file__).resolve().parent.parent
OPENAPI = ROOT / "openapi"
PACKAGE = ROOT / "generated" / "arker_api"
#: spec -> package; `global` is a keyword, so its package is `control`.
PACKAGES = {"regional": "regional", "global": "control", "v03": "v03"}
#: Specs that are only checked: what they describe is called by handwritten code.
DESCRIPTIONS = ["local"]
#: The version of the generator whose output is committed.
PINNED = next(
    requirement.partition("==")[2]
    for requirement in tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["check"]
    if str(requirement).startswith("openapi-python-client==")
)
#: Patches of the generator's output that no setting makes: file, text, replacement, number of times.
#: Secrets stay out of every `repr`; that of attrs classes is in tracebacks and logs.
PATCHES = [
    ("client.py", "    token: str\n", "    token: str = field(repr=False)\n", 1),
    ("client.py", 'kw_only=True, alias="headers")', 'kw_only=True, repr=False, alias="headers")', 2),
    ("client.py", 'kw_only=True, alias="cookies")', 'kw_only=True, repr=False, alias="cookies")', 2),
    ("client.py", 'kw_only=True, alias="httpx_args")', 'kw_only=True, repr=False, alias="httpx_args")', 2),
]


def validate(spec: Path) -> list[str]:
    """The problems of a spec as OpenAPI 3.1, one line each."""
    document = yaml.safe_load(spec.read_text())
    return [
        f"{spec.name}: {'/'.join(map(str, error.absolute_path))}: {error.message}"
        for error in OpenAPIV31SpecValidator(document).iter_errors()
    ]


def generate(spec: Path, into: Path) -> None:
    """Run the generator and patch what it wrote. The post-hooks need the `ruff` that is installed beside this
    interpreter."""
    config = into.with_suffix(".config.yaml")
    # The templates know the name of the spec, which is that of the host, by this name.
    settings = yaml.safe_load((OPENAPI / "generator.yaml").read_text())
    config.write_text(yaml.safe_dump({**settings, "package_name_override": spec.stem}))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate"),
            *("--path", str(spec), "--output-path", str(into), "--config", str(config)),
            *("--custom-template-path", str(OPENAPI / "templates")),
            *("--meta", "none", "--overwrite", "--fail-on-warning"),
        ],
        env={**os.environ, "PATH": path, "RUFF_NO_CACHE": "true"},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    for name, text, replacement, times in PATCHES:
        source = (into / name).read_text()
        if (found := source.count(text)) != times:
            sys.exit(
                f"{into.name}/{name}: {text.strip()!r} is there {found} times, not {times}: "
                f"the generator has changed (see PATCHES in {Path(__file__).name})"
            )
        (into / name).write_text(source.replace(text, replacement))


def read_tree(root: Path) -> dict[str, str]:
    """The text of every file by its relative path, without compiled files."""
    return {
        str(path.relative_to(root)): path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def compare(expected: dict[str, str], actual: dict[str, str], label: str) -> list[str]:
    """A readable list of extra, missing and changed files; empty when the trees agree."""
    report = [f"extra:   {label}/{name}" for name in sorted(actual.keys() - expected.keys())]
    report += [f"missing: {label}/{name}" for name in sorted(expected.keys() - actual.keys())]
    for name in sorted(expected.keys() & actual.keys()):
        if expected[name] != actual[name]:
            report.append(f"changed: {label}/{name}")
            report += difflib.unified_diff(
                actual[name].splitlines(),
                expected[name].splitlines(),
                "committed",
                "from the spec",
                lineterm="",
            )
    return report


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 when the tree differs from the specs"
    )
    check = parser.parse_args().check

    if problems := [
        line for name in [*PACKAGES, *DESCRIPTIONS] for line in validate(OPENAPI / f"{name}.yaml")
    ]:
        print("not valid OpenAPI 3.1:", *problems, sep="\n  ", file=sys.stderr)
        return 1

    report: list[str] = []
    for name, package in PACKAGES.items():
        target = PACKAGE / package
        with tempfile.TemporaryDirectory() as folder:
            fresh = Path(folder) / package
            generate(OPENAPI / f"{name}.yaml", fresh)
            if check:
                actual = read_tree(target) if target.exists() else {}
                report += compare(read_tree(fresh), actual, f"generated/arker_api/{package}")
            else:
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(fresh, target)
    if report:
        if (installed := version("openapi-python-client")) != PINNED:
            print(
                f"generated/ was made by openapi-python-client {PINNED}, compared with that of {installed}:",
                "the differences below are what that version changes",
                file=sys.stderr,
            )
        print("generated/ differs from openapi/; run `make generate`:", *report, sep="\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
