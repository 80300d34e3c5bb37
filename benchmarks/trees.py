"""A tree of 10 000 files (40 MB) to a computer and back, by the client on the same machine.

Beside it: `tar` with zstd (else gzip) through a socket to another `tar`. "again" is the same tree once more, when
nothing differs. Everything is in the folder for temporary files or, where that is said, in a file system in memory.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from arker import Arker
from benchmarks.harness import Bench, Target, options, whole_source
from benchmarks.timing import folder

METRICS = {"seconds": "s"}
#: Where the trees are, and what names of cases end with.
PLACES = ((None, ""), (Path("/dev/shm"), ", in memory"))
TARGETS = (
    Target("push of a tree, of tar through a socket", "push", "seconds", 1.5, "tar"),
    Target("pull of a tree, of tar through a socket", "pull", "seconds", 1.5, "tar"),
    Target("push of a tree in memory, of tar through a socket", "push, in memory", "seconds", 1.5, "tar"),
    Target("pull of a tree in memory, of tar through a socket", "pull, in memory", "seconds", 1.5, "tar"),
    Target("push of an unchanged tree, s", "push again", "seconds", 0.5),
    Target("pull of an unchanged tree, s", "pull again", "seconds", 0.5),
)


def plant(root: Path, files: int, size: int) -> None:
    """Files that compress to about half, a hundred to a folder."""
    for number in range(files):
        folder = root / f"d{number // 100:03}"
        folder.mkdir(exist_ok=True, parents=True)
        (folder / f"f{number:05}.txt").write_bytes(os.urandom(size // 2).hex().encode()[:size])


def through_a_socket(source: Path, target: Path) -> None:
    """Measure the rival: tar on both sides of a connection."""
    target.mkdir()
    program = "zstd" if shutil.which("zstd") else "gzip"
    with socket.create_server(("127.0.0.1", 0)) as server:

        def receive() -> None:
            connection, _ = server.accept()
            with connection:
                subprocess.run(
                    ["tar", f"--{program}", "-xf", "-", "-C", target], stdin=connection, check=True
                )

        receiver = threading.Thread(target=receive)
        receiver.start()
        with socket.create_connection(server.getsockname()) as connection:
            command = ["tar", f"--{program}", "-cf", "-", "-C", source, "."]
            subprocess.run(command, stdout=connection, check=True)
            connection.shutdown(socket.SHUT_WR)
            receiver.join()


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Return the seconds that it takes."""
    began = time.perf_counter()
    work()
    return {"seconds": time.perf_counter() - began}


def sample(*, quick: bool) -> dict[str, dict[str, dict[str, float]]]:
    """One round of each, one after another."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for parent, where in PLACES:
        with folder(parent) as place, Arker.local(place / "state") as arker:
            plant(place / "tree", 100 if quick else 10_000, 4_000)
            with arker.vm("arkuntu").fork() as computer:
                files = computer.files
                computer.run("true")
                tar = timed(lambda: through_a_socket(place / "tree", place / "tar"))
                push = partial(files.push, place / "tree", "t")
                pull = partial(files.pull, "t", place / "back")
                found |= {
                    f"push{where}": {"arker": timed(push), "tar": tar},
                    f"pull{where}": {"arker": timed(pull), "tar": tar},
                    f"push again{where}": {"arker": timed(push)},
                    f"pull again{where}": {"arker": timed(pull)},
                }
    return found


def main() -> None:
    bench = Bench("trees", METRICS, options(__doc__), rounds=5, measured=whole_source)
    bench.collect(partial(sample, quick=bench.quick))
    bench.finish(TARGETS)


if __name__ == "__main__":
    main()
