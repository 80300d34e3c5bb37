# Derived from tests/client/_async/test_terminal.py by `make generate`; do not edit.
"""Terminals and ports of the client, against the embedded deployment."""

from __future__ import annotations

import pytest

from arker import Arker, ArkerError, Terminal
from arker.local.process.launcher import Deployment


def client(deployment: Deployment) -> Arker:
    return Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url)


def until(terminal: Terminal, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        data = terminal.read(timeout=30)
        assert data, seen
        seen += data
    return seen


@pytest.mark.contract("0.3")
def test_a_terminal_of_a_session(deployment: Deployment) -> None:
    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
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


def _rest(terminal: Terminal) -> bytes:
    while data := terminal.read():
        pass
    return data


@pytest.mark.contract("0.3")
def test_a_terminal_that_is_killed_or_does_not_stay(deployment: Deployment) -> None:
    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
        terminal = vm.terminal()
        terminal.write("trap '' HUP TERM; sleep 1000\r")
        until(terminal, b"sleep")
        terminal.kill()
        _rest(terminal)
        assert terminal.exit_code == 137
        with vm.terminal(persist=False) as terminal:
            terminal.write("X=kept\r")
            until(terminal, b"kept")
        # The deployment has to notice that it was left.
        seen = b"[kept]"
        while b"[kept]" in seen:
            with vm.terminal() as terminal:
                terminal.write("echo [$X] do''ne\r")
                seen = until(terminal, b"done")
        assert b"[] done" in seen


@pytest.mark.contract("0.3")
def test_a_program_and_what_is_refused(deployment: Deployment) -> None:
    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
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


def test_a_port(deployment: Deployment) -> None:
    with client(deployment) as arker, arker.vm("arkuntu").fork() as vm:
        port = vm.port(8000)
        with pytest.raises(ArkerError) as caught:
            port.connect()
        assert caught.value.code == "port_closed"
        with pytest.raises(ArkerError) as caught:
            port.wait(timeout=0.1)
        assert caught.value.code == "timeout"
        vm.sync.write_file("/home/user/index.html", "<h1>hello</h1>")
        run = vm.start("exec python3 -m http.server 8000 --bind 127.0.0.1")
        port.wait()
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
        with pytest.raises(ValueError, match="from 1 to 65535"):
            vm.port(0)
