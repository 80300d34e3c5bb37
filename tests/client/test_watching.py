"""Following a folder in which everything changes at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from arker import Arker, Computer, FileInfo
from arker.local.process.launcher import Deployment

_CHANGES = r"""
import os, random, shutil, time
random.seed({seed})
os.chdir("w")
def path(): return "/".join(random.choices("abcd", k=random.randrange(1, 4)))
until = time.monotonic() + 1.5
while time.monotonic() < until:
    one, two = path(), path()
    try:
        match random.randrange(8):
            case 0 | 1: os.makedirs(one, exist_ok=True)
            case 2: open(one, "a").write("x")
            case 3: os.rename(one, two)
            case 4: os.replace(one, two)
            case 5: os.symlink(two, one)
            case 6: os.chmod(one, random.choice([0o644, 0o755, 0o700]))
            case 7: shutil.rmtree(one) if os.path.isdir(one) and not os.path.islink(one) else os.unlink(one)
    except OSError:
        pass
    time.sleep(random.choice([0, 0, 0, 0.01]))
"""


def follow(vm: Computer) -> list[tuple[object, ...]]:
    """What is in the folder, as somebody knows who followed it from when it was empty."""
    for changes in vm.files.watch("w", since=[]):
        if any(change.path.endswith("w/end") for change in changes):
            return told(changes.entries)
    raise AssertionError


def told(entries: object) -> list[tuple[object, ...]]:
    found = []
    for info in entries:  # type: ignore[attr-defined]
        assert isinstance(info, FileInfo)
        found.append((info.path, info.kind, info.mode, info.target, info.size))
    return sorted(found, key=str)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_followers_know_what_is_there(deployment: Deployment, seed: int) -> None:
    with (
        Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as client,
        client.vm("arkuntu").fork() as vm,
        ThreadPoolExecutor(2) as pool,
    ):
        vm.files.mkdir("w")
        followers = [pool.submit(follow, vm) for _ in range(2)]
        vm.files.write("changes.py", _CHANGES.replace("{seed}", str(seed)))
        vm.run("python3 changes.py").check()
        # A follower that reads the whole folder while it changes knows it when it has heard of what changed meanwhile.
        vm.files.write("w/end", b"")
        known = [follower.result(60) for follower in followers]
        there = told(vm.files.list("w", recursive=True))
        assert known == [there, there]
