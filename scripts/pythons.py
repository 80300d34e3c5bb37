"""Run the tests with every Python that the project supports and this machine has, each in an environment of its own.

python scripts/pythons.py                  # all tests
python scripts/pythons.py tests/unit -x    # arguments for pytest

Looks for python3.11 to python3.14, free-threaded builds (python3.14t) included, on the path and below ~/.pyenv.
Says for each what came out; exit code 1 if any failed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / "build" / "pythons"
VERSIONS = [f"3.{minor}{kind}" for minor in range(11, 15) for kind in ("", "t")]


def find(version: str) -> str | None:
    """Return an interpreter of this version that starts."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python{version}"), *map(str, pyenv.glob(f"*/bin/python{version}"))]
    for interpreter in filter(None, found):
        if subprocess.run([interpreter, "-c", ""], capture_output=True).returncode == 0:
            return interpreter
    return None


def try_out(version: str, interpreter: str, arguments: list[str]) -> bool:
    """Install the project as developers have it, and run the tests."""
    folder = ENVIRONMENTS / version
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    commands: list[list[str | Path]] = [
        [interpreter, ROOT / "scripts" / "bootstrap.py", folder],
        [*install, "--editable", ".[local,cli]", "--group", "test"],
        [
            python,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *(arguments or ["-n", "auto"]),
        ],
    ]
    return all(subprocess.run(command, cwd=ROOT).returncode == 0 for command in commands)


def main() -> int:
    results: dict[str, str] = {}
    for version in VERSIONS:
        interpreter = find(version)
        if interpreter is None:
            results[version] = "not on this machine"
            continue
        print(f"--- {version}: {interpreter}", flush=True)
        results[version] = "ok" if try_out(version, interpreter, sys.argv[1:]) else "FAILED"
    for version, result in results.items():
        print(f"{version:6} {result}")
    return int("FAILED" in results.values())


if __name__ == "__main__":
    sys.exit(main())
