"""A computer that has written as much as it may: the same by endpoints and by runs of a shell."""

from __future__ import annotations

import os

import pytest

from arker import Arker, ArkerError
from arker.local.process.launcher import launch

from .conftest import Way


@pytest.mark.slow
def test_what_does_not_fit() -> None:
    with launch(limits={"disk": 8_000_000}) as deployment:
        for name in ("endpoints", "shell"):
            with (
                Way(deployment, name) as way,
                Arker(deployment.api_key, way.url, global_url=way.url) as arker,
                arker.vm("arkuntu").fork() as vm,
            ):
                files = vm.files
                # A shell copies what it gets from another file: for a moment there are both.
                files.write("a", os.urandom(3_000_000))
                for path in ("a", "b"):
                    with pytest.raises(ArkerError, match="remove files in it") as full:
                        files.write(path, os.urandom(6_000_000))
                    assert full.value.code == "payload_too_large"
                with pytest.raises(ArkerError, match="remove files in it"):
                    files.append("a", os.urandom(6_000_000))
                assert files.stat("a").size == 3_000_000
                assert not files.exists("b")
                files.remove("a")
                files.write("b", os.urandom(3_000_000))
                assert [info.name for info in files.list()] == ["b"]
