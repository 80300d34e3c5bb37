"""The live smoke test: fork, run, sync, branch, list and delete, each wire call shown as it goes, each check ticked.

    python tests/demo.py                                                # on an embedded deployment, made for this
    ARKER_API_KEY=... ARKER_BASE_URL=... python tests/demo.py           # on any other, as the client would find it

It exits with 1 if any check fails, and deletes whatever it made.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import arker
from arker import Arker, ArkerError, AsyncArker, Computer, Hooks, RequestEvent

PLAIN = not sys.stdout.isatty() or "NO_COLOR" in os.environ
GREEN, RED, DIM, BOLD, RESET = (
    ("",) * 5 if PLAIN else ("\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[1m", "\x1b[0m")
)


class Report:
    """Prints what happens and counts what fails."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def title(self, text: str) -> None:
        print(f"\n{BOLD}{text}{RESET}")

    def wire(self, event: RequestEvent) -> None:
        print(f"  {DIM}{event.method:6} {event.route}  {event.status}  {event.duration_ms:.1f} ms{RESET}")

    def check(self, what: str, holds: bool, seen: object = "") -> None:
        if holds:
            self.passed += 1
            print(f"  {GREEN}✓{RESET} {what}")
        else:
            self.failed += 1
            print(f"  {RED}✗ {what}{RESET}" + (f": {seen!r}" if seen != "" else ""))

    def equal(self, what: str, seen: object, expected: object) -> None:
        self.check(what, seen == expected, seen)

    def refused(self, what: str, code: str, call: Callable[[], object]) -> None:
        try:
            self.check(what, False, call())
        except ArkerError as error:
            self.equal(f"{what}: {error.code}", error.code, code)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """A titled part; an error in it fails the check and lets the next part run."""
        self.title(text)
        try:
            yield
        except Exception as error:
            self.check(f"{type(error).__name__}: {error}", False)


def client(kind: Callable[..., Any], local: Callable[..., Any], **options: Any) -> Any:
    """A client of the deployment that the environment names, else of an embedded one."""
    if os.environ.get("ARKER_API_KEY") and os.environ.get("ARKER_BASE_URL"):
        return kind(**options)
    return local(**options)


def walk(report: Report, client: Arker, folder: Path, name: str) -> None:
    base = client.vm("arkuntu")
    root: Computer | None = None
    try:
        with report.step("fork"):
            root = base.fork(name=name)
            report.check("forking arkuntu gives a new computer", root.id != base.id, root.id)
        if root is None:
            return
        with report.step("run"):
            result = root.run("python3 -c 'print(6 * 7)'")
            report.equal("Python runs", (result.stdout, result.exit_code), (b"42\n", 0))
            root.run("cd /tmp && export COLOR=blue && double() { echo $(($1 * 2)); }")
            result = root.run("echo $COLOR in $PWD; double 21; echo to stderr >&2; exit 3")
            report.equal("a session keeps folder, variables and functions", result.text, "blue in /tmp\n42\n")
            report.equal(
                "stderr and the exit code are their own",
                (result.stderr, result.exit_code),
                (b"to stderr\n", 3),
            )
            other = root.run("echo [$COLOR] $PWD", session_id="second")
            report.equal("another session is apart", other.text, "[] /home/user\n")
            result = root.run("printf '\\377\\000'")
            report.equal("output is bytes", result.stdout, b"\xff\x00")
            started = time.monotonic()
            result = root.run("sleep 60", timeout=1)
            report.check(
                "a timeout ends the command", not result.completed and time.monotonic() - started < 60, result
            )
        with report.step("sync"):
            root.sync.write_file("/home/user/hello.txt", "héllo\n")
            report.equal("a file reads back", root.sync.read_file("/home/user/hello.txt"), "héllo\n".encode())
            report.equal("commands see it", root.run("cat ~/hello.txt").text, "héllo\n")
            root.run("printf made-inside > ~/inside.txt")
            report.equal(
                "files made inside are read", root.sync.read_file("/home/user/inside.txt"), b"made-inside"
            )
            root.sync.write_file("/home/user/empty", b"")
            report.equal("an empty file is a file", root.sync.read_file("/home/user/empty"), b"")
            big = os.urandom(1 << 20) * 12
            root.sync.write_file("/home/user/big.bin", big)
            digest = root.run("sha256sum ~/big.bin").text.split()[0]
            report.equal("12 MiB arrive whole", digest, hashlib.sha256(big).hexdigest())
            report.check("and come back whole", root.sync.read_file("/home/user/big.bin") == big)
            (folder / "up").write_bytes(big)
            root.sync.upload(folder / "up", "/home/user/copy.bin")
            root.sync.download("/home/user/copy.bin", folder / "down")
            report.check("upload and download of local files", (folder / "down").read_bytes() == big)
            written = root.sync.write_files({"/home/user/a": b"A", "/home/user/b": b"B"})
            report.check("several files in one go", all(outcome.ok for outcome in written.values()), written)
            read = root.sync.read_files(["/home/user/a", "/home/user/missing"])
            report.equal("an outcome for each", [o.value for o in read.values()], [b"A", None])
        with report.step("branch"):
            branch = root.fork(name=f"{name}-branch")
            try:
                report.equal(
                    "a branch has the files",
                    branch.sync.read_file("/home/user/hello.txt"),
                    "héllo\n".encode(),
                )
                branch.run("echo changed > ~/hello.txt")
                report.equal("its writes are its own", root.run("cat ~/hello.txt").text, "héllo\n")
                root.run("echo parent > ~/hello.txt")
                report.equal("and the parent's too", branch.run("cat ~/hello.txt").text, "changed\n")
            finally:
                branch.delete()
            branches = root.fork(count=3)
            children = [outcome.get() for outcome in branches]
            report.equal("three branches at once", len({child.id for child in children}), 3)
            for child in children:
                child.delete()
            with root.fork() as temporary:
                report.equal("a with-statement deletes on exit", temporary.run("echo here").text, "here\n")
            report.refused("after it the computer is gone", "not_found", lambda: temporary.run("true"))
            with client.vm(name).fork() as named:
                report.equal(
                    "a computer is forked by its name", named.run("cat ~/hello.txt").text, "parent\n"
                )
        with report.step("list"):
            page = client.list(q=name, limit=10)
            report.equal("the list finds it by name", [vm.vm_id for vm in page], [root.id])
            report.equal("and knows its base image", page[0].base_image, "arkuntu")
            report.check("all pages in turn", root.id in {vm.vm_id for vm in client.iter_vms(q=name)})
        with report.step("errors"):
            report.refused(
                "a path outside /home/user", "bad_request", lambda: root.sync.read_file("/etc/passwd")
            )
            report.refused(
                "a path with ..", "bad_request", lambda: root.sync.write_file("/home/user/../x", b"")
            )
            report.refused(
                "a file that is not there", "not_found", lambda: root.sync.read_file("/home/user/no")
            )
            report.check("no key in any repr", "ark_" not in f"{client!r}{root!r}{root.sync!r}", repr(root))
    finally:
        if root is not None:
            with report.step("delete"):
                root.delete()
                report.refused("a deleted computer is gone", "not_found", lambda: root.run("true"))
                report.equal("and off the list", client.list(q=name).total, 0)


async def walk_async(report: Report, hooks: Hooks, name: str) -> None:
    async with client(AsyncArker, AsyncArker.local, hooks=hooks) as arker_client:
        with report.step("async"):
            async with await arker_client.vm("arkuntu").fork(name=name) as computer:
                # Each waits until all of them have begun, which takes for ever unless they run side by side.
                meet = "until [ $(ls met-* | wc -l) = 4 ]; do sleep 0.01; done"
                results = await asyncio.gather(
                    *(
                        computer.run(f"touch met-{n}; {meet}; echo {n}", session_id=f"s{n}", timeout=60)
                        for n in range(4)
                    )
                )
                report.equal(
                    "four sessions side by side", [r.text for r in results], [f"{n}\n" for n in range(4)]
                )
                await computer.sync.write_file("/home/user/x", b"async")
                report.equal("files", await computer.sync.read_file("/home/user/x"), b"async")
                page = await arker_client.list(q=name)
                report.equal("list", [vm.vm_id for vm in page], [computer.id])
            page = await arker_client.list(q=name)
            report.equal("deleted on exit", page.total, 0)


def main() -> int:
    report = Report()
    hooks = Hooks(on_request=report.wire)
    name = f"demo-{os.urandom(4).hex()}"
    started = time.monotonic()
    print(f"arker {arker.__version__}")
    with tempfile.TemporaryDirectory() as folder, client(Arker, Arker.local, hooks=hooks) as sync_client:
        print(f"{sync_client!r}, ready in {time.monotonic() - started:.2f} s")
        walk(report, sync_client, Path(folder), name)
        asyncio.run(walk_async(report, hooks, f"{name}-async"))
    print(f"\n{report.passed} checks passed, {report.failed} failed, in {time.monotonic() - started:.1f} s")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
