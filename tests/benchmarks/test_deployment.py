"""The benchmarks of the deployment run and measure what they claim. No timing is asserted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import engine, http, streams, timing, trees  # noqa: E402
from benchmarks.harness import Target  # noqa: E402


def test_percentiles_are_of_the_nearest_rank() -> None:
    assert timing.percentiles([0.3, 0.1, 0.2]) == {"p50_ms": 200.0, "p99_ms": 300.0}
    assert timing.percentiles(range(1, 1001)) == {"p50_ms": 500_000, "p99_ms": 990_000}
    assert timing.percentiles([0.1]) == {"p50_ms": 100.0, "p99_ms": 100.0}


def check(figures: timing.Figures, targets: tuple[Target, ...], left_out: set[str]) -> None:
    for target in targets:
        if target.case not in left_out:
            assert figures[target.case]["arker"][target.metric] > 0, target
    assert all(
        value > 0
        for case, found in figures.items()
        for metrics in found.values()
        for key, value in metrics.items()
        if key != "memory_mb"  # of a few computers at rest, lost in what else goes on
    )


def test_a_round_of_the_engine() -> None:
    with timing.folder() as place:
        child = subprocess.run(
            [sys.executable, "-m", "benchmarks.engine", "--sample", str(place), "--quick"],
            cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
    assert child.returncode == 0, child.stderr
    slow = {f"fork of {what}" for what, _, count, _ in engine.FORKS if count < 40}
    check(json.loads(child.stdout.splitlines()[-1]), engine.TARGETS, slow | {"100 live"})


def test_a_round_over_http() -> None:
    check(http.sample(5), http.TARGETS, set())


def test_a_round_of_trees() -> None:
    figures = trees.sample(quick=True)
    for target in trees.TARGETS:
        assert figures[target.case]["arker"][target.metric] > 0
        assert target.against is None or figures[target.case][target.against][target.metric] > 0


def test_a_round_of_streams() -> None:
    figures = streams.sample(quick=True)
    for target in streams.TARGETS:
        assert target.metric in figures[target.case]["arker"], target
        assert target.against is None or target.metric in figures[target.case][target.against], target
    for found in figures.values():
        for metrics in found.values():
            assert all(value > 0 for name, value in metrics.items() if not name.startswith("more_"))


def test_commands_beside_another_revision() -> None:
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.revisions", str(ROOT), "--blocks", "1", "--only", "echo"],
        cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    name, *figures = child.stdout.splitlines()[1].replace("/", "").split()
    assert (name, len(figures)) == ("echo", 7)
    assert all(float(figure) > 0 for figure in figures)


@pytest.mark.parametrize("failing", ["exit 3", "no-such-command"])
def test_a_failed_command_gives_no_figure(failing: str) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        timing.shell(failing)()
