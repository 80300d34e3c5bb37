"""Every operation, at every one of its steps, meets every fault: what comes of it, and what the server really
did."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from arker_api.control.api.service import whoami

from arker import ArkerError, AsyncArker, RetryPolicy, Timeouts
from tests.faults import server as faults
from tests.faults.server import KEY, Answer, Fault, Server

SMALL = b"small \xff\x00 content" * 100
LARGE = bytes(range(256)) * 4096 * 5  # above what goes inline

#: An answer that takes longer than this is late, in seconds.
READ = 0.25


def client(server: Server, **options: object) -> AsyncArker:
    given = {
        "retry": RetryPolicy(backoff=0.001),
        "timeout": Timeouts(total=60),
        "global_url": server.url,
        **options,
    }
    return AsyncArker(KEY, server.url, **given)  # type: ignore[arg-type]


Work = Callable[[AsyncArker, Server, str, Path], Awaitable[None]]


async def fork(arker: AsyncArker, server: Server, vm: str, tmp: Path) -> None:
    child = await arker.vm(vm).fork()
    assert child.id in server.vms


async def fork_by_name(arker: AsyncArker, server: Server, vm: str, tmp: Path) -> None:
    server.vms[vm].name = "snapshot"
    child = await arker.vm("snapshot").fork()
    assert child.id in server.vms


async def run(arker: AsyncArker, server: Server, vm: str, tmp: Path) -> None:
    result = await arker.vm(vm).run("echo", timeout=0.01)
    assert (result.stdout, result.exit_code) == (b"echo", 0)


async def delete(arker: AsyncArker, server: Server, vm: str, tmp: Path) -> None:
    await arker.vm(vm).delete()
    assert server.deleted == [vm]


async def list_vms(arker: AsyncArker, server: Server, vm: str, tmp: Path) -> None:
    assert [row.vm_id for row in await arker.list()] == [vm]


async def call(arker: AsyncArker, server: Server, vm: str, tmp: Path) -> None:
    assert (await arker.call(whoami)).org_id == "org_1"


async def read_inline(arker: AsyncArker, server: Server, vm: str, tmp: Path) -> None:
    server.vms[vm].files["/home/user/a"] = SMALL
    assert await arker.vm(vm).sync.read_file("/home/user/a") == SMALL


async def read_signed(arker: AsyncArker, server: Server, vm: str, tmp: Path) -> None:
    server.vms[vm].files["/home/user/a"] = LARGE
    assert await arker.vm(vm).sync.read_file("/home/user/a") == LARGE


async def download(arker: AsyncArker, server: Server, vm: str, tmp: Path) -> None:
    server.vms[vm].files["/home/user/a"] = LARGE
    (tmp / "a").write_bytes(b"old")
    try:
        await arker.vm(vm).sync.download("/home/user/a", tmp / "a")
        assert (tmp / "a").read_bytes() == LARGE
    except ArkerError:
        assert (tmp / "a").read_bytes() == b"old"
        raise
    finally:
        assert [path.name for path in tmp.iterdir()] == ["a"]


async def write(arker: AsyncArker, server: Server, vm: str, tmp: Path, *, data: bytes) -> None:
    await arker.vm(vm).sync.write_file("/home/user/a", data)
    assert server.vms[vm].files["/home/user/a"] == data


async def write_files(arker: AsyncArker, server: Server, vm: str, tmp: Path) -> None:
    outcomes = await arker.vm(vm).sync.write_files({"/home/user/a": SMALL, "/home/user/b": b""})
    for outcome in outcomes.values():
        outcome.get()
    assert server.vms[vm].files == {"/home/user/a": SMALL, "/home/user/b": b""}


#: Operation, the steps that it takes on the wire, and whether it can be repeated.
OPERATIONS: dict[str, tuple[Work, list[str], bool]] = {
    "fork": (fork, ["fork"], False),
    "fork by name": (fork_by_name, ["fork"], False),
    "run": (run, ["run"], False),
    "delete": (delete, ["delete"], True),
    "list": (list_vms, ["list"], True),
    "call": (call, ["whoami"], True),
    "read, inline": (read_inline, ["read"], True),
    "read, signed": (read_signed, ["read", "get"], True),
    "download": (download, ["read", "get"], True),
    "write, inline": (functools.partial(write, data=SMALL), ["chunk"], True),
    "write, signed": (functools.partial(write, data=LARGE), ["ask", "put", "commit"], True),
    "write several": (write_files, ["chunk"], True),
}

STEPS = [
    pytest.param(name, step, id=f"{name}: {step}")
    for name, (_, steps, _) in OPERATIONS.items()
    for step in steps
]

#: Faults that pass, and whether the client can know that nothing was done.
PASSING: dict[str, tuple[Fault, bool]] = {
    "429": (faults.throttle, True),
    "503, enveloped": (faults.unavailable, True),
    "503, a page": (faults.page_503, False),
    "502, a page": (faults.gateway, False),
    "504, a page": (faults.gateway_timeout, False),
    "500, overloaded": (faults.overloaded, False),
    "dropped before": (faults.drop_before, False),
    "dropped after": (faults.drop_after, False),
    "reset after": (faults.reset_after, False),
    "cut in the head": (faults.cut_head, False),
    "cut in the body": (faults.cut_body, False),
    "no HTTP": (faults.garbage, False),
    # Until the client gives up.
    "late": (faults.delay(60), False),
}


def in_time(fault: str, *, resend: bool = False) -> dict[str, object]:
    """Options with short timeouts only for the fault that needs them. On a slow machine correct answers are late, too;
    for these there are enough attempts."""
    if fault != "late":
        return {"retry": RetryPolicy(backoff=0.001, resend=resend)}
    return {
        "timeout": Timeouts(total=60, read=READ),
        "retry": RetryPolicy(attempts=100, backoff=0.001, resend=resend),
    }


async def check_whole(server: Server, vm: str) -> None:
    for data in server.vms[vm].files.values() if vm in server.vms else ():
        assert data in (SMALL, LARGE, b"")


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize(("name", "step"), STEPS)
async def test_a_fault_that_passes(server: Server, tmp_path: Path, name: str, step: str, fault: str) -> None:
    work, _, repeatable = OPERATIONS[name]
    make, undone = PASSING[fault]
    vm = server.vm()
    server.fail(step, make)
    async with client(server, **in_time(fault)) as arker:
        if repeatable or undone:
            await work(arker, server, vm, tmp_path)
            assert len(server.commands) == (name == "run")
            assert len(server.forks) == name.startswith("fork")
        else:
            with pytest.raises(ArkerError) as caught:
                await work(arker, server, vm, tmp_path)
            error = caught.value
            assert (error.processed, error.attempts, error.retryable) == ("maybe", 1, True)
            assert len(server.commands) <= 1
            assert len(server.forks) <= 1
            assert server.steps() == [step]
        await check_whole(server, vm)
        # Whatever happened, the client goes on.
        assert await arker.list(q="nothing") is not None


@pytest.mark.parametrize("fault", [name for name, (_, undone) in PASSING.items() if not undone])
@pytest.mark.parametrize("name", ["fork", "fork by name", "run"])
async def test_resending_is_safe_where_keys_are_honoured(
    server: Server, tmp_path: Path, name: str, fault: str
) -> None:
    work, steps, _ = OPERATIONS[name]
    server.honours_keys = True
    vm = server.vm()
    server.fail(steps[0], PASSING[fault][0])
    async with client(server, **in_time(fault, resend=True)) as arker:
        await work(arker, server, vm, tmp_path)
    assert len(server.commands) + len(server.forks) == 1
    keys = {request.key for request in server.requests}
    assert len(keys) == 1
    assert None not in keys


@pytest.mark.parametrize("fault", ["502, a page", "dropped before", "cut in the body"])
@pytest.mark.parametrize(("name", "step"), STEPS)
async def test_a_fault_that_stays(server: Server, tmp_path: Path, name: str, step: str, fault: str) -> None:
    work, _, repeatable = OPERATIONS[name]
    vm = server.vm()
    server.fail(step, *itertools.repeat(PASSING[fault][0], 50))
    async with client(server) as arker:
        if step == "put":
            # There is another way.
            await work(arker, server, vm, tmp_path)
            assert server.steps().count("put") == 4
        elif (step, fault) == ("get", "cut in the body"):
            # Every try brings it half of what is missing; four do not bring it all.
            with pytest.raises(ArkerError):
                await work(arker, server, vm, tmp_path)
        else:
            with pytest.raises(ArkerError) as caught:
                await work(arker, server, vm, tmp_path)
            assert caught.value.attempts == server.steps().count(step) == (4 if repeatable else 1)
            assert caught.value.route is not None
        await check_whole(server, vm)


FINAL = {
    "401": (Answer.error("unauthorized", "no", 401), "unauthorized"),
    "402": (Answer.error("payment_required", "no", 402), "payment_required"),
    "403": (Answer.error("forbidden", "no", 403), "forbidden"),
    "404": (Answer.error("not_found", "no", 404), "not_found"),
    "409": (Answer.error("conflict", "no", 409), "conflict"),
    "413": (Answer.error("payload_too_large", "no", 413), "payload_too_large"),
    "quota": (Answer.error("quota_exceeded", "no", 429), "quota_exceeded"),
    "500": (Answer.error("internal", "broken", 500), "internal"),
    "501": (Answer.error("not_implemented", "no", 501), "not_implemented"),
    "a new code": (Answer.error("brand_new", "no", 418), "brand_new"),
    "an error under 200": (Answer.error("vm_busy", "no", 200), "vm_busy"),
    "the other envelope": (
        Answer.of({"error": {"code": "invalid_state", "message": "no"}}, 409),
        "invalid_state",
    ),
    "a page under 200": (Answer.page(200), "internal"),
    "a page under 404": (Answer.page(404), "internal"),
    "a status of no name": (Answer.page(599), "internal"),
    "nothing under 200": (Answer(200, {}, b""), "internal"),
    "nothing under 204": (Answer(204, {}, b""), "internal"),
    "a list": (Answer.of([1, 2]), "internal"),
    "another shape": (Answer.of({"ok": True, "surprise": 1}), "internal"),
    "a redirect": (Answer(307, {"location": "/api/v1/elsewhere"}, b""), "internal"),
}


@pytest.mark.parametrize("fault", FINAL)
@pytest.mark.parametrize(("name", "step"), [step for step in STEPS if step.values[1] not in ("put", "get")])
async def test_an_answer_that_is_final(
    server: Server, tmp_path: Path, name: str, step: str, fault: str
) -> None:
    answer, code = FINAL[fault]
    vm = server.vm()
    server.fail(step, faults.answer(answer))
    async with client(server) as arker:
        if name == "delete" and fault == "another shape":
            # `{"ok": true}` and whatever else: it is deleted.
            await arker.vm(vm).delete()
        elif step == "commit" and code == "not_found":
            # What was put is gone; the chunks go another way.
            await OPERATIONS[name][0](arker, server, vm, tmp_path)
        else:
            with pytest.raises(ArkerError) as caught:
                await OPERATIONS[name][0](arker, server, vm, tmp_path)
            assert (caught.value.code, caught.value.status) == (code, answer.status)
            assert caught.value.attempts == server.steps().count(step) == 1
        assert server.commands == server.forks == []


WRONG_FILES = {
    "too short a body": lambda answer: Answer(200, {}, answer.body[:-1]),
    "too long a body": lambda answer: Answer(200, {}, answer.body + b"x"),
    "no length, cut": lambda answer: b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + answer.body[:-7],
    "no length, too long": lambda answer: (
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + answer.body + b"x"
    ),
    "a range that nobody asked for": lambda answer: Answer(206, {"content-range": "bytes 5-9/10"}, b"12345"),
    "another file's range": lambda answer: Answer(206, {"content-range": "bytes 0-9/10"}, b"1234567890"),
    "nothing": lambda answer: Answer(204, {}, b""),
}


@pytest.mark.parametrize("fault", WRONG_FILES)
@pytest.mark.parametrize("name", ["read, signed", "download"])
async def test_a_wrong_body_is_never_taken_for_the_file(
    server: Server, tmp_path: Path, name: str, fault: str
) -> None:
    vm = server.vm()
    server.fail("get", *itertools.repeat(faults.alter_raw(WRONG_FILES[fault]), 50))
    async with client(server) as arker:
        with pytest.raises(ArkerError):
            await OPERATIONS[name][0](arker, server, vm, tmp_path)


@pytest.mark.parametrize(
    "lie",
    [
        {"size": 3},
        {"size": "many"},
        {"size": None},
        {"content": 5},
        {"content": "%%%", "encoding": "base64"},
        {"encoding": "rot13"},
        {"content": "\ud800", "encoding": "utf-8"},
    ],
)
async def test_a_read_whose_answer_contradicts_itself(
    server: Server, tmp_path: Path, lie: dict[str, object]
) -> None:
    vm = server.vm()
    server.fail("read", faults.change(lambda body: {**body, **lie}))
    async with client(server) as arker:
        with pytest.raises(ArkerError) as caught:
            await read_inline(arker, server, vm, tmp_path)
        assert caught.value.code == "internal"


@pytest.mark.parametrize(
    "lie",
    [
        {"presigned_url": "ftp://elsewhere/x"},
        {"presigned_url": 7},
        {"presigned_url": "https://user:password@elsewhere/x"},
        {"size": -1},
        {"size": True},
        {"size": 10**15},
    ],
)
async def test_a_signed_read_that_cannot_be(server: Server, tmp_path: Path, lie: dict[str, object]) -> None:
    vm = server.vm()
    server.fail("read", faults.change(lambda body: {**body, **lie}))
    async with client(server) as arker:
        with pytest.raises(ArkerError) as caught:
            await read_signed(arker, server, vm, tmp_path)
        assert caught.value.code in ("internal", "payload_too_large")


@pytest.mark.parametrize(
    "lie",
    [
        lambda body: {**body, "results": []},
        lambda body: {**body, "results": body["results"] * 2},
        lambda body: {**body, "results": "yes"},
        lambda body: {**body, "results": [{**body["results"][0], "written": False}]},
        lambda body: {"ok": True},
    ],
)
async def test_a_write_that_was_not_written(
    server: Server, tmp_path: Path, lie: Callable[[object], object]
) -> None:
    vm = server.vm()
    server.fail("chunk", faults.change(lie))
    async with client(server) as arker:
        with pytest.raises(ArkerError) as caught:
            await write(arker, server, vm, tmp_path, data=SMALL)
        assert caught.value.code == "internal"


@pytest.mark.parametrize("lie", [{"vm_id": None}, {"vm_id": 5}, {"vm_id": ""}])
async def test_a_fork_without_an_id(server: Server, tmp_path: Path, lie: dict[str, object]) -> None:
    server.fail("fork", faults.change(lambda body: {**body, **lie}))
    async with client(server) as arker:
        with pytest.raises(ArkerError, match="internal"):
            await arker.vm("arkuntu").fork()
        assert len(server.forks) == 1
