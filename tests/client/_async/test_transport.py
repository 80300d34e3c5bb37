"""Connections, deadlines, options, hooks, and the low-level API."""

from __future__ import annotations

import contextlib
import copy
import gc
import logging
import pickle
import socket
import ssl
import sys
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest
from arker_api.control.api.computers import fork_by_name, list_vms
from arker_api.control.api.service import list_regions, whoami
from arker_api.control.models import ForkByNameRequest
from arker_api.regional.api.computers import delete_vm, fork_vm, get_vm
from arker_api.regional.api.files import sync_files
from arker_api.regional.api.runs import run_command
from arker_api.regional.api.service import health
from arker_api.regional.models import ForkRequest, InlineFile, ReadRequest, RunRequest

from arker import ArkerError, AsyncArker, Hooks, RequestEvent, RetryEvent, RetryPolicy, Timeouts
from arker._http._async.pipeline import Budget
from arker._http._async.pool import AsyncPool
from arker._http._async.request import AsyncBody
from arker._http._async.transport import AsyncPooledTransport
from arker._http.tls import ssl_context
from arker.config import parse_url
from tests.faults import server as faults
from tests.faults.server import CERTIFICATE, KEY, Answer, Server


def client(server: Server, **options: object) -> AsyncArker:
    return AsyncArker(KEY, server.url, **{"global_url": server.url, "retry": None, **options})  # type: ignore[arg-type]


def pool_of(arker: AsyncArker) -> AsyncPool:
    transport = arker._pipeline._pooled
    assert isinstance(transport, AsyncPooledTransport)
    return transport._pools.get()


@pytest.fixture
def tls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    context = ssl.create_default_context(cafile=str(CERTIFICATE))
    monkeypatch.setattr("arker._http._async.stream.ssl_context", lambda: context)
    with Server(tls=True) as server:
        yield server
        assert server.settle(0)


# --- connections ---


async def test_one_connection_for_calls_one_after_the_other(server: Server) -> None:
    async with client(server) as arker:
        for _ in range(50):
            await arker.list()
    assert server.connections == 1


async def test_tls(tls: Server) -> None:
    async with client(tls) as arker:
        vm = await arker.vm("arkuntu").fork()
        data = bytes(range(256)) * 40_000
        await vm.sync.write_file("/home/user/a", data)
        assert await vm.sync.read_file("/home/user/a") == data
        tls.inline = 1 << 30
        assert await vm.sync.read_file("/home/user/a") == data
    assert tls.connections == 1


async def test_an_unknown_certificate_is_refused() -> None:
    with Server(tls=True) as server:
        async with client(server) as arker:
            with pytest.raises(ArkerError, match="network") as caught:
                await arker.list()
            assert caught.value.processed == "no"
        assert server.requests == []


async def test_a_server_that_does_not_speak_tls(server: Server) -> None:
    url = server.url.replace("http", "https")
    async with AsyncArker(KEY, url, retry=None, timeout=Timeouts(connect=0.1)) as arker:
        with pytest.raises(ArkerError) as caught:
            await arker.vm("arkuntu").fork()
        assert (caught.value.code, caught.value.processed) == ("timeout", "no")


async def test_a_connection_that_the_server_closed_is_not_used_again(server: Server) -> None:
    async with client(server) as arker:
        vm = arker.vm(server.vm())
        for n in range(5):
            await vm.run("x")
            server.drop_all()
            assert server.settle(0)
            assert len(server.commands) == n + 1
    assert server.connections == 5


async def test_a_connection_that_the_server_wants_closed_is_closed(server: Server) -> None:
    server.fail("list", *[faults.answer(Answer.of({"items": [], "total": 0}, connection="close"))] * 3)
    async with client(server) as arker:
        for _ in range(3):
            await arker.list()
    assert server.connections == 3


LIST = b'{"items": [], "total": 0}'


@pytest.mark.parametrize(
    ("head", "body", "connections"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 25", LIST, 1),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 25\r\nContent-Length: 25", LIST, 1),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", b"19\r\n%b\r\n0\r\n\r\n" % LIST, 1),
        # The length is to be ignored then (RFC 9112, 6.3).
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked",
            b"19\r\n%b\r\n0\r\n\r\n" % LIST,
            1,
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 25", LIST, 1),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 25", LIST, 2),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 25\r\nConnection: x, Close", LIST, 2),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 25\r\nConnection: x", LIST, 2),
        # More than was announced: it must not become the next answer.
        (b"HTTP/1.1 200 OK\r\nContent-Length: 25", LIST + b"HTTP/1.1 500 No", 2),
    ],
)
async def test_an_answer_ends_where_it_says(
    server: Server, head: bytes, body: bytes, connections: int
) -> None:
    def fault(server: Server, request: Any, process: Any, sock: socket.socket) -> None:
        sock.sendall(head + b"\r\n\r\n" + body)

    server.fail("list", fault)
    async with client(server) as arker:
        for _ in range(2):
            assert len(await arker.list()) == 0
    assert server.connections == connections


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n" + LIST,
        b"HTTP/1.1 200 OK\r\nContent-Length: 25\r\nContent-Length: 26\r\n\r\n" + LIST,
        b"HTTP/1.1 200 OK\r\nContent-Length: -25\r\n\r\n" + LIST,
        b"HTTP/1.1 204 No Content\r\nContent-Length: 25\r\n\r\n" + LIST,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n19\r\n" + LIST,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n" + LIST,
    ],
)
async def test_an_answer_that_does_not_is_none(server: Server, raw: bytes) -> None:
    server.fail("list", faults.alter_raw(lambda _: raw))
    async with client(server) as arker:
        with pytest.raises(ArkerError):
            await arker.list()
        assert len(await arker.list()) == 0
    assert server.connections == 2


async def test_interim_answers_do_not_keep_a_call_beyond_its_deadline(server: Server) -> None:
    def fault(server: Server, request: Any, process: Any, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    server.fail("list", fault)
    async with client(server, retry=None) as arker:
        with pytest.raises(ArkerError, match="timeout"):
            await arker.list(timeout=0.2)


async def test_no_connection_is_left_over_by_failures(server: Server) -> None:
    server.fail(
        "list",
        *[
            fault
            for fault in (
                faults.drop_before,
                faults.cut_body,
                faults.cut_head,
                faults.garbage,
                faults.gateway,
                faults.delay(30),
            )
            for _ in range(20)
        ],
    )
    async with client(server) as arker:
        hasty = arker.with_options(timeout=Timeouts(read=0.02))
        for _ in range(150):
            try:
                await hasty.list()
            except ArkerError:
                continue
        await arker.list()
        pool = pool_of(arker)
        assert len(pool._open) == sum(len(queue) for queue in pool._idle.values()) == 1
        assert server.settle(1)


async def test_a_forgotten_client_closes_its_connections(server: Server) -> None:
    arker = client(server)
    await arker.list()
    assert server.settle(1)
    del arker
    gc.collect()
    assert server.settle(0)


async def test_no_more_connections_than_allowed(server: Server) -> None:
    server.fail("list", *[faults.together(3)] * 3, *[faults.delay(0.02)] * 37)
    async with client(server, max_connections=3) as arker:
        outcomes = await arker.map(lambda n: arker.list(limit=n), range(1, 41), concurrency=40)
        assert all(outcome.ok for outcome in outcomes)
    assert server.connections == 3


async def test_waiting_for_a_connection_has_an_end_and_costs_none(server: Server) -> None:
    answer = threading.Event()
    server.fail("list", faults.held(answer))
    failed: list[RequestEvent] = []

    def note(event: RequestEvent) -> None:
        if event.error is not None:
            failed.append(event)
        if len(failed) == 2:
            answer.set()

    async with client(
        server, max_connections=1, timeout=Timeouts(pool=0.1), hooks=Hooks(on_request=note)
    ) as arker:
        outcomes = await arker.map(lambda n: arker.list(limit=n), [1, 2, 3], concurrency=3)
        errors = [outcome.error for outcome in outcomes if outcome.error]
        assert [str(error)[:8] for error in errors] == ["timeout:", "timeout:"]
        assert "all of 1 connections are in use" in str(errors[0])
        assert [error.processed for error in errors if isinstance(error, ArkerError)] == ["no", "no"]
        await arker.list()
        assert len(pool_of(arker)._open) == 1


async def test_an_idle_connection_elsewhere_makes_room(server: Server) -> None:
    with Server() as other:
        async with AsyncArker(KEY, server.url, global_url=other.url, max_connections=1) as arker:
            for _ in range(3):
                await arker.list()
                await arker.call(health)
            assert other.settle(0)
        assert server.connections == other.connections == 3


async def test_old_connections_are_let_go(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.fail("list", *[faults.together(10)] * 10)
    async with client(server) as arker:
        await arker.map(lambda n: arker.list(limit=n), range(1, 11), concurrency=10)
        assert server.settle(10)
        # From now on, all that has been idle at all has been so for too long.
        monkeypatch.setattr("arker._http._async.pool.IDLE", -1.0)
        await arker.list()
        assert server.settle(1)


async def test_a_closed_client_says_so(server: Server) -> None:
    arker = client(server)
    await arker.list()
    await arker.aclose()
    await arker.aclose()
    with pytest.raises(ArkerError, match="the client is closed"):
        await arker.list()
    assert len(server.requests) == 1


async def test_a_host_that_is_not_there() -> None:
    with Server() as gone:
        pass
    async with client(gone, retry=RetryPolicy(backoff=0)) as arker:
        with pytest.raises(ArkerError) as caught:
            await arker.vm("arkuntu").fork()
        error = caught.value
        assert (error.code, error.status, error.processed, error.attempts) == ("network", 0, "no", 4)
        assert f"127.0.0.1:{gone.port}" in error.message
        assert isinstance(error.__cause__, OSError)


# --- time ---


@pytest.mark.parametrize(
    "fault", [faults.delay(60), faults.drip, pytest.param(faults.throttle, id="throttle")]
)
async def test_a_deadline_ends_a_call_at_every_step(server: Server, fault: faults.Fault) -> None:
    server.fail("list", *[fault] * 1000)
    async with client(server, retry=RetryPolicy(attempts=1000, backoff=0.01)) as arker:
        started = time.monotonic()
        with pytest.raises(ArkerError) as caught:
            await arker.list(timeout=0.3)
        assert time.monotonic() - started < 30
        assert caught.value.code in ("timeout", "rate_limited")


async def test_retry_after_is_waited_for(server: Server) -> None:
    server.fail("list", faults.answer(Answer.error("unavailable", "m", 503, **{"retry-after": "0.2"})))
    async with client(server, retry=RetryPolicy(backoff=0)) as arker:
        started = time.monotonic()
        await arker.list()
        assert 0.2 <= time.monotonic() - started < 25


async def test_a_timeout_is_a_number_of_seconds(server: Server) -> None:
    async with client(server) as arker:
        for wrong in (0, -1, float("nan")):
            with pytest.raises(ValueError, match="timeout"):
                await arker.list(timeout=wrong)
        with pytest.raises(TypeError):
            await arker.list(timeout="1")  # type: ignore[arg-type]


# --- options ---


async def test_options(server: Server) -> None:
    async with client(server) as arker:
        patient = arker.with_options(retry=RetryPolicy(backoff=0), timeout=5.0)
        server.fail("list", faults.gateway, faults.gateway)
        with pytest.raises(ArkerError):
            await arker.list()
        await patient.list()
        assert patient._timeouts.total == 5
        assert patient.with_options(retry=None)._policy.attempts == 1
        assert patient.with_options()._policy.attempts == 4
        with pytest.raises(ValueError, match="host"):
            arker.with_options(host="moon")  # type: ignore[arg-type]
    assert server.connections == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"http_client": object()},
        {"timeout": "x"},
        {"api_key": 5},
        {"retry": 3},
        {"hooks": print},
        {"max_connections": 1.5},
    ],
)
def test_options_of_the_wrong_kind(wrong: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        AsyncArker(**{"api_key": KEY, **wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"max_connections": 0}, {"timeout": -1}])
def test_options_that_make_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        AsyncArker(KEY, **wrong)  # type: ignore[arg-type]


def test_settings_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARKER_API_KEY", raising=False)
    with pytest.raises(ArkerError, match="unauthorized"):
        AsyncArker()
    monkeypatch.setenv("ARKER_API_KEY", KEY)
    monkeypatch.setenv("ARKER_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("ARKER_GLOBAL_URL", "http://127.0.0.1:2")
    shown = repr(AsyncArker())
    assert "127.0.0.1:1" in shown
    assert "127.0.0.1:2" in shown
    assert KEY not in shown


# --- a client of the user's own ---


async def test_what_cannot_be_pickled_says_what_to_do(server: Server) -> None:
    async with client(server) as arker:
        vm = arker.vm(server.vm())
        for thing in (arker, vm, vm.files):
            for refused in (pickle.dumps, copy.deepcopy):
                with pytest.raises(
                    TypeError, match=r"client cannot be pickled or copied: pass the id of a computer"
                ):
                    refused(thing)


async def test_an_httpx_client_is_taken_as_it_is_and_not_closed(server: Server) -> None:
    async with httpx.AsyncClient(
        headers={"x-mine": "yes", "authorization": "Bearer mine", "cookie": "mine"},
        auth=("u", "p"),
        follow_redirects=True,
    ) as own:
        async with client(server, http_client=own, retry=RetryPolicy(backoff=0)) as arker:
            vm = await arker.vm("arkuntu").fork()
            data = bytes(range(256)) * 20_000
            await vm.sync.write_file("/home/user/a", data)
            server.fail("get", faults.cut_body, faults.drop_before)
            assert await vm.sync.read_file("/home/user/a") == data
            server.fail("list", faults.answer(Answer(307, {"location": "/api/v1/elsewhere"}, b"")))
            with pytest.raises(ArkerError, match="redirect"):
                await arker.list()
        assert not own.is_closed
        await own.get(f"{server.url}/api/v1/health")
    for request in server.requests[:-1]:
        assert request.headers["x-mine"] == "yes"
        signed = request.step in ("put", "get")
        assert request.headers.get("authorization") == (None if signed else f"Bearer {KEY}")
        assert ("cookie" in request.headers) is False
    assert not [request for request in server.requests if "elsewhere" in request.path]


@pytest.mark.parametrize(
    ("fault", "code", "processed"),
    [
        (faults.drop_after, "network", "maybe"),
        (faults.cut_body, "network", "maybe"),
        (faults.garbage, "network", "maybe"),
        (faults.delay(60), "timeout", "maybe"),
        (faults.throttle, "rate_limited", "no"),
    ],
)
async def test_failures_of_an_httpx_client_are_ours(
    server: Server, fault: faults.Fault, code: str, processed: str
) -> None:
    server.fail("run", fault)
    patience = Timeouts(read=0.1) if code == "timeout" else Timeouts()
    async with httpx.AsyncClient() as own, client(server, http_client=own) as arker:
        with pytest.raises(ArkerError) as caught:
            await arker.with_options(timeout=patience).vm(server.vm()).run("x", timeout=0.01)
        assert (caught.value.code, caught.value.processed) == (code, processed)
        await arker.list()


async def test_an_httpx_client_whose_answers_are_read_already() -> None:
    def mock(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"items": [], "total": 7})

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(mock)) as own,
        AsyncArker(KEY, http_client=own) as arker,
    ):
        assert (await arker.list()).total == 7


async def test_an_httpx_client_that_cannot_connect_or_is_closed() -> None:
    with Server() as gone:
        pass
    own = httpx.AsyncClient()
    async with client(gone, http_client=own) as arker:
        with pytest.raises(ArkerError) as caught:
            await arker.vm("arkuntu").fork()
        assert (caught.value.code, caught.value.processed) == ("network", "no")
        await own.aclose()
        with pytest.raises(ArkerError, match="closed"):
            await arker.vm("arkuntu").fork()


async def test_a_proxy_of_the_environment_is_used_except_for_this_machine(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    async with AsyncArker(KEY, "http://far.example", allow_http=True, retry=None) as arker:
        await arker.vm("arkuntu").fork()
    assert server.requests[0].headers["host"] == "far.example"
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with client(server) as arker:
        await arker.list()
    assert server.steps() == ["fork", "list"]


async def test_httpx_logs_no_signature_when_it_uses_a_proxy(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    server.inline, server.store_url = 0, "http://far.example"
    async with AsyncArker(KEY, "http://far.example", allow_http=True, retry=None) as arker:
        assert await arker.vm(server.vm(a=b"x")).sync.read_file("/home/user/a") == b"x"
    assert "http://far.example/object/2?[redacted]" in caplog.text
    assert "SIGNED" not in caplog.text
    assert KEY not in caplog.text


# --- what is told ---


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "what://127.0.0.1:1", "http://127.0.0.1:abc"])
async def test_a_proxy_of_the_environment_that_cannot_be_used(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As without httpx's extra for it.
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("https_proxy", proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    async with AsyncArker(KEY, "https://deployment.test") as arker:
        with pytest.raises(ArkerError, match="bad_request: the proxy of the environment cannot be used"):
            await arker.vm("arkuntu").fork()


async def test_certificates_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    monkeypatch.setattr("arker._http._async.stream.ssl_context", ssl_context.__wrapped__)
    with Server(tls=True) as server:
        async with client(server) as arker:
            with pytest.raises(ArkerError, match=r"no certificates to trust in /nowhere\.pem"):
                await arker.list()


async def test_hooks_hear_of_every_try(server: Server) -> None:
    requests: list[RequestEvent] = []
    retries: list[RetryEvent] = []
    server.fail("run", faults.throttle, faults.unavailable)
    hooks = Hooks(on_request=requests.append, on_retry=retries.append)
    async with client(server, hooks=hooks, retry=RetryPolicy(backoff=0)) as arker:
        await arker.vm(server.vm()).run("x")
    assert [(event.attempt, event.status, event.error and event.error.code) for event in requests] == [
        (1, 429, "rate_limited"),
        (2, 503, "unavailable"),
        (3, 200, None),
    ]
    assert {(event.method, event.route) for event in requests} == {("POST", "/api/v1/vms/{vm_id}/run")}
    assert all(event.duration_ms > 0 and event.host == f"127.0.0.1:{server.port}" for event in requests)
    assert [(event.attempt, event.delay) for event in retries] == [(1, 0.005), (2, 0.0)]


async def test_a_hook_that_fails_changes_nothing(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: RequestEvent) -> None:
        raise KeyError("mine")

    async with client(server, hooks=Hooks(on_request=broken)) as arker:
        await arker.list()
    assert "a hook for RequestEvent failed" in caplog.text


async def test_a_line_a_try(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "arker")
    server.fail("run", faults.throttle)
    async with client(server, retry=RetryPolicy(backoff=0)) as arker:
        await arker.vm(server.vm()).run("secret command")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert lines[0].startswith("POST /api/v1/vms/{vm_id}/run 429 ")
    assert lines[1].startswith("POST /api/v1/vms/{vm_id}/run 200 ")
    assert "secret" not in caplog.text


async def test_errors_know_their_request(server: Server) -> None:
    server.fail("run", faults.answer(Answer.error("forbidden", "m", 403, **{"x-request-id": "r7"})))
    async with client(server) as arker:
        with pytest.raises(ArkerError) as caught:
            await arker.vm(server.vm()).run("x")
    error = caught.value
    assert (error.method, error.route, error.attempts, error.request_id) == (
        "POST",
        "/api/v1/vms/{vm_id}/run",
        1,
        "r7",
    )


# --- the low level ---


async def test_every_operation_by_call(server: Server) -> None:
    vm = server.vm(a=b"content")
    async with client(server) as arker:
        assert (await arker.call(whoami)).org_name == "Test"
        assert (await arker.call(list_regions)).regions[0].provider == "aws"
        assert (await arker.call(health)).status == "ok"
        assert (await arker.call(get_vm, vm)).vm_id == vm
        page = await arker.call(list_vms, limit=1)
        assert isinstance(page.items[0].created_at, datetime)
        child = (
            await arker.call(fork_vm, vm, body=ForkRequest(is_public=False, name="n"), idempotency_key="k")
        ).vm_id
        assert (await arker.call(fork_by_name, body=ForkByNameRequest("n", False))).vm_id != child
        assert (await arker.call(run_command, child, body=RunRequest("x", 0))).exit_code == 0
        read = await arker.call(sync_files, child, body=ReadRequest(op="read", path="/home/user/a"))
        assert isinstance(read, InlineFile)
        await arker.call(delete_vm, child)
    assert server.requests[5].key == "k"


async def test_call_goes_where_the_operation_belongs(server: Server) -> None:
    with Server() as other:
        async with AsyncArker(KEY, server.url, global_url=other.url) as arker:
            await arker.call(health)
            await arker.call(whoami)
            await arker.with_options(host="global").with_options(timeout=5).call(health)
            await arker.with_options(host="regional").call(whoami)
        assert other.steps() == ["whoami", "health"]
    assert server.steps() == ["health", "whoami"]


async def test_call_repeats_only_what_can_be(server: Server) -> None:
    vm = server.vm()
    async with client(server, retry=RetryPolicy(backoff=0)) as arker:
        server.fail("vm", faults.drop_after)
        await arker.call(get_vm, vm)
        server.fail("run", faults.drop_after)
        with pytest.raises(ArkerError) as caught:
            await arker.call(run_command, vm, body=RunRequest("x", 0), idempotency_key="k")
        assert (caught.value.attempts, caught.value.processed) == (1, "maybe")
        async with client(server, retry=RetryPolicy(backoff=0, resend=True)) as resending:
            server.fail("run", faults.drop_after, faults.drop_after)
            with pytest.raises(ArkerError):
                await resending.call(run_command, vm, body=RunRequest("y", 0))
            await resending.call(run_command, vm, body=RunRequest("z", 0), idempotency_key="k")
    assert server.commands == ["x", "y", "z", "z"]


async def test_a_header_that_cannot_be_is_refused(server: Server) -> None:
    async with client(server) as arker:
        for key in ("a\r\nx: y", "ü", " a", "a "):
            with pytest.raises(ArkerError, match="Idempotency-Key"):
                await arker.call(run_command, server.vm(), body=RunRequest("x", 0), idempotency_key=key)
    assert server.requests == []


@pytest.mark.parametrize("value", [b"1\r\ny: 2", b"1\ny: 2", b"1\ry: 2", b"\0"])
async def test_no_header_is_sent_that_would_end_its_line(server: Server, value: bytes) -> None:
    async with client(server) as arker:
        pipeline = arker._pipeline
        request = pipeline.signed("GET", parse_url(server.url), arker._timeouts, headers=[(b"x", value)])
        with pytest.raises(ValueError, match="character"):
            await pipeline.perform(Budget(RetryPolicy(), 9), lambda: request, pipeline.answer)
    assert server.requests == []


@pytest.mark.parametrize("size", [2, 4])
async def test_a_body_that_does_not_have_its_size_ends_the_connection(server: Server, size: int) -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        yield b"123"

    async with client(server) as arker:
        await arker.list()
        pipeline, url = arker._pipeline, parse_url(server.url)
        request = pipeline.signed("PUT", url, arker._timeouts, body=AsyncBody(size, pieces))
        with pytest.raises(ValueError, match="size"):
            await pipeline.perform(Budget(RetryPolicy(), 9), lambda: request, pipeline.answer)
        await arker.list()
    assert server.connections == 2


async def test_a_path_of_the_users_cannot_leave_its_place(server: Server) -> None:
    async with client(server) as arker:
        with pytest.raises(ArkerError, match="not_found"):
            await arker.call(get_vm, "../vms/list?x=")
    assert server.requests[0].path == "/api/v1/vms/../vms/list?x="


async def test_a_prefix_of_the_base_url_is_kept(server: Server) -> None:
    async with AsyncArker(KEY, f"{server.url}/gateway/", retry=None) as arker:
        with pytest.raises(ArkerError):
            await arker.vm("arkuntu").fork()
    assert server.requests[0].path.startswith("/gateway/api/v1/vms/")
