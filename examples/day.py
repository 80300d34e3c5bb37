"""An agent's day: install, start a server, follow its log, reach it from here, interrupt it, attach a terminal; then
the deployment restarts, and the work goes on.

It prints:

    installed: greet 1.0
    log: ready on port 8000
    answer: good day, visitor
    log: GET /visitor
    interrupted: exit code 0, good bye
    in the terminal: greet 1.0, started in /home/user/project
    -- the deployment restarts --
    files: greet.py server.py
    session: /home/user/project, GREETING=good day
    the run of before: failed (...), its log: ready on port 8000
    answer: good day, again
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from arker import Arker, Computer, Run

GREET = """
version = "1.0"

def greet(word, name):
    return f"{word}, {name}"
"""
SERVER = """
import http.server, os, signal, sys
from greet import greet

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("GET", self.path, flush=True)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(greet(os.environ["GREETING"], self.path.strip("/")).encode())

    def log_message(self, *args):
        pass

signal.signal(signal.SIGINT, lambda *args: sys.exit(print("good bye", flush=True)))
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Handler)
print("ready on port 8000", flush=True)
server.serve_forever()
"""


def install(computer: Computer, here: Path) -> None:
    """Bring the project there, with a Python environment of its own."""
    (here / "greet.py").write_text(GREET)
    (here / "server.py").write_text(SERVER)
    computer.files.push(here, "/home/user/project")
    # A session keeps its folder and its variables; later runs begin with them.
    computer.run(
        "cd project && python3 -m venv --without-pip ~/env && export PATH=~/env/bin:$PATH GREETING='good day'"
    ).check()
    version = computer.run("python -c 'import greet; print(greet.version)'").check()
    print("installed: greet", version.text.strip())


def serve(computer: Computer) -> Run:
    """Start the server, which runs until it is cancelled."""
    server = computer.start("exec python server.py")
    computer.port(8000).wait(run=server)
    return server


def ask(computer: Computer, name: str) -> None:
    """Reach the server from here. For a browser there is `port.link()`, for other protocols `port.connect()`."""
    with computer.port(8000).http() as http:
        print("answer:", http.get(f"/{name}").text)


def morning(computer: Computer, here: Path) -> Run:
    """Start, use and stop a server; return one that still runs."""
    install(computer, here)
    server = serve(computer)
    with server.stream() as log:
        lines = (line for _, line in log.lines())
        print("log:", next(lines))
        ask(computer, "visitor")
        print("log:", next(line for line in lines if "visitor" in line))
    server.send_signal("INT")
    result = server.wait(timeout=30)
    print(f"interrupted: exit code {result.exit_code}, {result.text.splitlines()[-1]}")

    with computer.terminal() as terminal:
        terminal.write("python -c 'import greet, os; print(f\"<{greet.version}|{os.getcwd()}>\")'; exit\r")
        screen = b""
        while data := terminal.read():
            screen += data
    version, folder = screen.rpartition(b"<")[2].partition(b">")[0].decode().split("|")
    print(f"in the terminal: greet {version}, started in {folder}")
    return serve(computer)


def afternoon(computer: Computer, run_id: str) -> None:
    """After a restart: files, sessions and records of runs are there, processes are not."""
    print("files:", *computer.run("ls -I '__*'").text.split())
    print("session:", computer.run("echo $PWD, GREETING=$GREETING").text.strip())
    before = computer.get_run(run_id)
    log, _ = before.output()
    print(f"the run of before: {before.state} ({before.info.reason}), its log: {log.decode().strip()}")
    serve(computer)
    ask(computer, "again")


with tempfile.TemporaryDirectory() as folder:
    here = Path(folder, "project")
    here.mkdir()
    with Arker.local(Path(folder, "state")) as arker:
        computer = arker.vm("arkuntu").fork(name="agent")
        running = morning(computer, here)
        vm_id, run_id = computer.id, running.id
    print("-- the deployment restarts --")
    with Arker.local(Path(folder, "state")) as arker, arker.vm(vm_id) as computer:
        afternoon(computer, run_id)
