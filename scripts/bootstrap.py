"""Make a virtual environment with a current pip, also where the system's Python came without `ensurepip`.

    python3 scripts/bootstrap.py .venv

Debian and Ubuntu split `ensurepip` off into another package; there, pip's own wheel is fetched from the package index
(`PIP_INDEX_URL`, else PyPI), checked against the digest that the index states, and used to install itself.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
import venv
from pathlib import Path
from urllib.parse import urljoin

OLDEST = (3, 11)
#: The first pip that installs dependency groups (`--group`).
PIP = "pip>=25.1"


def latest_pip_wheel(index: str) -> "tuple[str, str]":
    """URL and SHA-256 of the newest pip wheel; `index` speaks the JSON form of the simple API (PEP 691)."""
    url = index.rstrip("/") + "/pip/"
    request = urllib.request.Request(url, headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        files = json.load(answer)["files"]

    def version(name: str) -> "tuple[int, ...]":
        parts = name.split("-")[1].split(".")
        return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()

    wheels = [
        file for file in files if file["filename"].endswith("-py3-none-any.whl") and not file.get("yanked")
    ]
    newest = max(wheels, key=lambda file: version(file["filename"]))
    return urljoin(url, newest["url"]), newest["hashes"]["sha256"]


def install_pip(python: Path) -> None:
    url, digest = latest_pip_wheel(os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple")
    with urllib.request.urlopen(url, timeout=60) as answer:
        data = answer.read()
    if hashlib.sha256(data).hexdigest() != digest:
        sys.exit(f"{url} is not what the index says it is")
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(folder) / url.rpartition("/")[2].partition("#")[0]
        wheel.write_bytes(data)
        subprocess.run([python, f"{wheel}/pip", "install", "--quiet", "--no-index", wheel], check=True)


def main() -> None:
    if sys.version_info < OLDEST:
        wanted, found = (".".join(map(str, v)) for v in (OLDEST, sys.version_info[:3]))
        sys.exit(
            f"Arker needs Python {wanted} or newer, and this is {found}; name another with PYTHON=python3.x"
        )
    target = Path(sys.argv[1])
    python = target / "bin" / "python"
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        venv.create(target, clear=True, symlinks=True, with_pip=False)
        install_pip(python)
    else:
        venv.create(target, clear=True, symlinks=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--upgrade", PIP], check=True)


if __name__ == "__main__":
    main()
