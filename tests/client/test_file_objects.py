"""Files of a computer, given to what takes a binary file."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from arker import Arker
from arker.local.process.launcher import Deployment


def test_a_file_is_one_for_the_standard_library(deployment: Deployment) -> None:
    with (
        Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as client,
        client.vm("arkuntu").fork() as vm,
    ):
        file: Any
        with vm.files.open("a.zip", "wb") as file, zipfile.ZipFile(file, "w") as archive:
            archive.writestr("lines", "one\nzwei: ü\n" * 1000)
        with vm.files.open("a.zip") as file, zipfile.ZipFile(file) as archive:
            assert archive.testzip() is None
            vm.files.write("lines", archive.read("lines"))
        with vm.files.open("lines") as file:
            assert io.TextIOWrapper(file, "utf-8").readlines() == ["one\n", "zwei: ü\n"] * 1000
        with vm.files.open("lines") as file:
            assert io.BufferedReader(file).read(5) == b"one\nz"
        vm.files.write("n.json", "[1, 2]")
        with vm.files.open("n.json") as file:
            assert json.load(file) == [1, 2]
