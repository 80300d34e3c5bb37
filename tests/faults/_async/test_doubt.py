"""What an error says was done, when a later try fails in another way than an earlier one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from arker import ArkerError, AsyncArker, Hooks, RequestEvent, RetryEvent, RetryPolicy
from arker._async.runs import _INPUT, AsyncRun
from arker.events import RunInfo
from tests.faults import server as faults
from tests.faults.server import KEY, Answer, Server

CALLS = ["run", "fork", "fork by name", "delete", "write", "remove by a shell"]
STEPS = {"fork by name": "fork", "write": "chunk", "remove by a shell": "run"}


def client(
    server: Server, hooks: Hooks | None = None, *, contract: Literal["auto", "0.3"] = "auto"
) -> AsyncArker:
    retry = RetryPolicy(backoff=0.001, resend=True)
    return AsyncArker(KEY, server.url, global_url=server.url, retry=retry, hooks=hooks, contract=contract)


async def failure(server: Server, name: str) -> ArkerError:
    """The error of a call."""
    vm = server.vm()
    server.vms[vm].name = "snapshot"
    async with client(server) as arker:
        computer = arker.vm(vm)
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "run": lambda: computer.run("echo"),
            "fork": computer.fork,
            "fork by name": arker.vm("snapshot").fork,
            "delete": computer.delete,
            "write": lambda: computer.sync.write_file("/home/user/a", b"x"),
            "remove by a shell": lambda: computer.files.remove("/home/user/a"),
        }
        with pytest.raises(ArkerError) as caught:
            await calls[name]()
    return caught.value


@pytest.mark.parametrize("name", CALLS)
async def test_refused_after_a_lost_answer(server: Server, name: str) -> None:
    server.fail(STEPS.get(name, name), faults.die_after)
    error = await failure(server, name)
    assert [request.step for request in server.requests if request.processed][-1:] == [STEPS.get(name, name)]
    assert (error.code, error.processed, error.attempts) == ("network", "maybe", 4)
    assert "could not send" in error.message
    assert "earlier" in error.message
    assert "no answer" in error.message


@pytest.mark.parametrize("name", CALLS)
async def test_refused_from_the_first_try_on(server: Server, name: str) -> None:
    server.refuse()
    error = await failure(server, name)
    assert (error.code, error.processed, error.attempts) == ("network", "no", 4)
    assert "earlier" not in error.message


async def test_turned_away_after_a_lost_answer(server: Server) -> None:
    server.fail("run", faults.drop_after, *[faults.throttle] * 3)
    error = await failure(server, "run")
    assert (error.code, error.processed, error.attempts) == ("rate_limited", "maybe", 4)


async def test_an_answer_settles_a_lost_one(server: Server) -> None:
    server.fail("run", faults.drop_before, faults.answer(Answer.error("vm_busy", "no", 409)))
    error = await failure(server, "run")
    assert (error.code, error.processed, error.message) == ("vm_busy", "yes", "no")


async def test_a_client_that_is_closed_between_tries(server: Server) -> None:
    vm = server.vm()
    server.fail("run", faults.drop_after)

    def close(_: RetryEvent) -> None:
        arker._pipeline.closed = True

    async with client(server, Hooks(on_retry=close)) as arker:
        with pytest.raises(ArkerError) as caught:
            await arker.vm(vm).run("echo")
    assert (caught.value.code, caught.value.processed, caught.value.attempts) == ("bad_request", "maybe", 1)


@pytest.mark.parametrize("cut", [1, 2, 3])
async def test_no_fork_of_several_is_denied(server: Server, cut: int) -> None:
    vm = server.vm()
    server.fail("fork", *[None] * (cut - 1), faults.die_after)
    async with client(server) as arker:
        outcomes = await arker.vm(vm).fork(count=3)
    made = len(outcomes.computers)
    doubtful = [one for one in outcomes if one.error is not None and one.error.processed == "maybe"]
    assert made < len(server.forks) <= made + len(doubtful)


async def test_one_of_several_files_that_was_refused_before(server: Server) -> None:
    def refused(body: dict[str, Any]) -> dict[str, Any]:
        failed = {"error": {"code": "unavailable", "message": "later"}, "written": False}
        return {**body, "results": [{**result, **failed} for result in body["results"]]}

    vm = server.vm()
    server.fail("chunk", faults.change(refused), faults.die_after)
    async with client(server) as arker:
        outcomes = await arker.vm(vm).sync.write_files({"/home/user/a": b"a", "/home/user/b": b"b"})
    for outcome in outcomes.values():
        assert isinstance(outcome.error, ArkerError)
        assert outcome.error.processed == "maybe"


async def test_input_of_which_a_part_was_sent(server: Server) -> None:
    def die(_: RequestEvent) -> None:
        server.close()

    vm = server.vm()
    server.fail("stdin", faults.answer(Answer.of({"received": _INPUT})))
    async with client(server, Hooks(on_request=die)) as arker:
        run = AsyncRun(arker.vm(vm), RunInfo("run_1", "0", "cat", "running", datetime.now(UTC)))
        with pytest.raises(ArkerError) as caught:
            await run.write(bytes(_INPUT + 1))
        assert (caught.value.code, caught.value.processed) == ("network", "maybe")
        with pytest.raises(ArkerError) as caught:
            await run.write(b"x")
        assert (caught.value.code, caught.value.processed) == ("network", "no")


async def test_a_run_that_cannot_be_asked_about(server: Server) -> None:
    def die(_: RequestEvent) -> None:
        server.close()

    vm = server.vm()
    begun = {"run_id": "run_1", "session_id": "session_1", "state": "running"}
    server.fail("*", faults.answer(Answer.of(begun)))
    async with client(server, Hooks(on_request=die), contract="0.3") as arker:
        with pytest.raises(ArkerError) as caught:
            await arker.vm(vm).run("echo")
    assert (caught.value.code, caught.value.processed) == ("network", "maybe")
    assert "the run run_1 was started" in caught.value.message
