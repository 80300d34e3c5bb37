"""What `computer.files` refuses, and in which words: the same by endpoints and by runs of a shell."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from arker import ArkerError, AsyncFiles
from arker.local.process.launcher import Deployment
from tests.client.conftest import Way

from .test_filesystem import client

_SETUP: Final = """
mkdir d full shut ro; touch full/f f; printf 12345 > five; echo x > shut/f; echo x > ro/f; echo r > only
echo s > secret
ln -s five l; ln -s nowhere dead; ln -s loop loop; ln -s d ld; mkfifo p
chmod 0 shut secret; chmod 555 ro; chmod 444 only
"""

_Do = Callable[[AsyncFiles], Awaitable[object]]

#: What is done, the code of the error, and the end of its message.
_REFUSED: Final[list[tuple[_Do, str, str]]] = [
    (lambda f: f.read("none"), "not_found", "file not found: /home/user/none"),
    (lambda f: f.read("none", 3, 3), "not_found", "file not found: /home/user/none"),
    (lambda f: f.read("d"), "bad_request", "/home/user/d is a folder"),
    (lambda f: f.read("p"), "bad_request", "/home/user/p is not a regular file"),
    (lambda f: f.read("/dev/zero", 0, 5), "bad_request", "/dev/zero is not a regular file"),
    (lambda f: f.read("/proc/version"), "bad_request", "the files of /proc can be used inside the computer only"),
    (lambda f: f.read("secret"), "bad_request", "/home/user/secret: permission denied"),
    (lambda f: f.read("shut/f"), "bad_request", "/home/user/shut/f: permission denied"),
    (lambda f: f.read("five/x"), "bad_request", "/home/user/five/x: a part of the path is not a folder"),
    (lambda f: f.read("loop"), "bad_request", "/home/user/loop: too many links on the way"),
    (lambda f: f.read("n" * 256), "bad_request", ": a name in it is too long"),
    (lambda f: f.write("d", b""), "bad_request", "/home/user/d is a folder"),
    (lambda f: f.write("p", b""), "bad_request", "/home/user/p is not a regular file"),
    (lambda f: f.write("five/x", b""), "bad_request", "/home/user/five/x: a part of the path is not a folder"),
    (lambda f: f.write("ro/new", b""), "bad_request", "/home/user/ro/new: permission denied"),
    (lambda f: f.write("/usr/new", b""), "bad_request", "/usr/new: it is read-only"),
    (lambda f: f.write("only", b""), "bad_request", "/home/user/only is read-only"),
    (lambda f: f.write("f", b"", mode=0o10000), "bad_request", "which are 0 to 0o7777"),
    (lambda f: f.write("f", b"", if_absent=True), "already_exists", "/home/user/f exists"),
    (lambda f: f.write("f", b"", if_match="1-1-1"), "conflict", "/home/user/f was changed meanwhile"),
    (lambda f: f.write("none", b"", if_match="1-1-1"), "not_found", "file not found: /home/user/none"),
    (lambda f: f.append("p", b""), "bad_request", "/home/user/p is not a regular file"),
    (lambda f: f.append("ro/new", b""), "bad_request", "/home/user/ro/new: permission denied"),
    (lambda f: f.stat("dead"), "not_found", "file not found: /home/user/dead"),
    (lambda f: f.mkdir("f"), "already_exists", "/home/user/f exists"),
    (lambda f: f.mkdir("dead"), "already_exists", "/home/user/dead exists"),
    (lambda f: f.mkdir("five/x"), "bad_request", "/home/user/five/x: a part of the path is not a folder"),
    (lambda f: f.mkdir("none/x", parents=False), "not_found", "file not found: /home/user/none/x"),
    (lambda f: f.mkdir("d/.."), "bad_request", "/home/user/d/..: the last part of the path is not a name"),
    (lambda f: f.move("none", "x"), "not_found", "file not found: /home/user/none"),
    (lambda f: f.move("f", "none/x"), "not_found", "file not found: /home/user/none/x"),
    (lambda f: f.move("f", "five", replace=False), "already_exists", "/home/user/five exists"),
    (lambda f: f.move("f", "d"), "bad_request", "/home/user/d: it is a folder"),
    (lambda f: f.move("d", "f"), "bad_request", "/home/user/f: a part of the path is not a folder"),
    (lambda f: f.move("d", "full"), "already_exists", "/home/user/full exists"),
    (lambda f: f.move("full", "full/x"), "bad_request", "/home/user/full/x is inside of what would be put there"),
    (lambda f: f.move("f", "ro/x"), "bad_request", "/home/user/ro/x: permission denied"),
    (lambda f: f.move("/", "x"), "bad_request", "/: the last part of the path is not a name"),
    (lambda f: f.copy("full", "x"), "bad_request", "/home/user/full is a folder; copy it recursively"),
    (lambda f: f.copy("f", "d"), "already_exists", "/home/user/d exists"),
    (lambda f: f.copy("p", "x"), "bad_request", "/home/user/p is not a regular file"),
    (lambda f: f.copy("secret", "x"), "bad_request", "/home/user/secret: permission denied"),
    (lambda f: f.copy("f", "none/x"), "not_found", "file not found: /home/user/none/x"),
    (lambda f: f.remove("full"), "bad_request", "/home/user/full is a folder that is not empty"),
    (lambda f: f.remove("ro", recursive=True), "bad_request", "/home/user/ro: permission denied"),
    (lambda f: f.remove("~", recursive=True), "bad_request", "/home/user is a folder that cannot be removed"),
    (lambda f: f.remove("/usr/lib", recursive=True), "bad_request", "/usr/lib is a folder that cannot be removed"),
    (lambda f: f.remove("five/x", missing_ok=True), "bad_request", ": a part of the path is not a folder"),
    (lambda f: f.chmod("dead", 0o600), "not_found", "file not found: /home/user/dead"),
    (lambda f: f.chmod("f", -1), "bad_request", "which are 0 to 0o7777"),
    (lambda f: f.symlink("x", "dead"), "already_exists", "/home/user/dead exists"),
    (lambda f: f.symlink("", "x"), "bad_request", "the target of a link is a path without NUL characters"),
    (lambda f: f.grep("(", "."), "bad_request", "grep does not take the pattern ("),
    (lambda f: f.grep("x", "p"), "bad_request", "/home/user/p is not a regular file"),
    (lambda f: f.grep("x", "secret"), "bad_request", "/home/user/secret: permission denied"),
]  # fmt: skip


@pytest.mark.slow
async def test_what_is_refused(way: Way, deployment: Deployment) -> None:
    async with client(way, deployment) as arker, await arker.vm("arkuntu").fork() as vm:
        (await vm.run(_SETUP)).check()
        before = [info async for info in vm.files.list(recursive=True)]
        for do, code, message in _REFUSED:
            with pytest.raises(ArkerError, match=f"{re.escape(message)}$") as refused:
                await do(vm.files)
            assert refused.value.code == code
        assert [info async for info in vm.files.list(recursive=True)] == before


async def test_what_is_not_refused(way: Way, deployment: Deployment) -> None:
    async with client(way, deployment) as arker, await arker.vm("arkuntu").fork() as vm:
        (await vm.run(_SETUP)).check()
        files = vm.files
        for path in ("dead", "loop", "five/x", "none"):
            assert not await files.exists(path)
            assert not await vm.path(path).is_dir()
        assert [match.path for match in await files.grep("[0-9]", "five")] == ["/home/user/five"]
        assert [match.path for match in await files.grep("12345", ".")] == ["/home/user/five"]
        await files.move("f", "f")
        await files.move("d", "d")
        await files.copy("f", "f")
        await files.mkdir("ld")
        await vm.run("chmod 700 shut; chmod 600 secret")
        odd = os.fsdecode(b"caf\xe9")
        await files.write(f"{odd}/x", b"12345")
        assert [info.name for info in await files.find(".", name=odd)] == [odd]
        assert [match.path for match in await files.grep("12345", odd)] == [f"/home/user/{odd}/x"]
        # A pipe goes along with its folder; nobody waits for a writer.
        await files.copy(".", "/tmp/all", recursive=True)
        assert (await files.stat("/tmp/all/p")).kind == "other"
        await files.move("p", "/tmp/p")
        assert (await files.stat("/tmp/p")).kind == "other"
        for path in ("d", "/tmp/p"):
            with pytest.raises(ArkerError, match=r"is a folder|not a regular file"):
                async with files.open(path):
                    pass
        assert (await vm.run("test ! -e p && stat -c %a only")).stdout == b"444\n"
