"""A tree of 10 000 files (40 MB) to a computer and back, against `tar` with zstd (else gzip) through a socket.

Each round does all of them one after another, so that they share the machine's mood; a figure is the median of the
rounds, and a ratio the median of the ratios within a round.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from arker import Arker


def plant(root: Path, files: int, size: int) -> None:
    """Files that compress to about half, a hundred to a folder."""
    for number in range(files):
        folder = root / f"d{number // 100:03}"
        folder.mkdir(exist_ok=True, parents=True)
        (folder / f"f{number:05}.txt").write_bytes(os.urandom(size // 2).hex().encode()[:size])


def through_a_socket(source: Path, target: Path) -> None:
    """The rival: tar here, a connection, tar there."""
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


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=4_000)
    given = parser.parse_args()
    figures: dict[str, list[float]] = {}
    ratios: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name, Arker.local() as arker:
        folder = Path(name)
        plant(folder / "tree", given.files, given.size)
        for number in range(given.rounds):
            with arker.vm("arkuntu").fork() as computer:
                files = computer.files
                computer.run("true")
                back = folder / f"back{number}"
                took = {
                    "tar": timed(lambda n=number: through_a_socket(folder / "tree", folder / f"tar{n}")),
                    "push": timed(lambda f=files: f.push(folder / "tree", "t")),
                    "push again": timed(lambda f=files: f.push(folder / "tree", "t")),
                    "pull": timed(lambda f=files, b=back: f.pull("t", b)),
                    "pull again": timed(lambda f=files, b=back: f.pull("t", b)),
                }
            for what, seconds in took.items():
                figures.setdefault(what, []).append(seconds)
                ratios.setdefault(what, []).append(seconds / took["tar"])
            shutil.rmtree(back)
            shutil.rmtree(folder / f"tar{number}")
    for what in figures:
        print(
            f"{what:12} {statistics.median(figures[what]):6.2f} s  {statistics.median(ratios[what]):5.2f} of tar"
        )


if __name__ == "__main__":
    main()
