"""Turns the stored results into a table and a plot: `python -m benchmarks.report`."""

from __future__ import annotations

import importlib
import json
import statistics
from typing import Any

from benchmarks.harness import RESULTS, ratio
from benchmarks.rivals import LEFT_OUT

#: In the order of the report.
BENCHMARKS = (
    "small_call",
    "concurrent_async",
    "threads",
    "transfers",
    "startup",
    "engine",
    "http",
    "streams",
    "trees",
)
#: What the plot shows: benchmark, case, metric, title. Less is better in all of them.
PLOTTED = (
    ("small_call", "sync, TLS", "cpu_us", "CPU of a sync call over TLS, µs"),
    ("small_call", "async, TLS", "cpu_us", "CPU of an async call over TLS, µs"),
    ("concurrent_async", "TLS", "cold_s", "1 000 calls at once over TLS, first time, s"),
    ("concurrent_async", "TLS", "warm_s", "1 000 calls at once over TLS, again, s"),
    ("transfers", "upload, TLS", "peak_mb", "100 MB from a file, peak memory, +MB"),
    ("transfers", "download, TLS", "cpu_ms", "100 MB to a file, CPU, ms"),
    ("startup", "process, TLS", "wall_ms", "process start to first answer to exit, ms"),
    ("engine", "fork of 1 GB", "p50_ms", "fork of a computer with 1 GB, ms"),
    ("engine", "/bin/true", "p50_ms", "/bin/true in a computer, ms"),
    ("http", "echo", "p50_ms", "echo in a computer, by the client over HTTP, ms"),
)

Kept = dict[str, Any]


def main() -> None:
    kept = {
        name: json.loads(path.read_text())
        for name in BENCHMARKS
        if (path := RESULTS / f"{name}.json").exists()
    }
    if not kept:
        raise SystemExit(f"nothing in {RESULTS}: run `python -m benchmarks` first")
    (RESULTS / "README.md").write_text(markdown(kept))
    plot(kept)
    print(f"wrote {RESULTS / 'README.md'} and its plots")


def markdown(kept: dict[str, Kept]) -> str:
    return "\n".join(
        [
            "# Benchmark results",
            "",
            "Written by `make bench`; do not edit. Each figure is the median of fresh processes, with the",
            "smallest and the largest in brackets. *Ratio* is Arker's figure over the other's: the median of the",
            "ratios within each round, so that changes of the machine affect both. Below 1 Arker needs less; for",
            "MB/s, above 1 Arker moves more.",
            "",
            "![Overview](overview.svg)",
            "",
            "![Forking beside copying](forks.svg)",
            "",
            "## Targets",
            "",
            *targets(kept),
            *[line for name, one in kept.items() for line in section(name, one)],
            "## Left out",
            "",
            *[f"* {name}: {why}." for name, why in LEFT_OUT.items()],
            "* HTTP/2: the benchmarks' server speaks HTTP/1.1 only, also to clients that prefer HTTP/2.",
            "",
        ]
    )


def targets(kept: dict[str, Kept]) -> list[str]:
    rows = [
        f"| {target['what']} | {target['value']:.3g} | {'≥' if target['at_least'] else '≤'} "
        f"{target['limit']:.3g} | {'reached' if target['reached'] else '**missed**'} |"
        for one in kept.values()
        for target in one["targets"]
    ]
    return ["| figure | measured | target | |", "|---|---|---|---|", *rows, ""]


def section(name: str, one: Kept) -> list[str]:
    documentation = (importlib.import_module(f"benchmarks.{name}").__doc__ or "").strip()
    machine, versions = one["machine"], one["versions"]
    lines = [f"## {name.replace('_', ' ').capitalize()}", "", documentation, ""]
    lines += [
        f"{one['date']}, {one['rounds']} rounds; {machine['cpu']}, {machine['kernel']}, {machine['python']}; "
        f"source {one['source']}.",
        "",
    ]
    lines += ["Versions: " + ", ".join(f"{rival} {version}" for rival, version in versions.items()) + ".", ""]
    for case, samples in one["samples"].items():
        lines += table(case, samples, one["metrics"])
    lines += [f"* No figure: {what} ({why})." for what, why in one["failed"].items()]
    return [*lines, ""] if one["failed"] else lines


def table(case: str, samples: dict[str, list[dict[str, float]]], metrics: dict[str, str]) -> list[str]:
    shown = {
        key: label
        for key, label in metrics.items()
        if any(key in s for taken in samples.values() for s in taken)
    }
    head = "".join(f" {label} | ratio |" for label in shown.values())
    lines = [f"**{case}**", "", f"| client |{head}", "|---|" + "---:|---:|" * len(shown)]
    ours = samples.get("arker")
    first = next(iter(shown))
    for rival, taken in sorted(
        samples.items(), key=lambda item: statistics.median(s[first] for s in item[1])
    ):
        cells = [cell(taken, ours if rival != "arker" else None, key) for key in shown]
        lines.append(f"| {rival} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def cell(taken: list[dict[str, float]], ours: list[dict[str, float]] | None, metric: str) -> str:
    if not all(metric in sample for sample in taken):
        return " | "
    values = [sample[metric] for sample in taken]
    spread = f"{number(statistics.median(values))} ({number(min(values))} - {number(max(values))})"
    return f"{spread} | {f'{ratio(ours, taken, metric):.3g}' if ours else ''}"


def number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def plot(kept: dict[str, Kept]) -> None:
    import matplotlib

    matplotlib.use("svg")
    # So that the same figures give the same file.
    matplotlib.rcParams |= {"svg.hashsalt": "arker", "svg.fonttype": "none"}
    from matplotlib import pyplot

    panels = [panel for panel in PLOTTED if panel[1] in kept.get(panel[0], {}).get("samples", {})]
    if not panels:
        return
    figure, axes = pyplot.subplots(
        len(panels), 1, figsize=(8, 1.9 * len(panels)), squeeze=False, layout="constrained"
    )
    for axis, (name, case, metric, title) in zip(axes[:, 0], panels, strict=True):
        medians = {
            rival: statistics.median(sample[metric] for sample in taken)
            for rival, taken in kept[name]["samples"][case].items()
        }
        ordered = sorted(medians, key=lambda rival: -medians[rival])
        colours = ["#d9480f" if rival == "arker" else "#adb5bd" for rival in ordered]
        # Some clients are slower by orders of magnitude. Long bars are cut, as a logarithmic axis would make short bars
        # look long.
        limit = 4 * sorted(medians.values())[-2] if len(medians) > 1 else max(medians.values())
        bars = axis.barh(ordered, [min(medians[rival], limit) for rival in ordered], color=colours)
        labels = [
            number(medians[rival]) + (" (bar cut)" if medians[rival] > limit else "") for rival in ordered
        ]
        axis.bar_label(bars, labels, padding=3, fontsize=8)
        axis.margins(x=0.12)
        axis.set_title(title, loc="left", fontsize=10)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / "overview.svg", metadata={"Date": None})
    if "engine" in kept:
        plot_forks(kept["engine"]["samples"], pyplot.subplots(1, 2, figsize=(8, 3), layout="constrained"))


def plot_forks(samples: dict[str, dict[str, list[dict[str, float]]]], place: tuple[Any, Any]) -> None:
    """Plot how long a fork takes, over the size of the computer, on a logarithmic axis."""
    figure, axes = place
    for axis, unit, title in zip(axes, ("B", "files"), ("bytes", "files"), strict=True):
        cases = [case for case in samples if case.startswith("fork of ") and case.endswith(unit)]
        for rival, label, colour in (("copy", "cp -a", "#adb5bd"), ("arker", "fork", "#d9480f")):
            found = [
                (case.removeprefix("fork of ").removesuffix(" files"), samples[case][rival])
                for case in cases
                if rival in samples[case]
            ]
            medians = [statistics.median(sample["p50_ms"] for sample in taken) for _, taken in found]
            axis.plot([size for size, _ in found], medians, "o-", color=colour, label=label)
        axis.set_yscale("log")
        axis.set_title(f"ms, over the number of {title}", loc="left", fontsize=10)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(fontsize=8, frameon=False)
    figure.savefig(RESULTS / "forks.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
