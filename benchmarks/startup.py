"""The time to start: `import`, and a whole process from its start, with one call over TLS, to its exit.

`import arker` loads next to nothing until a name is used, so the import of the client class is measured
beside it, and the whole process is the figure that counts.
"""

from __future__ import annotations

import sys
import time

from benchmarks.harness import Bench, Case, Server, Target, options, run
from benchmarks.rivals import ORIGINAL, RIVALS, ROOT

IMPORTS = ("arker", "httpx", "aiohttp", "arker 0.1.2", "e2b", "runloop", "daytona", "modal", "microsandbox")
PROCESS = ("arker", "httpx", "arker 0.1.2", "e2b", "runloop", "daytona")
METRICS = {"import_ms": "import, ms", "wall_ms": "wall, ms"}
TARGETS = (
    Target("import arker, ms", "import", "import_ms", 5),
    Target("process start to first TLS answer to exit, ms", "process, TLS", "wall_ms", 170),
    Target(
        "process start to first TLS answer to exit, of runloop", "process, TLS", "wall_ms", 0.5, "runloop"
    ),
)
#: The first import of a user of the client; default its module.
CLASSES = {
    "arker": "from arker import Arker",
    "arker 0.1.2": "from arker import Arker",
    "e2b": "from e2b import Sandbox",
    "runloop": "from runloop_api_client import Runloop",
    "daytona": "from daytona import Daytona",
    "modal": "from modal import Sandbox",
    "microsandbox": "from microsandbox import Sandbox",
}


def main() -> None:
    arguments = options(__doc__)
    bench = Bench("startup", METRICS, arguments, rounds=9)
    importing = bench.present(IMPORTS, "")
    bench.measure([
        Case("import", importing, {"kind": "import"}),
        Case("import of the class", [name for name in importing if name in CLASSES], {"kind": "import"}),
        Case("process, TLS", bench.present(PROCESS, "run"), {"kind": "process"}, tls=True),
    ], take=take)  # fmt: skip
    bench.finish(TARGETS)


def take(case: Case, rival: str, server: Server, environment: dict[str, str]) -> dict[str, float]:
    """Measure one fresh interpreter. The first round may also compile byte code, which the median ignores."""
    if case.sample["kind"] == "import":
        statement = f"import {RIVALS[rival].module}" if case.name == "import" else CLASSES[rival]
        timed = f"import time; t = time.perf_counter(); {statement}; print((time.perf_counter() - t) * 1e3)"
        return {"calls": 0, "import_ms": float(interpreter(rival, timed, environment))}
    script = f"from benchmarks.rivals import RIVALS, check\ncheck(RIVALS[{rival!r}].run({server.url!r}, 1)())"
    wall = time.perf_counter()
    interpreter(rival, script, environment)
    return {"calls": 1, "wall_ms": (time.perf_counter() - wall) * 1e3}


def interpreter(rival: str, script: str, environment: dict[str, str]) -> str:
    # The original shares its name with this package: it must come first on the path.
    paths = [str(ORIGINAL)] if rival == "arker 0.1.2" else []
    code = f"import sys; sys.path[:1] = {[*paths, str(ROOT)]!r}\n{script}"
    return run([sys.executable, "-c", code], environment)


if __name__ == "__main__":
    main()
