# Derived from tests/client/_async/test_contracts.py by `make generate`; do not edit.
"""The client over either contract: the same calls give the same results."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager

import pytest

from arker import (
    Arker,
    ArkerError,
    Computer,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UnauthorizedError,
)
from arker._sync import v03
from arker.local.process.launcher import Deployment
from tests.faults import server as faults
from tests.faults.proxy import CuttingProxy
from tests.faults.server import KEY, Answer, Server

#: The contracts that a deployment serves, and the one that the client speaks.
CASES = [
    ("both", "0.1"),
    ("both", "0.3"),
    pytest.param(("both", "auto"), marks=pytest.mark.slow),
    pytest.param(("0.1", "auto"), marks=pytest.mark.slow),
    pytest.param(("0.3", "auto"), marks=pytest.mark.slow),
]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[1]} with {case[0]}")
def case(request: pytest.FixtureRequest, serving: Callable[[str], Deployment]) -> tuple[Deployment, str]:
    served, spoken = request.param
    return serving(served), spoken


def client(case: tuple[Deployment, str]) -> Arker:
    deployment, spoken = case
    return Arker(
        deployment.api_key,
        f"{deployment.base_url}/api",
        global_url=deployment.base_url,
        contract=spoken,  # type: ignore[arg-type]
    )


def test_a_computer_is_forked_used_and_deleted(case: tuple[Deployment, str]) -> None:
    with client(case) as arker, arker.vm("arkuntu").fork(name="either") as vm:
        result = vm.run("cd /tmp; echo out; echo err >&2; exit 3")
        assert (result.stdout, result.stderr, result.exit_code) == (b"out\n", b"err\n", 3)
        assert (result.cwd, result.session_id, result.completed) == ("/tmp", "0", True)
        assert (vm.run("printf '\\377'")).stdout == b"\xff"
        assert not (vm.run("sleep 60", timeout=1)).completed
        vm.sync.write_file("/home/user/file", b"x")
        with vm.fork() as child:
            assert child.sync.read_file("/home/user/file") == b"x"
        with pytest.raises(NotFoundError):
            child.run("true")


@pytest.mark.slow
def test_a_result_says_why_the_command_ended(case: tuple[Deployment, str]) -> None:
    with client(case) as arker, arker.vm("arkuntu").fork() as vm:
        result = vm.run("exit 124")
        assert (result.reason, result.completed) == ("exited", True)
        assert result.usage is not None
        assert (vm.run("kill -9 $$")).reason == "signalled"
        result = vm.run("sleep 60", timeout=1)
        assert (result.reason, result.completed) == ("timed_out", False)


@pytest.mark.contract("0.3")
def test_a_result_does_not_depend_on_the_session_that_tells_its_folder(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As with the platform, which tells the folder nowhere else.
    monkeypatch.setattr(v03, "with_local_fields", lambda parts: parts)
    with client((deployment, "0.3")) as arker, arker.vm("arkuntu").fork() as vm:
        assert (vm.run("cd /tmp")).cwd == "/tmp"
        hidden = f"/api/v1/vms/{vm.id}/sessions"
        with CuttingProxy(deployment.base_url, without=hidden) as cloud:
            other = Arker(deployment.api_key, cloud.url, global_url=cloud.url, contract="0.3")
            with other:
                result = other.vm(vm.id).run("pwd")
        assert (result.stdout, result.cwd) == (b"/tmp\n", "")


def test_sessions_have_names_and_numbers(case: tuple[Deployment, str]) -> None:
    with client(case) as arker, arker.vm("arkuntu").fork() as vm:
        for session in ("build", 3):
            result = vm.run("x=5; cd /", session_id=session)
            assert result.session_id == str(session)
            assert (vm.run("echo $x $PWD", session_id=session)).stdout == b"5 /\n"
        assert (vm.run("echo $x")).stdout == b"\n"


@pytest.mark.parametrize("name", ["by-name", "with / and ? é"])
def test_a_name_is_enough(case: tuple[Deployment, str], name: str) -> None:
    with client(case) as arker:
        made = arker.vm("arkuntu").fork(name=name)
        with arker.vm(name) as vm:
            assert (vm.run("cd /tmp; x=1; pwd", session_id="s")).stdout == b"/tmp\n"
            # Handles with the name and with the id mean the same sessions.
            assert (made.run("echo $x", session_id="s")).stdout == b"1\n"
            vm.sync.write_file("/home/user/file", b"x")
            assert vm.sync.read_file("/home/user/file") == b"x"
            assert [entry.name for entry in vm.files.list("/home/user")] == ["file"]
            run = vm.start("exec python3 -m http.server 8000 --bind 127.0.0.1")
            vm.port(8000).wait()
            assert run.cancel()
            with vm.fork() as child:
                assert child.id not in (name, made.id)
        with pytest.raises(NotFoundError):
            vm.run("true")


def test_a_computer_is_renamed_and_stopped(case: tuple[Deployment, str]) -> None:
    with client(case) as arker, arker.vm("arkuntu").fork(name="first") as vm:
        vm.rename("second")
        arker.vm("second").run("x=1; cd /tmp")
        run = vm.start("sleep 1000")
        vm.stop()
        with pytest.raises(ArkerError) as caught:
            run.wait(timeout=60)
        assert caught.value.code == "unavailable"
        assert (vm.run("echo $x $PWD")).stdout == b"1 /tmp\n"


@pytest.mark.parametrize(
    "fault",
    [
        faults.drop_after,
        faults.cut_head,
        faults.cut_body,
        faults.garbage,
        faults.after(Answer.error("internal", "it broke", 500)),
        faults.after(Answer.error("unavailable", "", 503)),
        faults.answer(Answer.error("not_found", "no such computer", 404)),
    ],
)
def test_no_other_contract_is_tried_after_what_may_have_had_an_effect(
    server: Server, fault: faults.Fault
) -> None:
    with Arker(KEY, server.url, global_url=server.url, retry=None) as arker:
        vm = arker.vm(server.vm())
        server.fail("run", fault)
        with pytest.raises(ArkerError):
            vm.run("x")
        assert server.steps() == ["run"]
        vm.run("x")


def test_operations_of_no_contract_are_unsupported_elsewhere(server: Server) -> None:
    with Arker(KEY, server.url, global_url=server.url) as arker:
        for call in (arker.vm("a").stop, lambda: arker.vm("a").rename("b")):
            with pytest.raises(ArkerError, match="this deployment cannot") as caught:
                call()
            assert (caught.value.code, caught.value.processed) == ("unsupported_operation", "no")


@pytest.mark.parametrize("spoken", ["0.1", "0.3"])
def test_an_ambiguous_name_is_a_conflict_that_names_the_ids(
    serving: Callable[[str], Deployment], spoken: str
) -> None:
    deployment = serving("both")
    with client((deployment, "0.1")) as maker, client((deployment, spoken)) as arker:
        with (
            maker.vm("arkuntu").fork(name="twice") as one,
            maker.vm("arkuntu").fork(name="twice") as other,
        ):
            for call in (arker.vm("twice").fork, arker.vm("twice").delete, arker.vm("twice").info):
                with pytest.raises(ConflictError) as caught:
                    call()
                assert one.id in caught.value.message
                assert other.id in caught.value.message
        if spoken == "0.3":
            with arker.vm("arkuntu").fork(name="twice"):
                with pytest.raises(ConflictError, match="already"):
                    arker.vm("arkuntu").fork(name="twice")


def test_a_list_searches_sorts_and_counts(case: tuple[Deployment, str]) -> None:
    with client(case) as arker:
        made = [arker.vm("arkuntu").fork(name=f"listed-{n}") for n in range(3)]
        try:
            page = arker.list(q="listed-", limit=2, offset=1, sort="created_at")
            assert [vm.name for vm in page] == ["listed-1", "listed-2"]
            assert page.total == 3
            assert {vm.base_image for vm in page} == {"arkuntu"}
            assert {vm.name for vm in arker.iter_vms(q="listed-")} == {f"listed-{n}" for n in range(3)}
        finally:
            for vm in made:
                vm.delete()


@pytest.mark.parametrize(
    "spoken", [pytest.param(one, marks=pytest.mark.contract(one)) for one in ("0.1", "0.3")]
)
def test_a_missing_computer_is_not_taken_for_another_contract(spoken: str, deployment: Deployment) -> None:
    with client((deployment, spoken)) as arker:
        for vm in ("0" * 26, "no-such-name"):
            with pytest.raises(NotFoundError):
                arker.vm(vm).fork()


def test_a_contract_that_is_not_spoken_is_an_error_unless_it_may_be_found_out(
    serving: Callable[[str], Deployment],
) -> None:
    deployment = serving("0.3")
    with client((deployment, "0.1")) as arker:
        with pytest.raises(ArkerError):
            arker.vm("arkuntu").fork()


def _first(items: Iterator[object]) -> object:
    for item in items:
        return item
    return None


WORKS = ""
NEEDS_0_3 = "does not speak contract 0.3"
NEEDS_OWN = "a deployment of your own"
#: Every call of the client and of a computer; and whether it works with a cloud that speaks contract 0.1 alone and with
#: one that speaks 0.3 alone, or what the error says.
CALLS: dict[str, tuple[Callable[[Arker, Computer], object], str, str]] = {
    "list": (lambda arker, vm: arker.list(q="cloud", sort="region"), WORKS, WORKS),
    "iter_vms": (lambda arker, vm: _first(arker.iter_vms()), WORKS, WORKS),
    "vms": (lambda arker, vm: _first(arker.vms()), NEEDS_0_3, WORKS),
    "usage": (lambda arker, vm: arker.usage(), NEEDS_OWN, NEEDS_OWN),
    "regions": (lambda arker, vm: arker.regions(), WORKS, WORKS),
    "whoami": (lambda arker, vm: arker.whoami(), WORKS, WORKS),
    "health": (lambda arker, vm: arker.health(), WORKS, WORKS),
    "api_keys.create": (lambda arker, vm: arker.api_keys.create("x"), NEEDS_0_3, WORKS),
    "api_keys.list": (lambda arker, vm: arker.api_keys.list(), NEEDS_0_3, WORKS),
    "api_keys.revoke": (lambda arker, vm: arker.api_keys.revoke("x"), NEEDS_0_3, "there is no key"),
    "fork": (lambda arker, vm: vm.fork(count=2, name="branch", is_public=True), WORKS, WORKS),
    "fork region=": (lambda arker, vm: vm.fork(region="local"), WORKS, "leave out region="),
    "fork of a name": (lambda arker, vm: arker.vm("cloud").fork(), WORKS, WORKS),
    "run": (lambda arker, vm: vm.run(["echo", "a b"], session_id="work", timeout=9), WORKS, WORKS),
    "run cwd=": (lambda arker, vm: vm.run("touch ~/bad", cwd="/tmp"), NEEDS_0_3, WORKS),
    "run env=": (lambda arker, vm: vm.run("touch ~/bad", env={"A": "b"}), NEEDS_0_3, WORKS),
    "run stdin=": (lambda arker, vm: vm.run("touch ~/bad", stdin="x"), NEEDS_OWN, NEEDS_OWN),
    "run on_stdout=": (lambda arker, vm: vm.run("touch ~/bad", on_stdout=print), NEEDS_0_3, WORKS),
    "stream": (lambda arker, vm: vm.stream("touch ~/bad"), NEEDS_0_3, WORKS),
    "start": (lambda arker, vm: vm.start("touch ~/bad"), NEEDS_0_3, WORKS),
    "start session_id=": (lambda arker, vm: vm.start("touch ~/bad", session_id=1), NEEDS_0_3, WORKS),
    "start stdin=": (lambda arker, vm: vm.start("touch ~/bad", stdin=True), NEEDS_OWN, NEEDS_OWN),
    "runs": (lambda arker, vm: vm.runs(), NEEDS_0_3, WORKS),
    "get_run": (lambda arker, vm: vm.get_run("nothing"), NEEDS_0_3, "has no run"),
    "wait_for path=": (lambda arker, vm: vm.wait_for(path="/tmp"), WORKS, WORKS),
    "wait_for port=": (lambda arker, vm: vm.wait_for(port=80, timeout=9), NEEDS_OWN, NEEDS_OWN),
    "healthy": (lambda arker, vm: vm.healthy(), WORKS, WORKS),
    "terminal": (lambda arker, vm: vm.terminal(), NEEDS_0_3, WORKS),
    "session": (lambda arker, vm: vm.session(cwd="/tmp"), NEEDS_0_3, WORKS),
    "sessions": (lambda arker, vm: vm.sessions(), NEEDS_0_3, WORKS),
    "get_session": (lambda arker, vm: vm.get_session(), NEEDS_0_3, WORKS),
    "port.connect": (lambda arker, vm: vm.port(80).connect(), NEEDS_OWN, NEEDS_OWN),
    "port.link": (lambda arker, vm: vm.port(80).link(), NEEDS_OWN, NEEDS_OWN),
    "port.wait": (lambda arker, vm: vm.port(80).wait(timeout=9), NEEDS_OWN, NEEDS_OWN),
    "python": (lambda arker, vm: vm.python().run("1"), NEEDS_OWN, NEEDS_OWN),
    "info": (lambda arker, vm: vm.info(), WORKS, WORKS),
    "update": (lambda arker, vm: vm.update(description="x"), WORKS, WORKS),
    "rename": (lambda arker, vm: vm.rename("other"), NEEDS_OWN, NEEDS_OWN),
    "stop": (lambda arker, vm: vm.stop(), NEEDS_OWN, NEEDS_OWN),
    "files": (lambda arker, vm: vm.files.write("f", b"x"), WORKS, WORKS),
    "path": (lambda arker, vm: vm.path("f").exists(), WORKS, WORKS),
    "sync": (lambda arker, vm: vm.sync.write_file("/home/user/f", b"x"), WORKS, WORKS),
    "delete": (lambda arker, vm: vm.delete(), WORKS, WORKS),
}
#: What asks no deployment, and what sends any operation as it is.
ASKS_NOTHING = {"id", "vm", "map", "local", "with_options", "close", "call"}


def test_every_call_is_in_the_table() -> None:
    calls = {name for cls in (Arker, Computer) for name in vars(cls) if not name.startswith("_")}
    assert calls - ASKS_NOTHING == {re.split(r"[. ]", name)[0] for name in CALLS}


@pytest.mark.slow
@pytest.mark.parametrize("served", ["0.1", "0.3"])
def test_a_call_works_over_one_contract_alone_or_says_what_it_needs(
    serving: Callable[[str], Deployment], served: str
) -> None:
    deployment = serving(served)
    with CuttingProxy(deployment.base_url, without="/api/v1/local/") as cloud:
        with (
            Arker(deployment.api_key, cloud.url, global_url=cloud.url) as arker,
            arker.vm("arkuntu").fork(name="cloud") as vm,
        ):
            for name, (call, *needs) in CALLS.items():
                needed = needs[served == "0.3"]
                if name == "delete" and served == "0.1":
                    # Nothing was begun of all that is not supported.
                    assert not vm.files.exists("bad")
                if needed == WORKS:
                    made = call(arker, vm)
                    if isinstance(made, AbstractAsyncContextManager):
                        with made:
                            pass
                    continue
                with pytest.raises(ArkerError, match=re.escape(needed)) as caught:
                    call(arker, vm)
                if "no" not in needed.split():
                    code, processed = caught.value.code, caught.value.processed
                    assert (name, code, processed) == (name, "unsupported_operation", "no")


@pytest.mark.contract("0.3")
def test_info_lists_and_keys_over_contract_0_3(deployment: Deployment) -> None:
    with client((deployment, "auto")) as arker, arker.vm("arkuntu").fork(name="known") as vm:
        vm.run("cd /tmp")
        info = arker.vm("known").info()
        assert (info.vm_id, info.name, info.base_name, info.description) == (vm.id, "known", "arkuntu", None)
        assert [(session.index, session.cwd) for session in info.sessions] == [(0, "/tmp")]
        assert (vm.update(description="What for.")).description == "What for."
        assert (vm.update(description=None)).description is None
        with vm.fork() as child:
            assert (child.info()).parent_id == vm.id
            assert {vm.id, child.id} <= {one.vm_id for one in arker.vms()}
        assert (arker.whoami()).org_id == "org_local"
        assert [region.region for region in arker.regions()] == ["local"]
        arker.health()


@pytest.mark.contract("0.3")
def test_keys_are_made_listed_and_revoked(deployment: Deployment) -> None:
    with client((deployment, "auto")) as arker:
        made = arker.api_keys.create("For CI")
        assert made.key is not None
        assert made.key_id.startswith("for-ci-")
        assert made.key not in repr(made)
        listed = {one.key_id: one for one in arker.api_keys.list()}
        assert listed[made.key_id].key is None
        assert (listed[made.key_id].created_at, made.vm_ids) == (made.created_at, ())
        with Arker(made.key, deployment.base_url, global_url=deployment.base_url) as other:
            assert other.whoami() == arker.whoami()
            arker.api_keys.revoke(made.key_id)
            with pytest.raises(UnauthorizedError):
                other.whoami()
        assert made.key_id not in {one.key_id for one in arker.api_keys.list()}
        with pytest.raises(NotFoundError):
            arker.api_keys.revoke(made.key_id)


@pytest.mark.contract("0.3")
def test_a_key_is_limited_to_computers(deployment: Deployment) -> None:
    with client((deployment, "auto")) as arker, arker.vm("arkuntu").fork() as vm:
        made = arker.api_keys.create("narrow", vm_ids=[vm.id])
        assert made.vm_ids == (vm.id,)
        with Arker(made.key, deployment.base_url, global_url=deployment.base_url) as other:
            assert (other.vm(vm.id).run("echo x")).stdout == b"x\n"
            assert [one.vm_id for one in other.list()] == [vm.id]
            with pytest.raises(ForbiddenError, match="limited to some computers"):
                other.vm("arkuntu").fork()
        arker.api_keys.revoke(made.key_id)
        with pytest.raises(NotFoundError):
            arker.api_keys.create("narrow", vm_ids=["0" * 26])


def test_there_are_two_contracts() -> None:
    with pytest.raises(ValueError, match="contract is one of"):
        Arker("ark_key", contract="0.2")  # type: ignore[arg-type]
