# Derived from tests/client/_async/test_sessions.py by `make generate`; do not edit.
"""Handles of sessions against the embedded deployment, over either contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from arker import Arker, ArkerError
from arker.local.process.launcher import Deployment

pytestmark = pytest.mark.contract("0.3")


@pytest.fixture(params=["auto", "0.3"])
def client(request: pytest.FixtureRequest, deployment: Deployment) -> Arker:
    url = deployment.base_url
    return Arker(deployment.api_key, url, global_url=url, contract=request.param)


def test_a_session_begins_and_begins_again_as_asked(client: Arker) -> None:
    with client as arker, arker.vm("arkuntu").fork() as vm:
        session = vm.session(cwd="/tmp", env={"A": "b  'c"})
        assert (session.computer, session.info.state, session.info.cwd) == (vm, "idle", "/tmp")
        assert (session.run('pwd; echo "$A"; env | grep ^A=')).stdout == b"/tmp\nb  'c\nA=b  'c\n"
        session.run("cd /; A=other; f() { :; }; exec 9>/dev/null; set -f")
        assert (session.refresh()).cwd == "/"
        named = session.id
        session.reset()
        assert (session.id, session.info.cwd) == (named, "/tmp")
        assert (session.run('echo "$A $-"; pwd; type f')).text.splitlines()[1:] == ["/tmp"]
        assert (session.run('echo "$A"')).text == "b  'c\n"


def test_sessions_are_listed_found_and_closed(client: Arker) -> None:
    with client as arker, arker.vm("arkuntu").fork() as vm:
        assert [session.id for session in vm.sessions()] == ["0"]
        with vm.session() as one:
            two = vm.session()
            assert [session.id for session in vm.sessions()] == ["0", one.id, two.id]
            again = vm.get_session(two.id)
            two.run("x=5")
            assert (again.run("echo $x")).text == "5\n"
        assert [session.id for session in vm.sessions()] == ["0", two.id]
        with pytest.raises(ArkerError) as caught:
            vm.get_session(one.id)
        assert caught.value.code == "not_found"
        one.close()


def test_the_default_session_is_reset_and_what_runs_in_it_ends(client: Arker) -> None:
    with client as arker, arker.vm("arkuntu").fork() as vm:
        default = vm.get_session()
        default.run("cd /tmp; x=5; sleep 1000 & echo $! > /tmp/pid")
        run = default.start("echo begun; sleep 1000")
        with run.stream() as stream:
            for _ in stream:
                break
        assert (default.refresh()).state == "running"
        default.reset()
        assert (run.wait(timeout=30)).reason == "cancelled"
        ended = "while kill -0 $(cat /tmp/pid) 2>&-; do sleep 0.01; done; echo gone"
        result = default.run(f"pwd; echo x=$x; {ended}", timeout=60)
        assert result.text == "/home/user\nx=\ngone\n"


def test_everything_goes_on_in_a_session(client: Arker) -> None:
    with (
        client as arker,
        arker.vm("arkuntu").fork() as vm,
        vm.session(env={"WHAT": "thing"}) as session,
    ):
        with session.stream("echo $WHAT") as stream:
            assert (stream.collect()).text == "thing\n"
        assert ((session.start("echo $WHAT")).wait(timeout=30)).session_id == session.id
        seen: list[bytes] = []
        session.run("cat; x=1", on_stdout=seen.append, stdin="in")
        assert b"".join(seen) == b"in"
        with session.terminal(columns=90) as terminal:
            terminal.write("echo $WHAT-$COLUMNS; exit\r")
            drawn = b""
            while data := terminal.read(timeout=30):
                drawn += data
        assert b"thing-90" in drawn


def test_a_session_that_cannot_begin_is_not_made(client: Arker) -> None:
    with client as arker, arker.vm("arkuntu").fork() as vm:
        with pytest.raises(ArkerError) as caught:
            vm.session(cwd="/no/such")
        assert caught.value.code == "bad_request"
        vm.run("mkdir repo")
        with vm.session(cwd="repo") as session:
            assert (session.run("pwd")).text == "/home/user/repo\n"
        assert [session.id for session in vm.sessions()] == ["0"]


def test_a_closed_session_is_not_used_again(client: Arker) -> None:
    with client as arker, arker.vm("arkuntu").fork() as vm:
        with vm.session() as session:
            session.run("x=5")
        for use in (session.run, session.start):
            with pytest.raises(ArkerError) as caught:
                use("echo $x")
            assert (caught.value.code, caught.value.processed) == ("invalid_state", "no")
        assert [one.id for one in vm.sessions()] == ["0"]
        with vm.get_session() as default:
            default.run("x=5")
        assert (default.run("echo $x")).text == "\n"


def test_contract_0_1_alone_has_no_sessions(serving: Callable[[str], Deployment]) -> None:
    deployment = serving("0.1")
    url = deployment.base_url
    with (
        Arker(deployment.api_key, url, global_url=url) as arker,
        arker.vm("arkuntu").fork() as vm,
    ):
        with pytest.raises(ArkerError) as caught:
            vm.session()
        assert (caught.value.code, caught.value.processed) == ("unsupported_operation", "no")
