# Derived from tests/client/_async/test_embedded.py by `make generate`; do not edit.
"""The client against the embedded deployment: real computers, and a wire that loses answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from arker import Arker, ArkerError, RetryPolicy
from arker.local.process.launcher import Deployment
from tests.faults.proxy import CuttingProxy

LARGE = bytes(range(256)) * 4096 * 6


@pytest.fixture
def wire(deployment: Deployment) -> Iterator[CuttingProxy]:
    with CuttingProxy(deployment.base_url) as proxy:
        yield proxy


def client(wire: CuttingProxy, deployment: Deployment, **options: object) -> Arker:
    given = {"global_url": wire.url, "retry": RetryPolicy(backoff=0.001, resend=True), **options}
    return Arker(deployment.api_key, wire.url, **given)  # type: ignore[arg-type]


def test_a_command_runs_once_however_often_it_is_sent(wire: CuttingProxy, deployment: Deployment) -> None:
    with client(wire, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        wire.lose(3)
        result = vm.run("echo again >> log; wc -l < log")
        assert result.stdout == b"1\n"
        assert wire.lost == 3
        assert vm.sync.read_file("/home/user/log") == b"again\n"


def test_without_leave_it_is_not_sent_again(wire: CuttingProxy, deployment: Deployment) -> None:
    careful = RetryPolicy(backoff=0.001)
    with client(wire, deployment, retry=careful) as arker, arker.vm("arkuntu").fork() as vm:
        wire.lose(1)
        with pytest.raises(ArkerError) as caught:
            vm.run("echo once >> log")
        error = caught.value
        assert (error.code, error.processed, error.attempts) == ("network", "maybe", 1)
        assert vm.sync.read_file("/home/user/log") == b"once\n"


def test_a_fork_is_made_once_however_often_it_is_sent(wire: CuttingProxy, deployment: Deployment) -> None:
    with client(wire, deployment) as arker:
        wire.lose(2)
        vm = arker.vm("arkuntu").fork(name="lost-answers")
        try:
            assert [row.vm_id for row in arker.list(q="lost-answers")] == [vm.id]
            wire.lose(1)
            child = arker.vm("lost-answers").fork(name="lost-answers-too")
            assert (arker.list(q="lost-answers-too")).total == 1
            child.delete()
        finally:
            wire.lose(1)
            # The attempt without an answer has done it.
            vm.delete()
        assert (arker.list(q="lost-answers")).total == 0


def test_files_arrive_whole_over_a_wire_that_cuts(
    wire: CuttingProxy, deployment: Deployment, tmp_path: Path
) -> None:
    with client(wire, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        for data in (b"small", LARGE):
            wire.lose(1)
            vm.sync.write_file("/home/user/f", data)
            wire.lose(2)
            assert vm.sync.read_file("/home/user/f") == data
            wire.lose(2)
            vm.sync.download("/home/user/f", tmp_path / "f")
            assert (tmp_path / "f").read_bytes() == data
        assert (vm.run("ls -A")).stdout.split() == [b"f"]


def test_a_file_that_is_missing_is_named_in_the_words_of_the_original_sdk(
    wire: CuttingProxy, deployment: Deployment, tmp_path: Path
) -> None:
    path = "/home/user/none"
    with client(wire, deployment) as arker, arker.vm("arkuntu").fork() as vm:
        for read in (
            lambda: vm.sync.read_file(path),
            lambda: vm.files.read(path),
            lambda: vm.sync.download(path, tmp_path / "f"),
            lambda: vm.files.download(path, tmp_path / "f"),
        ):
            with pytest.raises(ArkerError) as missing:
                read()
            assert missing.value.message == f"file not found: {path}"


@pytest.mark.slow
def test_a_fan_out_over_real_computers(wire: CuttingProxy, deployment: Deployment) -> None:
    with client(wire, deployment) as arker, arker.vm("arkuntu").fork() as parent:
        parent.sync.write_files({f"/home/user/{n}": str(n) for n in range(5)})
        with parent.fork(count=6) as branches:
            outcomes = arker.map(
                lambda vm: vm.run("cat 0 1 2 3 4; echo -n x > 0; cat 0"),
                branches.all_or_none(),
                concurrency=3,
            )
            assert [outcome.get().stdout for outcome in outcomes] == [b"01234x"] * 6
        back = parent.sync.read_files([f"/home/user/{n}" for n in range(6)])
        assert [outcome.value for outcome in back.values()] == [b"0", b"1", b"2", b"3", b"4", None]


@pytest.mark.slow
def test_the_client_of_an_embedded_deployment() -> None:
    with Arker.local() as arker, Arker.local() as other:
        assert repr(arker) == repr(other)
        with arker.vm("arkuntu").fork() as vm:
            assert (vm.run("python3 -c 'print(6 * 7)'")).check().text == "42\n"
            assert (other.vm(vm.id).run("false")).exit_code == 1
    with pytest.raises(ArkerError, match="unavailable"):
        Arker.local(limits={"wishes": 3})
