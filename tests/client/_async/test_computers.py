"""Fork, run, delete, list."""

from __future__ import annotations

import logging
import warnings

import pytest

from arker import ArkerError, AsyncArker, RetryPolicy, RunResult, Timeouts, VmSummary
from arker._http._async.stream import AsyncStream
from arker._io_async import async_sleep
from tests.faults import server as faults
from tests.faults.server import BASE_IMAGE, KEY, Answer, Server


def client(server: Server, **options: object) -> AsyncArker:
    return AsyncArker(KEY, server.url, **{"global_url": server.url, "retry": None, **options})  # type: ignore[arg-type]


async def test_fork_sends_what_was_asked_for_and_nothing_else(server: Server) -> None:
    async with client(server) as arker:
        await arker.vm("arkuntu").fork()
        await arker.vm("arkuntu").fork(name="n", is_public=True, region="r")
    assert [request.path for request in server.requests] == [f"/api/v1/vms/{BASE_IMAGE}/fork"] * 2
    assert [request.json for request in server.requests] == [
        {"is_public": False},
        {"is_public": True, "name": "n", "region": "r"},
    ]


async def test_each_fork_and_run_has_a_key_of_its_own(server: Server) -> None:
    async with client(server) as arker:
        vm = await arker.vm("arkuntu").fork()
        await vm.fork()
        await vm.run("a")
        await vm.run("a")
    keys = [request.key for request in server.requests]
    assert len(set(keys)) == 4
    assert all(key and len(key) <= 64 for key in keys)


async def test_a_name_is_forked_on_the_global_host(server: Server) -> None:
    server.vms[server.vm()].name = "snapshot"
    with Server() as other:
        async with AsyncArker(KEY, other.url, global_url=server.url) as arker:
            await arker.vm("snapshot").fork(name="child")
        assert other.requests == []
    assert server.requests[0].path == "/api/v1/vms/fork"
    assert server.requests[0].json == {"from": "snapshot", "is_public": False, "name": "child"}


async def test_everything_else_goes_to_the_regional_host(server: Server) -> None:
    with Server() as other:
        async with AsyncArker(KEY, server.url, global_url=other.url) as arker:
            vm = await arker.vm("arkuntu").fork()
            await vm.run("x")
            await vm.sync.write_file("/home/user/a", "x")
            await vm.delete()
            await arker.list()
        assert [request.path for request in other.requests] == ["/api/v1/vms/list"]
    assert server.steps() == ["fork", "run", "chunk", "delete"]


async def test_a_port_of_a_name_has_no_url(server: Server) -> None:
    async with client(server) as arker:
        with pytest.raises(ArkerError, match="the URL contains the id"):
            _ = arker.vm("snapshot").port(80).url
    assert server.requests == []


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\0", ".", ".."])
async def test_invalid_names_of_computers_are_refused(server: Server, name: str) -> None:
    async with client(server) as arker:
        with pytest.raises(ArkerError, match="bad_request"):
            arker.vm(name)
        with pytest.raises(TypeError):
            arker.vm(None)  # type: ignore[arg-type]


async def test_run_gives_everything_back(server: Server) -> None:
    server.fail(
        "run",
        faults.answer(
            Answer.of(
                {
                    "stdout": "/w==",
                    "stdout_encoding": "base64",
                    "stderr": "ü",
                    "stderr_encoding": "utf-8",
                    "exit_code": 7,
                    "completed": False,
                    "duration_ms": 12.5,
                    "session_id": 4,
                    "cwd": "/tmp",
                    "stdout_truncated": True,
                    "something_new": [1],
                }
            )
        ),
    )
    async with client(server) as arker:
        result = await arker.vm(server.vm()).run("x")
    assert result == RunResult(b"\xff", "ü".encode(), 7, 12.5, "4", "/tmp", False, True)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, {"command": "x", "session_id": 0}),
        ({"session_id": "build"}, {"command": "x", "session_id": "build"}),
        ({"session_id": 3}, {"command": "x", "session_id": 3}),
        ({"timeout": 5}, {"command": "x", "session_id": 0, "timeout": 5}),
        ({"timeout": 0.2}, {"command": "x", "session_id": 0, "timeout": 1}),
    ],
)
async def test_run_sends_what_was_asked_for(
    server: Server, given: dict[str, object], sent: dict[str, object]
) -> None:
    async with client(server) as arker:
        await arker.vm(server.vm()).run("x", **given)  # type: ignore[arg-type]
    assert server.requests[0].json == sent


@pytest.mark.parametrize(
    "wrong",
    [
        {"command": b"x"},
        {"command": ["x", 1]},
        {"session_id": True},
        {"session_id": ""},
        {"session_id": 1.5},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("inf")},
        {"timeout": "5"},
        {"timeout": True},
        {"env": {"a b": "x"}},
        {"env": {"A": 5}},
        {"cwd": 5},
    ],
)
async def test_a_command_that_cannot_be_is_refused_before_anything_is_sent(
    server: Server, wrong: dict[str, object]
) -> None:
    async with client(server) as arker:
        vm = arker.vm(server.vm())
        for call in (vm.run, vm.stream, vm.start):
            with pytest.raises((TypeError, ValueError)):
                await call(**{"command": "x", **wrong})  # type: ignore[operator]
    assert server.requests == []


@pytest.mark.parametrize(("limit", "waits"), [(5, 15), (0.01, 11), (None, 3610)])
async def test_a_run_waits_as_long_as_its_command_may_take(
    server: Server, monkeypatch: pytest.MonkeyPatch, limit: float | None, waits: float
) -> None:
    """A command may take whole seconds, at least one."""
    waited: set[float] = set()
    read = AsyncStream.read

    async def noted(self: AsyncStream, timeout: float) -> bytes:
        waited.add(timeout)
        return await read(self, timeout)

    monkeypatch.setattr(AsyncStream, "read", noted)
    async with client(server, timeout=Timeouts(total=60, read=10)) as arker:
        assert (await arker.vm(server.vm()).run("x", timeout=limit)).ok
    assert waited == {waits}


async def test_a_command_with_odd_characters_arrives_as_it_is(server: Server) -> None:
    command = "echo 'ü €' \x01 \"\\\n"
    async with client(server) as arker:
        await arker.vm(server.vm()).run(command)
        # Not valid text: Python decodes a file name that is not UTF-8 to this.
        server.fail("run", faults.answer(Answer.error("bad_request", "not text", 400)))
        with pytest.raises(ArkerError, match="not text"):
            await arker.vm(server.vm()).run("\ud800")
    assert server.commands == [command]
    assert server.requests[1].json["command"] == "\ud800"


async def test_a_with_statement_deletes(server: Server) -> None:
    async with client(server) as arker:
        async with await arker.vm("arkuntu").fork() as vm:
            pass
        assert server.deleted == [vm.id]
        async with await arker.vm("arkuntu").fork() as vm:
            await vm.delete()


async def test_a_failed_delete_does_not_hide_the_exception_of_the_block(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.fail("delete", faults.answer(Answer.error("internal", "broken", 500)))
    async with client(server) as arker:
        with pytest.raises(KeyError, match="mine"):
            async with await arker.vm("arkuntu").fork():
                raise KeyError("mine")
    assert "was not deleted" in caplog.text


async def test_a_failed_delete_at_the_end_of_a_block_is_raised(server: Server) -> None:
    server.fail("delete", faults.answer(Answer.error("internal", "broken", 500)))
    async with client(server) as arker:
        with pytest.raises(ArkerError, match="broken"):
            async with await arker.vm("arkuntu").fork():
                pass


async def test_deleting_twice_is_not_found(server: Server) -> None:
    async with client(server, retry=RetryPolicy()) as arker:
        vm = await arker.vm("arkuntu").fork()
        await vm.delete()
        with pytest.raises(ArkerError, match="not_found"):
            await vm.delete()


async def test_not_found_after_a_refusal_is_not_taken_for_success(server: Server) -> None:
    server.fail("delete", faults.throttle)
    async with client(server, retry=RetryPolicy(backoff=0)) as arker:
        with pytest.raises(ArkerError, match="not_found"):
            await arker.vm("01KTEST9999999999999999999_d8c0").delete()


async def test_handles_are_values(server: Server) -> None:
    async with client(server) as arker, AsyncArker("other", "https://elsewhere.example") as other:
        one, same = arker.vm(BASE_IMAGE), arker.vm("arkuntu")
        assert one == same
        assert hash(one) == hash(same)
        assert one != other.vm(BASE_IMAGE)
        assert one != BASE_IMAGE
        assert repr(one) == f"{type(one).__name__}('{BASE_IMAGE}')"
        assert BASE_IMAGE in repr(one.sync)


async def test_many_forks_have_an_outcome_each(server: Server) -> None:
    server.fail("fork", None, faults.answer(Answer.error("quota_exceeded", "enough", 429)))
    async with client(server) as arker:
        async with await arker.vm("arkuntu").fork(count=5, name="c") as branches:
            assert len(branches) == 5
            assert len(branches.computers) == 4 == len(server.forks)
            assert [outcome.ok for outcome in branches].count(False) == 1
            assert "4 made, 1 failed" in repr(branches)
            assert len(branches[1:]) == 4
        assert sorted(server.deleted) == sorted(server.forks)
    names = {request.json["name"] for request in server.requests if request.step == "fork"}
    assert names == {f"c-{n}" for n in range(5)}


async def test_all_or_none(server: Server) -> None:
    async with client(server) as arker:
        assert len(await (await arker.vm("arkuntu").fork(count=3)).all_or_none()) == 3
        server.fail("fork", None, faults.answer(Answer.error("quota_exceeded", "enough", 429)))
        branches = await arker.vm("arkuntu").fork(count=3)
        with pytest.raises(ArkerError, match="quota_exceeded"):
            await branches.all_or_none()
        assert len(server.forks) == 5
        assert len(server.deleted) == 2


@pytest.mark.parametrize("count", [0, -1, True, 1.5])
async def test_a_count_that_makes_no_sense(server: Server, count: int) -> None:
    async with client(server) as arker:
        with pytest.raises(ValueError, match="count is 1 or more"):
            await arker.vm("arkuntu").fork(count=count)


async def test_a_row_of_a_list_is_a_handle(server: Server) -> None:
    async with client(server) as arker:
        vm = await arker.vm("arkuntu").fork(name="x")
        (row,) = await arker.list()
        assert isinstance(row, VmSummary)
        assert arker.vm(row) == vm


async def test_list_sends_what_was_asked_for(server: Server) -> None:
    async with client(server) as arker:
        await arker.list()
        await arker.list(limit=7, offset=3, q="a b&c", sort="-region")
    assert server.requests[0].query == "limit=25&offset=0"
    assert server.requests[1].query == "limit=7&offset=3&q=a+b%26c&sort=-region"


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": 101}, {"offset": -1}, {"sort": "name"}])
async def test_a_list_that_there_cannot_be(server: Server, wrong: dict[str, object]) -> None:
    async with client(server) as arker:
        with pytest.raises(ArkerError, match="bad_request"):
            await arker.list(**wrong)  # type: ignore[arg-type]
    assert server.requests == []


async def test_iterating_walks_all_pages_as_they_are_needed(server: Server) -> None:
    made = [server.vm() for _ in range(7)]
    async with client(server) as arker:
        seen: list[str] = []
        async for row in arker.iter_vms(page_size=3):
            seen.append(row.vm_id)
            if len(seen) == 1:
                assert len(server.requests) == 1
        assert seen == made
        assert len(server.requests) == 3
        assert [row async for row in arker.iter_vms(q="nothing of the kind")] == []


async def test_iterating_ends_and_repeats_nothing_while_the_list_changes(server: Server) -> None:
    made = [server.vm() for _ in range(6)]
    async with client(server) as arker:
        seen = []
        async for row in arker.iter_vms(page_size=2):
            if not seen:
                # The first of the next page moves up to the end of this one.
                server.vms = {server.vm(): server.vms.popitem()[1], **server.vms}
            seen.append(row.vm_id)
        assert len(seen) == len(set(seen))
        assert set(made[:4]) <= set(seen)


async def test_a_list_whose_total_lies_still_ends(server: Server) -> None:
    server.fail("list", *[faults.change(lambda body: {**body, "total": 10**9})] * 10)
    async with client(server) as arker:
        assert [row async for row in arker.iter_vms()] == []


async def test_map_keeps_order_bounds_and_outcomes(server: Server) -> None:
    running = most = 0

    async def work(n: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await async_sleep(0.005)
        running -= 1
        if n == 3:
            raise ValueError("three")
        return n * n

    async with client(server) as arker:
        outcomes = await arker.map(work, range(8), concurrency=2)
        assert [outcome.value for outcome in outcomes] == [0, 1, 4, None, 16, 25, 36, 49]
        assert isinstance(outcomes[3].error, ValueError)
        assert most == 2
        assert await arker.map(work, []) == []
        with pytest.raises(ValueError, match="concurrency"):
            await arker.map(work, [1], concurrency=0)


async def test_the_key_is_nowhere_to_be_seen(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.fail("run", faults.answer(Answer.error("forbidden", f"the key {KEY} may not", 403)))
    async with client(server) as arker:
        vm = arker.vm(server.vm())
        with pytest.raises(ArkerError) as caught:
            await vm.run("x")
        shown = [repr(arker), repr(vm), repr(vm.sync), repr(caught.value), str(caught.value), caplog.text]
        shown += [repr(arker._pipeline.config), repr(vars(caught.value))]
    assert "forbidden" in caplog.text
    for text in shown:
        assert KEY not in text


# --- the global host ---


@pytest.mark.parametrize("host", ["arker", "other"])
async def test_a_warning_says_that_the_key_goes_to_arker_by_default(
    host: str, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.delenv("ARKER_GLOBAL_URL", raising=False)
    warnings.simplefilter("always")
    # As if it were Arker's.
    with Server() as own, Server() as arkers:
        monkeypatch.setattr("arker.config.GLOBAL_URL", arkers.url)
        other = {"global_url": arkers.url} if host == "other" else {}
        async with AsyncArker(KEY, own.url, retry=None, **other) as arker:  # type: ignore[arg-type]
            await arker.vm("arkuntu").fork()
            assert not recwarn
            await arker.list()
            await arker.list()
            told = [str(warning.message) for warning in recwarn]
            assert all(warning.filename == __file__ for warning in recwarn)
            arkers.fail("list", faults.answer(Answer.error("unauthorized", "no such key", 401)))
            with pytest.raises(ArkerError, match="unauthorized: no such key") as caught:
                await arker.list()
            if host == "other":
                assert not told
                assert "ARKER_GLOBAL_URL" not in str(caught.value)
            else:
                assert len(told) == 1
                assert f"the key to {own.url} is sent to {arkers.url}" in told[0]
                assert "set ARKER_GLOBAL_URL" in told[0]
                assert "set ARKER_GLOBAL_URL" in str(caught.value)
