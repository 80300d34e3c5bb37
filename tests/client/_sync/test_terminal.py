# Derived from tests/client/_async/test_terminal.py by `make generate`; do not edit.
"""Terminals and ports of the client, against the embedded deployment."""

from __future__ import annotations

import pytest
from arker_api.v03.api.sessions import patch_session
from arker_api.v03.models import PatchSessionRequest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, Ping, Pong

from arker import Arker, ArkerError, CommandFailedError, Terminal
from arker._io_sync import sleep
from arker.local.process.launcher import Deployment
from tests.faults.server import Server


def until(terminal: Terminal, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        data = terminal.read(timeout=30)
        assert data, seen
        seen += data
    return seen


@pytest.mark.contract("0.3")
def test_a_terminal_of_a_session(arker: Arker) -> None:
    with arker.vm("arkuntu").fork() as vm:
        vm.run("mkdir work; cd work; export GREETING=hi")
        with vm.terminal(columns=100, rows=30) as terminal:
            terminal.write("pwd; echo $GREETING; stty size\r")
            until(terminal, b"/home/user/work\r\nhi\r\n30 100\r\n")
            terminal.resize(60, 20)
            terminal.write("stty size; echo st''ays\r")
            until(terminal, b"20 60\r\nstays")
        # It goes on, and shows what was drawn.
        again = vm.terminal()
        until(again, b"stays")
        third = vm.terminal()
        assert _rest(again) == b""
        third.write("exit 7\r")
        _rest(third)
        assert third.exit_code == 7
        with pytest.raises(ArkerError) as caught:
            third.write("x")
        assert caught.value.code == "network"


@pytest.mark.contract("0.3")
def test_a_session_is_running_while_its_terminal_is_attached(arker: Arker) -> None:
    with arker.vm("arkuntu").fork() as vm:
        session = vm.get_session()
        with session.terminal() as terminal:
            terminal.write("echo re''ady\r")
            until(terminal, b"ready")
            assert (session.refresh()).state == "running"
        while (session.refresh()).state != "idle":
            sleep(0.02)


def _rest(terminal: Terminal) -> bytes:
    while data := terminal.read():
        pass
    return data


@pytest.mark.contract("0.3")
def test_a_terminal_that_is_killed_or_does_not_stay(arker: Arker) -> None:
    with arker.vm("arkuntu").fork() as vm:
        terminal = vm.terminal()
        terminal.write("trap '' HUP TERM; sleep 1000\r")
        until(terminal, b"sleep")
        terminal.kill()
        _rest(terminal)
        assert terminal.exit_code == 137
        with vm.terminal(persist=False) as terminal:
            terminal.write("X=kept; sleep 12345\r")
            while not (vm.run("pgrep -fx 'sleep 12345'", session_id="1")).stdout:
                pass
        # Whoever attaches before the deployment has noticed that it was left takes it over.
        while (vm.run("pgrep -fx 'sleep 12345'", session_id="1")).stdout:
            pass
        with vm.terminal() as terminal:
            terminal.write("echo [$X] do''ne\r")
            assert b"[] done" in until(terminal, b"done")


@pytest.mark.slow
@pytest.mark.contract("0.3")
def test_a_terminal_ends_after_the_time_that_its_session_sets(arker: Arker) -> None:
    with arker.vm("arkuntu").fork() as vm:
        arker.call(patch_session, vm.id, "0", body=PatchSessionRequest(timeout_secs=1))
        with vm.terminal() as terminal:
            terminal.write("exec sleep 12345\r")
            while not (vm.run("pgrep -x sleep", session_id="1")).stdout:
                pass
        while (vm.run("pgrep -x sleep", session_id="1")).stdout:
            pass


@pytest.mark.contract("0.3")
def test_a_program_and_what_is_refused(arker: Arker) -> None:
    with arker.vm("arkuntu").fork() as vm:
        terminal = vm.terminal(command="/usr/bin/tty")
        until(terminal, b"/dev/pts/0")
        _rest(terminal)
        assert terminal.exit_code == 0
        with pytest.raises(ArkerError) as caught:
            vm.terminal(session_id="nothing")
        assert caught.value.code == "not_found"
        with pytest.raises(ArkerError) as caught:
            vm.terminal(columns=5000)
        assert caught.value.code == "bad_request"
        with pytest.raises(ValueError, match="idle must be above 0"):
            vm.terminal(idle=-1)
        terminal = vm.terminal()
        with pytest.raises(ArkerError) as caught:
            terminal.resize(0, 24)
        assert caught.value.code == "bad_request"
        terminal.detach()
        with pytest.raises(ArkerError, match="is closed") as caught:
            _rest(terminal)  # what came with the answer is read first
        assert caught.value.code == "network"


class Pinging:
    """An answer whose server wants to know whether its client is there, and then draws."""

    def __init__(self) -> None:
        self.server = Connection(ConnectionType.SERVER)
        self.to_come = self.server.send(Ping(b"there?")) + self.server.send(BytesMessage(b"drawn"))

    def upgraded(self) -> Pinging:
        return self

    def read(self, timeout: float) -> bytes:
        data, self.to_come = self.to_come, b""
        return data

    def write(self, data: bytes, timeout: float) -> None:
        self.server.receive_data(data)


def test_a_terminal_answers_pings() -> None:
    reply = Pinging()
    terminal = Terminal(reply)  # type: ignore[arg-type]
    assert terminal.read() == b"drawn"
    assert list(reply.server.events()) == [Pong(b"there?")]


def test_a_port(arker: Arker, deployment: Deployment) -> None:
    with arker.vm("arkuntu").fork() as vm:
        port = vm.port(8000)
        with pytest.raises(ArkerError) as caught:
            port.connect()
        assert caught.value.code == "port_closed"
        with pytest.raises(ArkerError) as caught:
            port.wait(timeout=0.1)
        assert caught.value.code == "timeout"
        vm.sync.write_file("/home/user/index.html", "<h1>hello</h1>")
        run = vm.start("exec python3 -m http.server 8000 --bind 127.0.0.1")
        port.wait(run=run)
        with port.connect() as connection:
            connection.write(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while data := connection.read():
                answer += data
        assert answer.endswith(b"<h1>hello</h1>")
        assert port.url.endswith(f"{vm.id.lower()}-8000.localhost:{deployment.base_url.rpartition(':')[2]}")
        assert (port.link()).startswith(port.url)
        run.cancel()
        run.wait(timeout=30)
        with pytest.raises(ArkerError):
            port.connect()
        with pytest.raises(CommandFailedError, match="a server on port 8000: the run ended before"):
            port.wait(run=run)
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


def test_one_direction_of_a_connection_ends_alone(arker: Arker) -> None:
    with arker.vm("arkuntu").fork() as vm:
        run = vm.start(["python3", "-c", COUNTS])
        port = vm.port(9000)
        port.wait(run=run)
        with port.connect() as connection:
            connection.write(bytes(1_000_000))
            with pytest.raises(ArkerError, match=r"timeout: nothing arrived within 0\.01 s"):
                connection.read(timeout=0.01)
            connection.send_eof()
            assert connection.read(timeout=30) == b"1000000"
            assert connection.read(timeout=30) == b""


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


def test_http_to_a_port_needs_no_resolver_and_keeps_the_key_to_itself(
    deployment: Deployment, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    url = deployment.base_url
    with (
        Arker(deployment.api_key, url, global_url=url) as arker,
        arker.vm("arkuntu").fork() as vm,
    ):
        port = vm.port(8000)
        with port.http(follow_redirects=True, headers={"Authorization": "its own"}) as http:
            assert (http.get("/")).status_code == 502
            vm.files.write("server.py", SHOWS_HEADERS)
            run = vm.start("exec python3 server.py")
            port.wait(run=run)
            answer = http.get("/old?a=1")
            assert answer.json()[0] == "/old?a=1"
            answer = http.get("/old")
            path, headers = answer.json()
            assert (path, answer.url) == ("/new", f"{port.url}/new")
            assert headers["authorization"] == "its own"
            assert headers["cookie"] == "a=b"
            assert f"http://{headers['host']}" == port.url
            assert deployment.api_key not in str(headers) + str(answer.request.headers.raw)
            http.get(f"{server.url}/elsewhere")
            assert deployment.api_key not in str(server.requests[-1].headers)
        assert http.is_closed
        run.cancel()
