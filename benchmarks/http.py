"""The embedded deployment over HTTP, by the client, both on this machine: what an operation takes, p50 and p99.

"subprocess" does the same without a sandbox and without HTTP: a `bash -c` for each command, a synced file.
"""

from __future__ import annotations

import time

from benchmarks.harness import Bench, options, whole_source
from benchmarks.timing import FLOOD, METRICS, SMALL, Figures, folder, limits, subprocesses, timed

TARGETS = (
    *limits("fork of 1 MB", 5, 15),
    *limits("new computer to its first answer", 15, 40),
    *limits("echo", 2.5, 6),
    *limits("write of 1 KB", 3, 8),
    *limits("read of 1 KB", 3, 8),
    *limits("delete", 2, 5),
)
#: Seconds after which a computer is at rest: less than the default, as the benchmark waits for it.
IDLE = 1.0


def sample(count: int) -> Figures:
    """One round, on a deployment of its own."""
    from arker_api.regional.api.computers import get_vm

    from arker import Arker, Computer
    from arker.local.process.launcher import launch

    with (
        folder() as place,
        launch(place / "state", limits={"idle": IDLE}) as deployment,
        Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as arker,
    ):
        base = arker.vm("arkuntu")
        few = max(2, count // 10)
        made: list[Computer] = []

        def first_answer() -> None:
            computer = base.fork()
            made.append(computer)
            computer.run("echo hello")

        def written() -> list[Computer]:
            """Computers that have written 1 MB since they were last forked."""
            computers = base.fork(count=few).all_or_none()
            for computer in computers:
                computer.run("head -c 1000000 /dev/urandom >x")
            return computers

        def read() -> None:
            if computer.sync.read_file("/home/user/small") != SMALL:
                raise RuntimeError("another content was read than was written")

        parents = written()
        for parent in parents:
            while arker.call(get_vm, parent.id).state != "idle":
                time.sleep(0.05)
        resting, live = iter(parents), iter(written())
        figures: Figures = {
            "fork beside an idle shell": {"arker": timed(few, lambda: made.append(next(live).fork()))},
            "fork of 1 MB": {"arker": timed(few, lambda: made.append(next(resting).fork()))},
            "new computer to its first answer": {"arker": timed(few, first_answer)},
        }
        computer = base.fork()
        for case, work in (
            ("echo", lambda: computer.run("echo hello")),
            ("/bin/true", lambda: computer.run("/bin/true")),
            ("write of 1 KB", lambda: computer.sync.write_file("/home/user/small", SMALL)),
            ("read of 1 KB", read),
        ):
            work()
            figures[case] = {"arker": timed(count, work)}
        figures["100 MB of output"] = {"arker": timed(3, lambda: computer.run(FLOOD))}
        doomed = iter(made)
        figures["delete"] = {"arker": timed(len(made), lambda: next(doomed).delete())}
        beside = subprocesses(count, place)
    return {case: {**found, **beside.get(case, {})} for case, found in figures.items()}


def main() -> None:
    bench = Bench("http", METRICS, options(__doc__), rounds=3, measured=whole_source)
    for _ in range(bench.rounds):
        for case, found in sample(20 if bench.quick else 1000).items():
            for who, metrics in found.items():
                bench.add(case, who, metrics)
    bench.finish(TARGETS)


if __name__ == "__main__":
    main()
