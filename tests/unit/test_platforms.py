"""The client beyond Linux, as far as Linux can pretend: what other systems lack is removed before Arker is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Run first: the standard library keeps what it needs of the real system, Arker sees the other one.
PRETEND = """
import asyncio, concurrent.futures, email, getpass, http.server, multiprocessing, os, pathlib, select, shutil
import signal, socket, ssl, subprocess, sys, tempfile, threading
import click, httpx, keyring, pydantic, rich.console, rich.table
platform = sys.argv.pop(1)
sys.platform = platform
gone = ["pidfd_open", "splice", "sendfile", "memfd_create", "setresuid", "unshare", "sched_setaffinity"]
if platform == "win32":
    gone += ["fork", "register_at_fork", "geteuid", "getuid", "setsid", "mkfifo", "fchmod", "getpgid", "killpg"]
    for module in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"):
        sys.modules[module] = None
    lacking = ("SIGKILL", "SIGHUP", "SIGPIPE", "SIGCHLD", "SIGUSR1", "SIGTTIN", "SIGWINCH", "pidfd_send_signal")
    for name in (*lacking, "pthread_sigmask"):
        if hasattr(signal, name):
            delattr(signal, name)
    # AF_UNIX stays: the event loop of this system needs it.
    for name in ("recv_fds", "send_fds"):
        delattr(socket, name)
    del select.poll
for name in gone:
    if hasattr(os, name):
        delattr(os, name)
del select.epoll
"""


def pretend(platform: str, code: str, home: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ARKER_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", PRETEND + code, platform],
        env={**kept, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "ARKER_STATE": str(home / "state")},
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip


@pytest.mark.parametrize("platform", ["darwin", "win32"])
@pytest.mark.parametrize(
    "code",
    [
        "import arker; [getattr(arker, name) for name in arker.__all__]",
        "import arker.testing",
        "import arker.cli; sys.argv = ['arker', '--help']; arker.cli.main()",
        "import arker.cli; sys.argv = ['arker', 'config']; arker.cli.main()",
        "import arker.cli; sys.argv = ['arker', 'serve', '--help']; arker.cli.main()",
    ],
)
def test_without_linux_the_client_works(platform: str, code: str, tmp_path: Path) -> None:
    done = pretend(platform, code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("platform", "way"), [("darwin", "limactl start"), ("win32", "wsl --install")])
def test_without_linux_the_error_says_the_shortest_way(platform: str, way: str, tmp_path: Path) -> None:
    done = pretend(platform, "import arker; arker.Arker.local()", tmp_path)
    assert way in done.stderr.splitlines()[-1]
    for words in (["serve"], ["serve", "--detach"], ["images", "build"]):
        done = pretend(
            platform, f"import arker.cli; sys.argv = {['arker', *words]}; arker.cli.main()", tmp_path
        )
        assert done.returncode == 1
        assert way in done.stderr
        assert done.stderr.count("\n") == 1
    for words in (["ls"], ["fork"]):
        done = pretend(
            platform, f"import arker.cli; sys.argv = {['arker', *words]}; arker.cli.main()", tmp_path
        )
        assert done.returncode == 2
        assert "ARKER_API_KEY" in done.stderr
        assert done.stderr.count("\n") == 1


def test_windows_has_no_terminal_for_a_shell(tmp_path: Path) -> None:
    code = """
import arker.cli
os.environ["ARKER_API_KEY"] = "ark_" + "k" * 40
sys.argv = ["arker", "shell", "web"]
arker.cli.main()
"""
    done = pretend("win32", code, tmp_path)
    assert (done.returncode, done.stdout) == (125, "")
    assert "use WSL" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_the_client_talks_to_a_server(platform: str, tmp_path: Path) -> None:
    """A call over a real socket, to a server that knows one answer."""
    code = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"items": [], "total": 7}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
from arker import Arker, AsyncArker
with Arker("k" * 20, url, global_url=url) as client:
    print(client.list().total)
async def main():
    async with AsyncArker("k" * 20, url, global_url=url) as client:
        print((await client.list()).total)
# The event loop of Windows cannot be had here.
if platform != "win32":
    asyncio.run(main())
server.shutdown()
server.server_close()
"""
    done = pretend(platform, code, tmp_path)
    assert (set(done.stdout.split()), done.stderr) == ({"7"}, "")
