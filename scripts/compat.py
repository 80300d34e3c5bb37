"""Install published versions of the `arker` package, each beside its own sources, for `make compat`.

    python3 scripts/compat.py build/compat

Each version gets an environment of its own (`VERSION/env`), as they all share their import name with this project, and
its sdist unpacked (`VERSION/source`), for the live tests inside. What is there already is left alone.
"""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import bootstrap

#: The versions that users have, and what the tests of each need beside it.
VERSIONS = {"0.1.2": [], "0.2.1": [], "1.3.0": ["pytest", "websocket-client"]}


def install(version: str, extras: "list[str]", target: Path) -> None:
    sys.argv[1:] = [str(target / "env")]
    bootstrap.main()
    pip = [target / "env" / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", f"arker=={version}", *extras], check=True)
    subprocess.run(
        [*pip, "download", "--no-deps", "--no-binary", "arker", "--dest", target, f"arker=={version}"],
        check=True,
    )
    with tarfile.open(target / f"arker-{version}.tar.gz") as sdist:
        # Early releases of 3.11 know no filters.
        sdist.extractall(target, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (target / f"arker-{version}").rename(target / "source")
    # Its own modules must come from what was installed, not from beside its tests.
    shutil.rmtree(target / "source" / "src")


def main() -> None:
    root = Path(sys.argv[1])
    for version, extras in VERSIONS.items():
        done = root / version / "source"
        if not done.exists():
            shutil.rmtree(root / version, ignore_errors=True)
            (root / version).mkdir(parents=True)
            install(version, extras, root / version)
        elif extras:
            pip = [root / version / "env" / "bin" / "python", "-m", "pip", "--quiet"]
            subprocess.run([*pip, "--disable-pip-version-check", "install", *extras], check=True)


if __name__ == "__main__":
    main()
