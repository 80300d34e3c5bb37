"""Commands in the engine of this tree beside those in the engine of another revision:
`python -m benchmarks.revisions REVISION [--blocks N]`.

Both engines live at the same time and take turns, a block of one command after the other; a ratio is the median over
the blocks of the ratio within a pair of blocks, so that changes of the machine affect both. Below 1 this tree needs
less. Nothing is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {
    "echo": "echo hello",
    "/bin/true": "/bin/true",
    "a variable": "x=$((x + 1))",
    "an expansion": "echo $x",
    "a folder": "cd /tmp",
    "a pipe": "echo a | cat",
    "a loop": "for i in 1 2 3; do echo $i; done",
    "an export": "export A=b",
    "a function": "f() { echo f; }",
    "an option": "shopt -s extglob",
    "a trap": "trap 'echo bye' USR1",
    "python": "python3 -c 'print(1)'",
    "16 KB": f": {'x' * 16384}",
}
#: Commands of a block: enough for a tenth of them to be meaningful.
BLOCK = 40


async def serve(place: Path) -> None:
    """Answer each line of standard input, a command and how often to run it, with what each time took."""
    from arker.local.engine import BubblewrapEngine

    engine = BubblewrapEngine(place)
    if hasattr(engine, "run"):
        run: Any = engine.run
    else:
        from functools import partial

        from arker.local.engine import run as run_command

        run = partial(run_command, engine)
    await engine.start()
    try:
        await engine.create("a", "arkuntu")
        for line in iter(sys.stdin.readline, ""):
            command, count = json.loads(line)
            await run("a", "0", "true")
            # Work that follows the last command of the previous block does not count for this one.
            await asyncio.sleep(0.01)
            taken = []
            for _ in range(count):
                began = time.perf_counter()
                outcome = await run("a", "0", command)
                taken.append(time.perf_counter() - began)
                if outcome.exit_code or outcome.stderr:
                    raise RuntimeError(f"{command!r}: {outcome}")
            sys.stdout.write(json.dumps(taken) + "\n")
            sys.stdout.flush()
    finally:
        await engine.close()


def _serve(place: Path) -> None:
    from arker.local.engine import drop_privileges

    if os.geteuid() == 0:
        drop_privileges(place)
    asyncio.run(serve(place))


@contextlib.contextmanager
def served(tree: Path, place: Path) -> Iterator[subprocess.Popen[str]]:
    """An engine of the package in a folder."""
    place.mkdir()
    child = subprocess.Popen(
        # Not by its name in the package: another tree may not have it. `-P`: beside it there is an `http`.
        [sys.executable, "-P", __file__, "--serve", str(place)],
        env={**os.environ, "PYTHONPATH": str(tree)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield child
    finally:
        assert child.stdin is not None
        child.stdin.close()
        child.wait(30)


def ask(child: subprocess.Popen[str], command: str) -> list[float]:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps([command, BLOCK]) + "\n")
    child.stdin.flush()
    line = child.stdout.readline()
    if not line:
        raise SystemExit(f"the engine ended at {command!r}")
    return sorted(second * 1000 for second in json.loads(line))


def _p10(ordered: list[float]) -> float:
    return ordered[len(ordered) // 10]


_p50, _mean = statistics.median, statistics.fmean


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("revision", help="a commit of this repository, or a folder with a tree of it")
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    arguments = parser.parse_args()

    from benchmarks.timing import folder

    with folder() as place, contextlib.ExitStack() as stack:
        other = Path(arguments.revision)
        if not other.is_dir():
            other = place / "tree"
            other.mkdir(mode=0o755)
            archive = subprocess.run(
                ["git", "archive", arguments.revision, "arker"], cwd=ROOT, capture_output=True, check=True
            )
            subprocess.run(["tar", "-x", "-C", other], input=archive.stdout, check=True)
        ours = stack.enter_context(served(ROOT, place / "ours"))
        theirs = stack.enter_context(served(other, place / "theirs"))
        print(f"{'':<14}{'p10, ms':>18}{'p50, ms':>18}{'p10':>8}{'p50':>8}{'mean':>8}")
        for name in arguments.only:
            blocks = []
            for turn in range(arguments.blocks):
                pair = [ours, theirs][:: 1 if turn % 2 else -1]
                answers = {child.pid: ask(child, COMMANDS[name]) for child in pair}
                blocks.append((answers[ours.pid], answers[theirs.pid]))
            figures = [[(at(mine), at(other)) for mine, other in blocks] for at in (_p10, _p50, _mean)]
            ratios = [statistics.median(mine / other for mine, other in figure) for figure in figures]
            shown = "".join(
                f"{f'{_p50([m for m, _ in pairs]):.3f} / {_p50([o for _, o in pairs]):.3f}':>18}"
                for pairs in figures[:2]
            )
            print(f"{name:<14}{shown}{''.join(f'{ratio:>8.2f}' for ratio in ratios)}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        _serve(Path(sys.argv[2]))
    else:
        main()
