"""The benchmarks run and compare as documented. No timing is asserted here."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import harness, report  # noqa: E402


@pytest.mark.parametrize("kind", ["sequential", "sequential_async", "concurrent_async", "threads"])
@pytest.mark.parametrize("rival", ["arker", "httpx"])
def test_a_client_is_measured_in_a_fresh_process(kind: str, rival: str, tmp_path: Path) -> None:
    sample = {"kind": kind, "seconds": 0, "calls": 12, "workers": 3}
    with harness.Server(["arker", "httpx"], None, 0.0, None) as server:
        case = harness.Case("case", [rival], sample)
        metrics = harness.take_sample(case, rival, server, harness.clean_environment(tmp_path, trusted=False))
        counted = server.counted()
    assert metrics["calls"] >= 10
    # What a client claims to have called has arrived; `sequential` kinds warm up before they count.
    assert counted["requests"] >= metrics["calls"]


@pytest.mark.parametrize("operation", ["write_inline", "read_inline"])
def test_a_transfer_is_checked_and_measured(operation: str, tmp_path: Path) -> None:
    sample = {"kind": "transfer", "operation": operation, "file": str(tmp_path / "file")}
    with harness.Server(["arker"], None, 0.0, None) as server:
        case = harness.Case("case", ["arker"], sample)
        metrics = harness.take_sample(
            case, "arker", server, harness.clean_environment(tmp_path, trusted=False)
        )
    assert metrics["mb_per_s"] > 0
    assert metrics["cpu_ms"] > 0


def test_a_client_that_does_not_get_its_answer_fails_with_the_reason(tmp_path: Path) -> None:
    # This server answers nobody, so that raw httpx finds no JSON in the 404.
    with harness.Server([], None, 0.0, None) as server:
        case = harness.Case("case", ["httpx"], {"kind": "sequential", "seconds": 0.01})
        with pytest.raises(subprocess.CalledProcessError) as failure:
            harness.take_sample(case, "httpx", server, harness.clean_environment(tmp_path, trusted=False))
    assert "JSONDecodeError" in harness.reason(failure.value)


def test_a_process_that_a_signal_ended_is_reported_with_its_status() -> None:
    assert harness.reason(subprocess.CalledProcessError(-11, "x", stderr="")) == "status -11: no message"


def test_a_reason_holds_no_path_of_this_machine() -> None:
    error = subprocess.CalledProcessError(1, "x", stderr=f"ImportError: no y in ({ROOT}/arker/x.py)")
    assert harness.reason(error) == "status 1: ImportError: no y in (arker/x.py)"


@pytest.mark.parametrize("trouble", ["failed", "changed"])
def test_a_run_that_cannot_be_trusted_is_not_kept(
    trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    bench = harness.Bench("b", {"cpu": "CPU"}, argparse.Namespace(quick=False, rounds=1, rivals=None))
    bench.add("case", "arker", {"cpu": 1.0})
    if trouble == "failed":
        bench.failed["other case: arker"] = "status 1"
    else:
        bench.source = "of another time"
    with pytest.raises(SystemExit, match="nothing is kept"):
        bench.finish([])
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_went_well_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    # Nobody may change the source under this test.
    monkeypatch.setattr(harness, "source", lambda: "0123456789ab")
    bench = harness.Bench("b", {"cpu": "CPU"}, argparse.Namespace(quick=False, rounds=1, rivals=None))
    bench.add("case", "arker", {"cpu": 1.0})
    bench.finish([harness.Target("what", "case", "cpu", 2)])
    kept = json.loads((tmp_path / "b.json").read_text())
    assert kept["targets"] == [{"what": "what", "value": 1.0, "limit": 2, "at_least": False, "reached": True}]


def test_a_ratio_is_taken_within_rounds() -> None:
    # The machine was ten times slower in the second round; that must not show.
    ours = [{"cpu": 1.0}, {"cpu": 10.0}, {"cpu": 1.0}]
    theirs = [{"cpu": 2.0}, {"cpu": 20.0}, {"cpu": 2.0}]
    assert harness.ratio(ours, theirs, "cpu") == 0.5


@pytest.mark.parametrize(
    ("limit", "at_least", "reached"),
    [(0.6, False, True), (0.4, False, False), (0.4, True, True), (0.6, True, False)],
)
def test_a_target_is_reached_or_missed(limit: float, at_least: bool, reached: bool) -> None:
    samples = {"case": {"arker": [{"cpu": 1.0}], "httpx": [{"cpu": 2.0}]}}
    result = harness.judge(harness.Target("what", "case", "cpu", limit, "httpx", at_least), samples)
    assert result is not None
    assert (result.value, result.reached) == (0.5, reached)


def test_a_target_without_its_rival_is_not_judged() -> None:
    samples = {"case": {"arker": [{"cpu": 1.0}]}}
    assert harness.judge(harness.Target("what", "case", "cpu", 1, "httpx"), samples) is None


def test_the_report_names_what_was_missed_and_what_failed() -> None:
    kept = {
        "date": "2026-01-01",
        "machine": {"cpu": "a, 2 cores", "kernel": "Linux 6", "python": "CPython 3.11"},
        "source": "0123456789ab",
        "rounds": 1,
        "versions": {"arker": "1", "httpx": "2"},
        "metrics": {"cpu_us": "CPU, µs"},
        "samples": {"sync, TLS": {"arker": [{"cpu_us": 300.0}], "httpx": [{"cpu_us": 150.0}]}},
        "failed": {"sync, TLS: e2b": "status 1: no"},
        "targets": [{"what": "CPU", "value": 2.0, "limit": 0.8, "at_least": False, "reached": False}],
    }
    text = report.markdown({"small_call": kept})
    assert "| CPU | 2 | ≤ 0.8 | **missed** |" in text
    assert "source 0123456789ab" in text
    assert "| httpx | 150 (150 - 150) | 2 |" in text
    assert "* No figure: sync, TLS: e2b (status 1: no)." in text
