"""Layers are copied and removed without following links, even if entries are swapped meanwhile."""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from arker.local.engine import trees

from .harness import Box

pytestmark = pytest.mark.on_disk

_EXCHANGE = 2


def _exchanging(a: Path, b: Path, until: threading.Event) -> None:
    """Exchange two entries over and over, each time in one step."""
    libc = ctypes.CDLL(None)
    while not until.is_set():
        libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), _EXCHANGE)
        # Its owner takes the permissions away again.
        with contextlib.suppress(OSError):
            for path in (a, b):
                if not path.is_symlink():
                    path.chmod(0o077)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "file"])
@pytest.mark.parametrize("operation", ["copy", "remove"])
async def test_no_operation_follows_a_link_that_comes_in_between(box: Box, kind: str, operation: str) -> None:
    victim = box.store / "victim"
    victim.mkdir()
    (victim / "secret").write_text("secret")
    if kind == "file":
        victim = victim / "secret"
    victim.chmod(0o100 if kind == "folder" else 0o000)
    until = time.monotonic() + 1.5
    copies: dict[str, Callable[[Path], None]] = {
        "copy": lambda tree: trees.copy_tree(tree, tree.with_name("copy")),
        "remove": trees.remove_tree,
    }
    rounds = 0
    while time.monotonic() < until:
        tree = box.store / "tree"
        (tree / "d").mkdir(parents=True)
        if kind == "folder":
            (tree / "d" / "a").mkdir(0o077)
        else:
            (tree / "d" / "a").touch(0o077)
        (tree / "d" / "b").symlink_to(victim)
        stop = threading.Event()
        thread = threading.Thread(target=_exchanging, args=(tree / "d" / "a", tree / "d" / "b", stop))
        thread.start()
        try:
            for _ in range(20):
                rounds += 1
                with contextlib.suppress(OSError):
                    copies[operation](tree)
                trees.remove_tree(box.store / "copy")
        finally:
            stop.set()
            thread.join()
        for name in ("tree", "tree.bin", "copy"):
            trees.remove_tree(box.store / name)
        assert stat.S_IMODE(victim.stat().st_mode) == (0o100 if kind == "folder" else 0), rounds


async def test_closed_folders_and_files_are_copied_and_stay_closed(box: Box) -> None:
    tree = box.store / "tree"
    (tree / "closed").mkdir(parents=True)
    (tree / "closed" / "file").write_text("kept")
    (tree / "closed" / "file").chmod(0)
    (tree / "closed").chmod(0o077)
    trees.copy_tree(tree, box.store / "copy")
    for root in (tree, box.store / "copy"):
        assert stat.S_IMODE((root / "closed").stat().st_mode) == 0o077
        (root / "closed").chmod(0o700)
        assert stat.S_IMODE((root / "closed" / "file").stat().st_mode) == 0
        (root / "closed" / "file").chmod(0o400)
        assert (root / "closed" / "file").read_text() == "kept"


async def test_a_link_is_removed_rather_than_what_it_leads_to(box: Box) -> None:
    (box.store / "kept").mkdir()
    (box.store / "kept" / "file").write_text("kept")
    for target in ("kept", "nowhere"):
        (box.store / "link").symlink_to(target)
        trees.remove_tree(box.store / "link")
        assert not (box.store / "link").is_symlink()
    assert (box.store / "kept" / "file").read_text() == "kept"
