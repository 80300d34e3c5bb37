"""Takes samples, compares them and stores the results.

Every sample is a fresh process. The samples of a case are interleaved (a round takes one of each client), so
that changes of the machine affect all; a ratio is the median of the ratios within the rounds. Server and
client are pinned to different cores where there are two.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.rivals import ORIGINAL, RIVALS, ROOT

RESULTS = ROOT / "benchmarks" / "results"
#: Parts of the package that no client imports.
SERVING = ("cli", "local", "testing")
#: Seconds for a sample; none takes a tenth of that.
TIMEOUT = 300
#: The cores that this process may use, before it pins itself; empty where the system cannot pin.
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@dataclass(frozen=True)
class Case:
    """One operation to measure for several clients, and the server that it uses."""

    name: str
    rivals: Sequence[str]
    sample: dict[str, Any] = field(default_factory=dict)
    tls: bool = False
    delay: float = 0.0


@dataclass(frozen=True)
class Target:
    """A target for Arker: a ratio to a rival's metric or, without a rival, the metric in its unit."""

    what: str
    case: str
    metric: str
    limit: float
    against: str | None = None
    at_least: bool = False


@dataclass(frozen=True)
class Result:
    what: str
    value: float
    limit: float
    at_least: bool
    reached: bool


#: Takes one sample of a case for a client. Raises `subprocess.SubprocessError` if the client failed.
Take = Callable[[Case, str, "Server", dict[str, str]], dict[str, float]]
#: case -> client -> one set of metrics per round
Samples = dict[str, dict[str, list[dict[str, float]]]]


def options(description: str | None) -> argparse.Namespace:
    """Parse the command line that all benchmarks share."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="check that it works: one short round, nothing is stored"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        help="samples of each client (default: depends on the benchmark; 1 with --quick)",
    )
    parser.add_argument(
        "--rivals", nargs="+", help="only these clients, beside arker (default: all that are installed)"
    )
    return parser.parse_args()


class Bench:
    """One run of one benchmark."""

    def __init__(
        self,
        name: str,
        metrics: dict[str, str],
        arguments: argparse.Namespace,
        *,
        rounds: int = 7,
        measured: Callable[[], str] | None = None,
    ) -> None:
        """`metrics`: the metrics to show, each with what it is and its unit, as `"CPU, µs"`. `measured`: a digest
        of the code that is measured; None for that of the client."""
        self.name, self.metrics, self.quick = name, metrics, arguments.quick
        self.rounds: int = arguments.rounds or (1 if self.quick else rounds)
        self.only: list[str] | None = arguments.rivals
        self._measured = measured
        self.source = (measured or source)()
        self.samples: Samples = {}
        self.failed: dict[str, str] = {}

    def present(self, rivals: Sequence[str], method: str) -> list[str]:
        """Return the clients that are installed, selected, and have the method."""
        return [
            name
            for name in rivals
            if (self.only is None or name == "arker" or name in self.only)
            and installed(name)
            and (method == "" or RIVALS[name].can(method))
        ]

    def measure(self, cases: Sequence[Case], take: Take | None = None) -> None:
        """Take all rounds of all cases."""
        cores = pin()
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as servers:
            cert = certificate(Path(folder)) if any(case.tls for case in cases) else None
            environment = clean_environment(Path(folder), cert is not None)
            running: dict[tuple[bool, float], Server] = {}
            for case in cases:
                if (case.tls, case.delay) not in running:
                    server = Server(sorted(RIVALS), cert if case.tls else None, case.delay, cores)
                    running[case.tls, case.delay] = servers.enter_context(server)
            for round_ in range(self.rounds):
                for case in cases:
                    # A different client is first in each round.
                    turn = round_ % len(case.rivals)
                    for rival in [*case.rivals[turn:], *case.rivals[:turn]]:
                        server = running[case.tls, case.delay]
                        self.round(case, rival, server, environment, take or take_sample)

    def collect(self, sample: Callable[[], Mapping[str, Mapping[str, dict[str, float]]]]) -> None:
        """Take all rounds of a sample that measures all cases and all clients itself."""
        for _ in range(self.rounds):
            for case, found in sample().items():
                for who, metrics in found.items():
                    self.add(case, who, metrics)

    def round(self, case: Case, rival: str, server: Server, environment: dict[str, str], take: Take) -> None:
        name = f"{case.name}: {rival}"
        if name in self.failed:  # its rounds would no longer be those of the others
            return
        server.counted()
        try:
            metrics = take(case, rival, server, environment)
        except subprocess.SubprocessError as error:
            self.failed[name] = reason(error)
            print(f"{name} FAILED: {error}\n{error_output(error)}", file=sys.stderr)
            return
        counted = server.counted()
        if counted["requests"] < metrics["calls"]:
            raise RuntimeError(
                f"{name} claims {metrics['calls']} calls, the server saw {counted['requests']}"
            )
        self.add(case.name, rival, metrics | {"connections": counted["connections"]})

    def add(self, case: str, rival: str, metrics: dict[str, float]) -> None:
        self.samples.setdefault(case, {}).setdefault(rival, []).append(metrics)
        shown = "  ".join(
            f"{label} {metrics[key]:.4g}" for key, label in self.metrics.items() if key in metrics
        )
        print(f"  {case:<20} {rival:<18} {shown}", flush=True)

    def finish(self, targets: Sequence[Target]) -> None:
        """Print which targets are met, and store the results unless this was a quick run."""
        results = [result for target in targets if (result := judge(target, self.samples)) is not None]
        if self.quick:
            print(f"\n{self.name}: a quick run shows that it works; it judges no target")
        else:
            print(f"\n{self.name}: {self.rounds} rounds")
            for result in results:
                verdict, sign = "reached" if result.reached else "MISSED", "≥" if result.at_least else "≤"
                print(f"  {verdict:<8}{result.value:8.3f} {sign} {result.limit:g}  {result.what}")
        ours = [name for name in self.failed if name.endswith(": arker")]
        if ours:
            raise SystemExit(
                f"nothing is kept, arker failed: {'; '.join(f'{n} ({self.failed[n]})' for n in ours)}"
            )
        if self.source != (self._measured or source)():
            raise SystemExit("nothing is kept: the source of arker changed while it was measured")
        if self.quick or self.only is not None:
            return
        RESULTS.mkdir(exist_ok=True)
        kept = {
            "benchmark": self.name,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "machine": machine(),
            "source": self.source,
            "rounds": self.rounds,
            "versions": {
                name: version(name)
                for name in sorted({name for case in self.samples.values() for name in case})
                if name in RIVALS
            },
            "metrics": self.metrics,
            "samples": self.samples,
            "failed": self.failed,
            "targets": [vars(result) for result in results],
        }
        (RESULTS / f"{self.name}.json").write_text(json.dumps(kept, indent=1) + "\n")


def take_sample(case: Case, rival: str, server: Server, environment: dict[str, str]) -> dict[str, float]:
    """Return what `benchmarks.sample` measures in a fresh process."""
    request = json.dumps(case.sample | {"rival": rival, "url": server.url})
    output = run([sys.executable, "-m", "benchmarks.sample", request], environment)
    metrics: dict[str, float] = json.loads(output.splitlines()[-1])
    return metrics


def run(command: list[str], environment: dict[str, str]) -> str:
    """Return the standard output of a process that must succeed."""
    child = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=True
    )
    return child.stdout


def error_output(error: subprocess.SubprocessError) -> str:
    return str(getattr(error, "stderr", None) or "")


def reason(error: subprocess.SubprocessError) -> str:
    """Describe the failure in one line, with the status: a process that a signal ended has no output."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no result within {TIMEOUT} s"
    # Results may be published: remove the paths of this machine.
    lines = error_output(error).replace(f"{ROOT}/", "").strip().splitlines()
    return f"status {getattr(error, 'returncode', '?')}: {lines[-1] if lines else 'no message'}"


class Server:
    """The light server, in a process of its own."""

    def __init__(
        self, rivals: list[str], cert: Path | None, delay: float, cores: tuple[int, int] | None
    ) -> None:
        request = {"cert": str(cert) if cert else None, "delay": delay, "rivals": rivals}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.server", json.dumps(request)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        if cores is not None:
            os.sched_setaffinity(self.process.pid, {cores[0]})
        self.url = self.line()

    def line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the benchmark server ended with status {self.process.wait()}")
        return line.strip()

    def counted(self) -> dict[str, int]:
        """Return the numbers of requests and connections since the last call."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        counts: dict[str, int] = json.loads(self.line())
        return counts

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def pin() -> tuple[int, int] | None:
    """Pin this process, and so all samples, to one core: (the server's core, the samples' core)."""
    if len(CORES) < 2:
        return None
    os.sched_setaffinity(0, {CORES[-1]})
    return CORES[0], CORES[-1]


def clean_environment(folder: Path, trusted: bool) -> dict[str, str]:
    """Return an environment without proxies and settings of clients, that also trusts the authority of the run."""
    environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ} | {
        "HOME": str(folder)
    }
    if trusted:
        authorities = str(folder / "authorities.pem")
        environment |= {"SSL_CERT_FILE": authorities, "REQUESTS_CA_BUNDLE": authorities}
    return environment


def certificate(folder: Path) -> Path:
    """Make an authority and a certificate for the server; trust the authority beside the usual ones.

    The usual ones stay, since reading them is most of what a TLS context costs.
    """
    import certifi
    import trustme

    authority = trustme.CA()
    authorities = folder / "authorities.pem"
    authorities.write_bytes(Path(certifi.where()).read_bytes() + authority.cert_pem.bytes())
    chain = folder / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(chain))
    return chain


def installed(rival: str) -> bool:
    return version(rival) is not None


def version(rival: str) -> str | None:
    known = RIVALS[rival]
    if known.name == "arker 0.1.2":
        return "0.1.2" if ORIGINAL.is_dir() else None
    if not known.distribution:
        return f"Python {platform.python_version()}"
    try:
        return importlib.metadata.version(known.distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def source() -> str:
    """Return a digest of the measured code: figures of different code are not combined."""
    digest = hashlib.sha256()
    client = (
        file for file in (ROOT / "arker").rglob("*.py") if file.relative_to(ROOT).parts[1] not in SERVING
    )
    for file in sorted([*client, *(ROOT / "generated").rglob("*.py")]):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def whole_source() -> str:
    """Return a digest of the client and the deployment together."""
    digest = hashlib.sha256()
    for file in sorted([*(ROOT / "arker").rglob("*.py"), *(ROOT / "generated").rglob("*.py")]):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def judge(target: Target, samples: Samples) -> Result | None:
    """Say whether the target is met; None if one of the two was not measured."""
    ours = samples.get(target.case, {}).get("arker")
    theirs = samples.get(target.case, {}).get(target.against) if target.against else None
    if not ours or (target.against and not theirs):
        return None
    value = (
        ratio(ours, theirs, target.metric) if theirs else statistics.median(m[target.metric] for m in ours)
    )
    reached = value >= target.limit if target.at_least else value <= target.limit
    return Result(target.what, value, target.limit, target.at_least, reached)


def ratio(ours: list[dict[str, float]], theirs: list[dict[str, float]], metric: str) -> float:
    """Return the median over the rounds of the ratio within a round."""
    return statistics.median(a[metric] / b[metric] for a, b in zip(ours, theirs, strict=False))


def machine() -> dict[str, str]:
    """Describe this machine for readers, without anything that identifies it."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {
        "cpu": f"{model}, {os.cpu_count()} cores",
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
