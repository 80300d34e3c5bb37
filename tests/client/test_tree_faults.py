"""Pushes and pulls that are hit at random moments: nothing is half, nothing is lost, and the next one completes it.

`ARKER_TEST_TREE_FAULTS=250` for the whole number, `ARKER_TEST_SEED=2` for others.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from arker import Arker
from arker.local.process.launcher import Deployment
from tests.client.conftest import Way
from tests.conftest import FreshDeployment
from tests.faults.proxy import CuttingProxy

FAULTS = int(os.environ.get("ARKER_TEST_TREE_FAULTS", "6"))
#: Part of the names of files that are not complete.
HIDDEN = ".arker-"
PROGRAM = """
import sys
from arker import Arker
from arker.local.process.launcher import Deployment
from tests.client.conftest import Way
way, url, key, vm, local = sys.argv[1:]
with Arker(key, url, global_url=url) as arker:
    files = arker.vm(vm).files
    print("ready", flush=True)
    files.push(local, "t", delete=True) if way == "push" else files.pull("t", local, delete=True)
"""

Tree = dict[str, bytes | None]


def local_tree(root: Path) -> Tree:
    """The contents of files by path; None for folders."""
    found: Tree = {}
    for path in root.rglob("*"):
        if HIDDEN not in str(path.relative_to(root)):
            found[str(path.relative_to(root))] = None if path.is_dir() else path.read_bytes()
    return found


def remote_tree(arker: Arker, vm: str, scratch: Path) -> Tree:
    """The same of the folder `t` of a computer, fetched by other means than a pull."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    computer = arker.vm(vm)
    until = time.monotonic() + 60
    # What a killed client has asked for may still be going on, so that the tree changes while it is read.
    while not (packed := computer.run("mkdir -p t && tar -cf tree.tar -C t .")).ok:
        assert time.monotonic() < until, packed
    computer.files.download("tree.tar", scratch / "tree.tar")
    subprocess.run(["tar", "-xf", "tree.tar"], cwd=scratch, check=True)
    (scratch / "tree.tar").unlink()
    return local_tree(scratch)


def change(rng: random.Random, root: Path) -> None:
    """Change some of a tree: small files, one of several parts, folders that come and go."""
    for _ in range(rng.randrange(1, 25)):
        path = root / f"d{rng.randrange(5)}" / f"f{rng.randrange(8)}"
        if rng.random() < 0.2 and path.exists():
            path.unlink()
        elif rng.random() < 0.05:
            shutil.rmtree(path.parent, ignore_errors=True)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(rng.randbytes(rng.choice([0, 10, 5_000, 300_000])))
    if rng.random() < 0.3:
        (root / "large").write_bytes(rng.randbytes(1 << 20) * 18)


def old_or_new(before: Tree, wanted: Tree, now: Tree) -> None:
    """Each entry is as it was or as it shall be."""
    for path in before.keys() | wanted.keys() | now.keys():
        old, new, there = before.get(path, "none"), wanted.get(path, "none"), now.get(path, "none")
        if there not in (old, new):
            # A folder is there before what is in it is removed, or after it was made.
            assert there is None or any(one.startswith(f"{path}/") for one in now), path


class Hit:
    """A transfer in a process of its own, and what hits it."""

    def __init__(
        self, rng: random.Random, deployment: FreshDeployment, vm: str, typical: float, without: str
    ) -> None:
        self.rng = rng
        self.without = without
        self.deployment = deployment
        self.vm = vm
        # By runs of a shell it takes longer.
        self.pause = rng.random() * typical * (4 if without else 1)

    def __call__(self, way: str, local: Path) -> None:
        kind = self.rng.choice(["client", "answer", "cut", "deployment"])
        with CuttingProxy(self.deployment.base_url, self.without) as proxy:
            arguments = [way, proxy.url, self.deployment.api_key, self.vm, str(local)]
            with subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as process:
                assert process.stdout is not None
                process.stdout.readline()
                if kind == "answer":
                    proxy.lose(self.rng.randrange(1, 6))
                    process.wait()
                    return
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(self.pause)
                if kind == "cut":
                    proxy.__exit__()
                elif kind == "deployment":
                    self.deployment.kill()
                process.send_signal(signal.SIGKILL)
        if kind == "deployment":
            self.deployment.start()


@pytest.mark.timeout(60 + 30 * FAULTS)
@pytest.mark.parametrize("without", ["", "/api/v1/local/"], ids=["endpoints", "shell"])
def test_no_file_is_partial_and_no_file_is_lost(
    fresh_deployment: Callable[..., FreshDeployment], tmp_path: Path, without: str
) -> None:
    rng = random.Random(int(os.environ.get("ARKER_TEST_SEED", "1")))
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    deployment = fresh_deployment().start()

    def client() -> Arker:
        return Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url)

    with client() as arker:
        vm = arker.vm("arkuntu").fork().id
    typical = 0.5
    for number in range(FAULTS // 2 if without else FAULTS):
        change(rng, source)
        wanted = local_tree(source)
        hit = Hit(rng, deployment, vm, typical, without)
        if number % 2 == 0:
            with client() as arker:
                before = remote_tree(arker, vm, tmp_path / "scratch")
            hit("push", source)
            with client() as arker:
                old_or_new(before, wanted, remote_tree(arker, vm, tmp_path / "scratch"))
                began = time.monotonic()
                arker.vm(vm).files.push(source, "t", delete=True)
                typical = time.monotonic() - began + 0.05
                assert remote_tree(arker, vm, tmp_path / "scratch") == wanted
        else:
            with client() as arker:
                arker.vm(vm).files.push(source, "t", delete=True)
            before = local_tree(target)
            hit("pull", target)
            old_or_new(before, wanted, local_tree(target))
            with client() as arker:
                arker.vm(vm).files.pull("t", target, delete=True)
            assert local_tree(target) == wanted
    with client() as arker:
        arker.vm(vm).delete()


def test_of_two_pushes_at_once_each_file_is_from_one(
    way: Way, deployment: Deployment, tmp_path: Path
) -> None:
    rng = random.Random(1)
    trees = [tmp_path / "a", tmp_path / "b"]
    for root, letter in zip(trees, (b"a", b"b"), strict=True):
        for number in rng.sample(range(40), 30):
            path = root / f"d{number % 4}" / f"f{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(letter * rng.choice([1, 5_000, 200_000]))
    (trees[0] / "x").mkdir()
    (trees[1] / "x").touch()
    expected = [local_tree(root) for root in trees]

    def push(root: Path) -> None:
        with Arker(deployment.api_key, way.url, global_url=way.url, contract=way.contract) as arker:
            arker.vm(vm.id).files.push(root, "t", delete=True)

    with (
        Arker(deployment.api_key, way.url, global_url=way.url, contract=way.contract) as arker,
        arker.vm("arkuntu").fork() as vm,
        ThreadPoolExecutor() as threads,
    ):
        list(threads.map(push, trees))
        assert not list(vm.files.list("t", glob=f"**/{HIDDEN}*"))
        for path, found in remote_tree(arker, vm.id, tmp_path / "scratch").items():
            assert found in [tree[path] for tree in expected if path in tree], path
        for root, tree in zip(trees, expected, strict=True):
            assert arker.vm(vm.id).files.push(root, "t", delete=True).skipped == {}
            assert remote_tree(arker, vm.id, tmp_path / "scratch") == tree


def test_of_two_writers_of_the_same_large_file_none_fails(way: Way, deployment: Deployment) -> None:
    data = bytes(9 << 20)
    ends: list[int] = []

    def other(done: int, total: int) -> None:
        """Put the common part into its place, as another writer that is faster does."""
        if not ends:
            vm.run("mv .arker-part-* large").check()
        ends.append(done)

    with (
        Arker(deployment.api_key, way.url, global_url=way.url, contract=way.contract) as arker,
        arker.vm("arkuntu").fork() as vm,
    ):
        vm.files.write("large", data, progress=other)
        assert [(info.name, info.size) for info in vm.files.list()] == [("large", len(data))]
        assert ends == [8 << 20, 8 << 20, len(data)]
