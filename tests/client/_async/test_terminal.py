"""Terminals and ports of the client, against the embedded deployment."""

from __future__ import annotations

import pytest
from arker_api.v03.api.sessions import patch_session
from arker_api.v03.models import PatchSessionRequest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, Ping, Pong

from arker import ArkerError, AsyncArker, AsyncTerminal, CommandFailedError
from arker._io_async import async_sleep
from arker.local.process.launcher import Deployment
from tests.faults.server import Server


async def until(terminal: AsyncTerminal, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        data = await terminal.read(timeout=30)
        assert data, seen
        seen += data
    return seen


@pytest.mark.contract("0.3")
async def test_a_terminal_of_a_session(arker: AsyncArker) -> None:
    async with await arker.vm("arkuntu").fork() as vm:
        await vm.run("mkdir work; cd work; export GREETING=hi")
        async with await vm.terminal(columns=100, rows=30) as terminal:
            await terminal.write("pwd; echo $GREETING; stty size\r")
            await until(terminal, b"/home/user/work\r\nhi\r\n30 100\r\n")
            await terminal.resize(60, 20)
            await terminal.write("stty size; echo st''ays\r")
            await until(terminal, b"20 60\r\nstays")
        # It goes on, and shows what was drawn.
        again = await vm.terminal()
        await until(again, b"stays")
        third = await vm.terminal()
        assert await _rest(again) == b""
        await third.write("exit 7\r")
        await _rest(third)
        assert third.exit_code == 7
        with pytest.raises(ArkerError) as caught:
            await third.write("x")
        assert caught.value.code == "network"


@pytest.mark.contract("0.3")
async def test_a_session_is_running_while_its_terminal_is_attached(arker: AsyncArker) -> None:
    async with await arker.vm("arkuntu").fork() as vm:
        session = await vm.get_session()
        async with await session.terminal() as terminal:
            await terminal.write("echo re''ady\r")
            await until(terminal, b"ready")
            assert (await session.refresh()).state == "running"
        while (await session.refresh()).state != "idle":
            await async_sleep(0.02)


async def _rest(terminal: AsyncTerminal) -> bytes:
    while data := await terminal.read():
        pass
    return data


@pytest.mark.contract("0.3")
async def test_a_terminal_that_is_killed_or_does_not_stay(arker: AsyncArker) -> None:
    async with await arker.vm("arkuntu").fork() as vm:
        terminal = await vm.terminal()
        await terminal.write("trap '' HUP TERM; sleep 1000\r")
        await until(terminal, b"sleep")
        await terminal.kill()
        await _rest(terminal)
        assert terminal.exit_code == 137
        async with await vm.terminal(persist=False) as terminal:
            await terminal.write("X=kept; sleep 12345\r")
            while not (await vm.run("pgrep -fx 'sleep 12345'", session_id="1")).stdout:
                pass
        # Whoever attaches before the deployment has noticed that it was left takes it over.
        while (await vm.run("pgrep -fx 'sleep 12345'", session_id="1")).stdout:
            pass
        async with await vm.terminal() as terminal:
            await terminal.write("echo [$X] do''ne\r")
            assert b"[] done" in await until(terminal, b"done")


@pytest.mark.slow
@pytest.mark.contract("0.3")
async def test_a_terminal_ends_after_the_time_that_its_session_sets(arker: AsyncArker) -> None:
    async with await arker.vm("arkuntu").fork() as vm:
        await arker.call(patch_session, vm.id, "0", body=PatchSessionRequest(timeout_secs=1))
        async with await vm.terminal() as terminal:
            await terminal.write("exec sleep 12345\r")
            while not (await vm.run("pgrep -x sleep", session_id="1")).stdout:
                pass
        while (await vm.run("pgrep -x sleep", session_id="1")).stdout:
            pass


@pytest.mark.contract("0.3")
async def test_a_program_and_what_is_refused(arker: AsyncArker) -> None:
    async with await arker.vm("arkuntu").fork() as vm:
        terminal = await vm.terminal(command="/usr/bin/tty")
        await until(terminal, b"/dev/pts/0")
        await _rest(terminal)
        assert terminal.exit_code == 0
        with pytest.raises(ArkerError) as caught:
            await vm.terminal(session_id="nothing")
        assert caught.value.code == "not_found"
        with pytest.raises(ArkerError) as caught:
            await vm.terminal(columns=5000)
        assert caught.value.code == "bad_request"
        with pytest.raises(ValueError, match="idle must be above 0"):
            await vm.terminal(idle=-1)
        terminal = await vm.terminal()
        with pytest.raises(ArkerError) as caught:
            await terminal.resize(0, 24)
        assert caught.value.code == "bad_request"
        await terminal.detach()
        with pytest.raises(ArkerError, match="is closed") as caught:
            await _rest(terminal)  # what came with the answer is read first
        assert caught.value.code == "network"


class Pinging:
    """An answer whose server wants to know whether its client is there, and then draws."""

    def __init__(self) -> None:
        self.server = Connection(ConnectionType.SERVER)
        self.to_come = self.server.send(Ping(b"there?")) + self.server.send(BytesMessage(b"drawn"))

    def upgraded(self) -> Pinging:
        return self

    async def read(self, timeout: float) -> bytes:
        data, self.to_come = self.to_come, b""
        return data

    async def write(self, data: bytes, timeout: float) -> None:
        self.server.receive_data(data)


async def test_a_terminal_answers_pings() -> None:
    reply = Pinging()
    terminal = AsyncTerminal(reply)  # type: ignore[arg-type]
    assert await terminal.read() == b"drawn"
    assert list(reply.server.events()) == [Pong(b"there?")]


async def test_a_port(arker: AsyncArker, deployment: Deployment) -> None:
    async with await arker.vm("arkuntu").fork() as vm:
        port = vm.port(8000)
        with pytest.raises(ArkerError) as caught:
            await port.connect()
        assert caught.value.code == "port_closed"
        with pytest.raises(ArkerError) as caught:
            await port.wait(timeout=0.1)
        assert caught.value.code == "timeout"
        await vm.sync.write_file("/home/user/index.html", "<h1>hello</h1>")
        run = await vm.start("exec python3 -m http.server 8000 --bind 127.0.0.1")
        await port.wait(run=run)
        async with await port.connect() as connection:
            await connection.write(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while data := await connection.read():
                answer += data
        assert answer.endswith(b"<h1>hello</h1>")
        assert port.url.endswith(f"{vm.id.lower()}-8000.localhost:{deployment.base_url.rpartition(':')[2]}")
        assert (await port.link()).startswith(port.url)
        await run.cancel()
        await run.wait(timeout=30)
        with pytest.raises(ArkerError):
            await port.connect()
        with pytest.raises(CommandFailedError, match="a server on port 8000: the run ended before"):
            await port.wait(run=run)
        with pytest.raises(ValueError, match="from 1 to 65535"):
            vm.port(0)


COUNTS = """
import socket
with socket.create_server(("127.0.0.1", 9000)) as server:
    while True:
        connection, _ = server.accept()
        size = 0
        while data := connection.recv(65536):
            size += len(data)
        connection.sendall(b"%d" % size)
        connection.close()
"""


async def test_one_direction_of_a_connection_ends_alone(arker: AsyncArker) -> None:
    async with await arker.vm("arkuntu").fork() as vm:
        run = await vm.start(["python3", "-c", COUNTS])
        port = vm.port(9000)
        await port.wait(run=run)
        async with await port.connect() as connection:
            await connection.write(bytes(1_000_000))
            with pytest.raises(ArkerError, match=r"timeout: nothing arrived within 0\.01 s"):
                await connection.read(timeout=0.01)
            connection.send_eof()
            assert await connection.read(timeout=30) == b"1000000"
            assert await connection.read(timeout=30) == b""


SHOWS_HEADERS = """
import http.server, json

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(302 if self.path == "/old" else 200)
        self.send_header("Location", "/new")
        self.send_header("Set-Cookie", "a=b")
        self.end_headers()
        self.wfile.write(json.dumps([self.path, dict(self.headers)]).encode())

http.server.HTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"""


async def test_http_to_a_port_needs_no_resolver_and_keeps_the_key_to_itself(
    deployment: Deployment, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    url = deployment.base_url
    async with (
        AsyncArker(deployment.api_key, url, global_url=url) as arker,
        await arker.vm("arkuntu").fork() as vm,
    ):
        port = vm.port(8000)
        async with port.http(follow_redirects=True, headers={"Authorization": "its own"}) as http:
            assert (await http.get("/")).status_code == 502
            await vm.files.write("server.py", SHOWS_HEADERS)
            run = await vm.start("exec python3 server.py")
            await port.wait(run=run)
            answer = await http.get("/old?a=1")
            assert answer.json()[0] == "/old?a=1"
            answer = await http.get("/old")
            path, headers = answer.json()
            assert (path, answer.url) == ("/new", f"{port.url}/new")
            assert headers["authorization"] == "its own"
            assert headers["cookie"] == "a=b"
            assert f"http://{headers['host']}" == port.url
            assert deployment.api_key not in str(headers) + str(answer.request.headers.raw)
            await http.get(f"{server.url}/elsewhere")
            assert deployment.api_key not in str(server.requests[-1].headers)
        assert http.is_closed
        await run.cancel()
