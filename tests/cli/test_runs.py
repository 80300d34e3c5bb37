"""Background runs, terminals and ports on the command line."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import select
import shlex
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from typing import cast

import pytest

from arker import Arker, ArkerError, Computer
from arker.cli.runs import start_with_input
from arker.cli.terminal import Keys

from .conftest import Cli

ARKER = [sys.executable, "-m", "arker"]


@pytest.fixture
def vm(environment: dict[str, str]) -> Iterator[Computer]:
    with Arker() as arker, arker.vm("arkuntu").fork() as computer:
        yield computer


def read_until(fd: int, text: bytes) -> bytes:
    seen, until = b"", time.monotonic() + 30
    while text not in seen:
        assert time.monotonic() < until, seen
        if select.select([fd], [], [], 0.1)[0]:
            data = os.read(fd, 65536)
            assert data, seen
            seen += data
    return seen


def test_a_run_goes_on_and_is_found_again(cli: Cli, vm: Computer) -> None:
    run = cli("start", vm.id, "--", "echo begun; echo oops >&2; sleep 1000").stdout.strip()
    while "begun" not in cli("logs", vm.id, run).stdout:
        time.sleep(0.02)
    listed = json.loads(cli("ps", vm.id, "--json").stdout)
    assert [(one["run_id"], one["state"]) for one in listed] == [(run, "running")]
    assert cli("logs", vm.id, run[:6]).stderr == "oops\n"
    cli("kill", vm.id, run)
    vm.get_run(run).wait(timeout=30)
    assert cli("ps", vm.id, "-q").stdout == ""
    assert cli("ps", vm.id, "-aq").stdout == f"{run}\n"
    assert "there is no run" in cli("logs", vm.id, "zzz", code=1).stderr


def test_sessions_are_listed_reset_and_ended(cli: Cli, vm: Computer) -> None:
    cli("run", vm.id, "--", "cd /tmp; x=5")
    cli("run", vm.id, "-s", "build", "--", "true")
    rows = [line.split("\t") for line in cli("sessions", vm.id).stdout.splitlines()]
    assert rows == [["0", "idle", "/tmp"], ["build", "idle", "/home/user"]]
    cli("sessions", vm.id, "--reset", "0", "--rm", "build")
    assert cli("run", vm.id, "--", "echo $x; pwd").stdout == "\n/home/user\n"
    listed = json.loads(cli("sessions", vm.id, "--json").stdout)
    assert listed == [{"session_id": "0", "state": "idle", "cwd": "/home/user"}]
    assert "no session 'other'" in cli("sessions", vm.id, "--rm", "other", code=1).stderr


def test_follow_prints_as_it_comes_and_passes_input_and_the_exit_code(
    vm: Computer, environment: dict[str, str]
) -> None:
    with subprocess.Popen(
        [*ARKER, "run", "-f", vm.id, "--", "echo ready; read line; echo got $line; exit 7"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        read_until(process.stdout.fileno(), b"ready\n")
        os.write(process.stdin.fileno(), b"a line\n")
        read_until(process.stdout.fileno(), b"got a line\n")
        process.stdin.close()
        assert process.wait(30) == 7


def test_follow_without_a_standard_input(vm: Computer, environment: dict[str, str]) -> None:
    line = f"exec {shlex.join([*ARKER, 'run', '-f', vm.id, '--', 'cat; echo done'])} <&-"
    done = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == (b"done\n", b"", 0)


def test_a_command_is_followed_where_it_gets_no_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    class Without:
        def start(self, line: str, **options: object) -> str:
            asked.append(options)
            if options.get("stdin"):
                raise ArkerError("unsupported_operation", "it has none")
            return line

    monkeypatch.setattr(sys, "stdin", io.StringIO("typed"))
    assert start_with_input(cast(Computer, Without()), "cat", session_id=0) == "cat"
    assert asked == [{"stdin": True, "session_id": 0}, {"session_id": 0}]
    assert "no input" in capsys.readouterr().err


def test_ctrl_c_interrupts_the_command_and_not_its_follower(
    vm: Computer, environment: dict[str, str]
) -> None:
    command = "trap 'echo interrupted; exit 9' INT; echo ready; while :; do :; done"
    with subprocess.Popen(
        [*ARKER, "run", "-f", vm.id, "--", command], env=environment, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        read_until(process.stdout.fileno(), b"ready\n")
        process.send_signal(signal.SIGINT)
        read_until(process.stdout.fileno(), b"interrupted\n")
        assert process.wait(30) == 9


def test_a_command_that_is_followed_under_nohup_goes_on(vm: Computer, environment: dict[str, str]) -> None:
    nohup = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"]
    with subprocess.Popen(
        [*nohup, *ARKER, "run", "-f", vm.id, "--", "echo ready; read line; echo $line"],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        read_until(process.stdout.fileno(), b"ready\n")
        process.send_signal(signal.SIGHUP)
        assert process.communicate(b"went on\n", timeout=60)[0] == b"went on\n"
        assert process.returncode == 0


@pytest.mark.slow
def test_a_command_that_is_followed_ends_with_its_follower(vm: Computer, environment: dict[str, str]) -> None:
    command = [*ARKER, "run", "-f", vm.id, "--", "echo ready; while sleep 0.05; do echo more; done"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        read_until(process.stdout.fileno(), b"ready\n")
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        read_until(process.stdout.fileno(), b"ready\n")
        process.stdout.close()
        assert process.wait(30) == 128 + signal.SIGPIPE
    ended = [run.wait(timeout=30).reason for run in vm.runs()[:2]]
    assert ended == ["cancelled", "signalled"]


def test_attach_is_as_if_it_had_been_started_here(vm: Computer, environment: dict[str, str]) -> None:
    run = vm.start("cat; exit 3", stdin=True)
    done = subprocess.run(
        [*ARKER, "attach", vm.id, run.id],
        env=environment,
        input=b"typed\n",
        stdout=subprocess.PIPE,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == (b"typed\n", 3)


@pytest.mark.slow
def test_a_shell_is_a_terminal(vm: Computer, environment: dict[str, str]) -> None:
    def shell() -> tuple[int, int]:
        pid, fd = pty.fork()
        if pid == 0:
            os.execve(sys.executable, [*ARKER, "shell", vm.id], environment)
        return pid, fd

    pid, fd = shell()
    read_until(fd, b"$ ")
    os.write(fd, b"X=kept; echo $TERM si''ze; stty size\r")
    read_until(fd, b"xterm-256color size")
    os.write(fd, b"sleep 1000\r")
    read_until(fd, b"sleep 1000\r\n")
    # Bash makes it the foreground before it becomes `sleep`.
    while not vm.run("pgrep -x sleep", session_id="look").stdout:
        time.sleep(0.02)
    os.write(fd, b"\x03")
    read_until(fd, b"^C")
    os.write(fd, b"\r~.")
    read_until(fd, b"comes back")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(fd)
    pid, fd = shell()
    os.write(fd, b"echo [$X]; exit 5\r")
    read_until(fd, b"[kept]")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    os.close(fd)


def test_a_shell_that_is_ended_leaves_the_terminal_as_it_was(
    vm: Computer, environment: dict[str, str]
) -> None:
    with contextlib.ExitStack() as stack:
        fds = os.openpty()
        for fd in fds:
            stack.callback(os.close, fd)
        before = termios.tcgetattr(fds[1])
        process = stack.enter_context(
            subprocess.Popen([*ARKER, "shell", vm.id], env=environment, stdin=fds[1], stdout=fds[1])
        )
        read_until(fds[0], b"$ ")
        assert termios.tcgetattr(fds[1]) != before
        # Of a process that is stopped, whichever thread goes on first takes the signal.
        process.send_signal(signal.SIGSTOP)
        process.terminate()
        process.send_signal(signal.SIGCONT)
        assert process.wait(30) == 128 + signal.SIGTERM
        assert termios.tcgetattr(fds[1]) == before


def test_a_shell_needs_a_terminal(cli: Cli, vm: Computer) -> None:
    assert "no terminal" in cli("shell", vm.id, code=125).stderr


@pytest.mark.parametrize(
    ("typed", "passed", "left"),
    [
        (b"~.", b"", True),
        (b"a~.", b"a~.", False),
        (b"\r~.rest", b"\r", True),
        (b"\r~~.", b"\r~.", False),
        (b"\r~x", b"\r~x", False),
        (b"ls ~/\r", b"ls ~/\r", False),
    ],
)
def test_the_keys_that_leave(typed: bytes, passed: bytes, left: bool) -> None:
    assert Keys().feed(typed) == (passed, left)
    keys, got = Keys(), b""
    for index in range(len(typed)):
        more, gone = keys.feed(typed[index : index + 1])
        got += more
        if gone:
            break
    assert (got, gone) == (passed, left)


def test_a_port_is_forwarded(vm: Computer, environment: dict[str, str]) -> None:
    vm.sync.write_file("/home/user/hello", "forwarded")
    vm.start("exec python3 -m http.server 8000 --bind 127.0.0.1")
    vm.port(8000).wait()
    with subprocess.Popen(
        [*ARKER, "port", vm.id, "8000:0"], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        local = int(process.stdout.readline().split()[0].rpartition(":")[2])
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", local), 30) as sock:
                sock.sendall(b"GET /hello HTTP/1.0\r\n\r\n")
                sock.shutdown(socket.SHUT_WR)
                answer = b""
                while data := sock.recv(65536):
                    answer += data
            assert answer.endswith(b"forwarded")
        process.send_signal(signal.SIGINT)
        process.wait(30)


def test_a_link_for_a_browser(cli: Cli, vm: Computer) -> None:
    assert cli("port", vm.id, "8000", "--link").stdout.startswith(f"http://{vm.id.lower()}-8000.localhost:")
    assert "PORT" in cli("port", vm.id, "x", code=2).stderr


@pytest.mark.slow
def test_how_a_command_ended_is_said_whether_or_not_it_is_followed(cli: Cli, vm: Computer) -> None:
    for follow in ([], ["--follow"]):
        killed = cli("run", vm.id, *follow, "--", "kill -9 $$", code=137)
        assert killed.stderr == "arker: the command was ended by signal 9 (SIGKILL)\n"
        late = cli("run", vm.id, *follow, "-t", "1", "--", "sleep 60", code=124)
        assert late.stderr == "arker: the command was ended by its timeout\n"
        assert cli("run", vm.id, *follow, "--", "sh -c 'kill -9 $$'", code=137).stderr.count("arker:") == 0


def test_attach_leaves_standard_input_alone_if_the_run_takes_none(
    vm: Computer, environment: dict[str, str]
) -> None:
    run = vm.start("read go < <(sleep 0.3); exit 3")
    script = f"{shlex.join(ARKER)} attach {vm.id} {run.id}\necho then $?\n"
    done = subprocess.run(["sh"], env=environment, input=script.encode(), stdout=subprocess.PIPE, timeout=60)
    assert done.stdout == b"then 3\n"


def test_run_takes_a_folder_and_variables(cli: Cli, vm: Computer) -> None:
    vm.run("mkdir -p repo/src")
    for follow in ([], ["--follow"]):
        told = cli("run", vm.id, *follow, "--cwd", "repo/src", "-e", "A=b c", "--", 'echo "$PWD $A"')
        assert told.stdout == "/home/user/repo/src b c\n"
        missing = cli("run", vm.id, *follow, "--cwd", "/none", "--", "true", code=125)
        assert "there is no folder /none" in missing.stderr
    assert cli("run", vm.id, "-e", "A", "--", "true", code=2).stderr.startswith("arker: ")
