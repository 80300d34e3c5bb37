"""Live output, terminals, ports and interpreters of the embedded deployment, by the client on the same machine.

Beside each is the same without a sandbox and without a deployment. Live output, from just before `write(2)` to the
callback: a pipe of a subprocess that a small server sends on as server-sent events. A flood: a pipe, sent on through a
socket. A key: `cat` at a pseudo-terminal. A port: a client in the computer itself, next to its server. An interpreter:
a loop of `eval` at the end of two pipes. "plain" is a `run` without callbacks, in CPU time of the client.

Client, deployment and computer take turns in all of these but that: where few cores are free, the times are mostly
those of waiting for one.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import pty
import re
import socket
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks.harness import Bench, Target, options, whole_source
from benchmarks.timing import Figures, folder, percentiles

if TYPE_CHECKING:
    from arker import Computer

METRICS = {
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
    "more_p50_ms": "p50 more than bare, ms",
    "more_p99_ms": "p99 more than bare, ms",
    "mb_per_s": "MB/s",
    "cpu_us": "CPU, µs",
    "peak_mb": "peak memory, +MB",
}
TARGETS = (
    Target("live output, ms more than a pipe with SSE, p50", "live output", "more_p50_ms", 2),
    Target("live output, ms more than a pipe with SSE, p99", "live output", "more_p99_ms", 10),
    Target("a flood to a callback, of a raw socket loop", "flood", "mb_per_s", 0.5, "bare", at_least=True),
    Target("memory of a flood, client and deployment together, +MB", "flood", "peak_mb", 16),
    Target("CPU of a small run with callbacks, of one without", "small run", "cpu_us", 1.3, "plain"),
    Target("a key's echo, ms more than a bare terminal, p50", "key", "more_p50_ms", 2),
    Target("a request to a port, ms more than inside, p50", "port", "more_p50_ms", 1),
    Target("throughput of a port, of that inside", "port, 100 MB", "mb_per_s", 0.5, "bare", at_least=True),
)
MB = 1_000_000
#: Number of parts of a measurement that alternates with another one.
BLOCKS = 5
TICKS = """
import os, time
for _ in range({count}):
    time.sleep(0.004)
    os.write(1, b"%d\\n" % time.monotonic_ns())
"""
#: A server, and a client beside it; the client prints what it measured.
HTTP = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = bytes(int(self.path[1:]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"""
INSIDE = """
import socket, time
for size in [10] * {count} + [{large}]:
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", 8000)) as connection:
        connection.sendall(b"GET /%d HTTP/1.0\\r\\n\\r\\n" % size)
        while connection.recv(1 << 18):
            pass
    print(time.perf_counter() - began)
"""
LOOP = """
import sys
names = {}
for line in sys.stdin:
    print(eval(line, names), flush=True)
"""


def compared(ours: list[float], bare: list[float]) -> dict[str, dict[str, float]]:
    """Return percentiles of both, and how much longer ours are."""
    mine, theirs = percentiles(ours), percentiles(bare)
    more = {f"more_{name}": mine[name] - theirs[name] for name in mine}
    return {"arker": {**mine, **more}, "bare": theirs}


def memory(process: int, field: str) -> int:
    """Return the bytes that the kernel counts."""
    found = re.search(rf"^{field}:\s+(\d+)", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


@contextlib.contextmanager
def sent_on(command: list[str], head: Callable[[bytes], bytes]) -> Iterator[socket.socket]:
    """A connection on which a server of another thread sends what a subprocess writes, as `head` encodes it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, subprocess.Popen(command, stdout=subprocess.PIPE) as child:
                assert child.stdout is not None
                while data := os.read(child.stdout.fileno(), 1 << 16):
                    connection.sendall(head(data))

        thread = threading.Thread(target=serve)
        thread.start()
        with socket.create_connection(server.getsockname()) as connection:
            yield connection
        thread.join()


def live_output(vm: Computer, count: int) -> dict[str, dict[str, float]]:
    """Measure the time from a write in a computer to the callback."""
    program = TICKS.format(count=count)
    delays: dict[str, list[float]] = {"arker": [], "bare": []}

    def seen(who: str, data: bytes) -> None:
        now = time.monotonic_ns()
        delays[who] += [(now - int(tick)) / 1e9 for tick in re.findall(rb"\d{9,}", data)]

    vm.run(["python3", "-c", program], on_stdout=lambda data: seen("arker", data)).check()
    with sent_on([sys.executable, "-c", program], lambda data: b"data: %s\n\n" % data) as connection:
        while data := connection.recv(1 << 16):
            seen("bare", data)
    return compared(delays["arker"], delays["bare"])


def flood(vm: Computer, size: int, deployment: int) -> dict[str, dict[str, float]]:
    """Measure the throughput of a run's output to a callback."""
    for process in (os.getpid(), deployment):
        Path(f"/proc/{process}/clear_refs").write_text("5")  # forgets the peak so far
    before = memory(os.getpid(), "VmRSS") + memory(deployment, "VmRSS")
    got = 0

    def count(data: bytes) -> None:
        nonlocal got
        got += len(data)

    began = time.perf_counter()
    with vm.stream(f"head -c {size} /dev/zero") as stream:
        for event in stream:
            count(getattr(event, "data", b""))
    ours = time.perf_counter() - began
    peak = memory(os.getpid(), "VmHWM") + memory(deployment, "VmHWM") - before
    assert got == size, got
    began = time.perf_counter()
    with sent_on(["head", "-c", str(size), "/dev/zero"], bytes) as connection:
        while connection.recv(1 << 18):
            pass
    bare = time.perf_counter() - began
    return {
        "arker": {"mb_per_s": size / MB / ours, "peak_mb": max(peak / MB, 0.1)},
        "bare": {"mb_per_s": size / MB / bare},
    }


def small_run(vm: Computer, count: int) -> dict[str, dict[str, float]]:
    """Measure the CPU time of the client for `run`, alternately with callbacks and without."""
    spent = {"arker": 0.0, "plain": 0.0}

    def ignore(_: bytes) -> None:
        """A callback."""

    for _ in range(count):
        began = time.process_time()
        vm.run("echo hello", on_stdout=ignore)
        between = time.process_time()
        vm.run("echo hello")
        spent["arker"] += between - began
        spent["plain"] += time.process_time() - between
    return {who: {"cpu_us": seconds / count * 1e6} for who, seconds in spent.items()}


def key(vm: Computer, count: int) -> dict[str, dict[str, float]]:
    """Measure the time from a key to its echo."""
    ours, bare = [], []
    main, other = pty.openpty()
    tty.setraw(other)
    with (
        vm.terminal(command="/bin/cat", persist=False) as terminal,
        subprocess.Popen(["cat"], stdin=other, stdout=other) as child,
    ):
        for _ in range(count):
            began = time.perf_counter()
            terminal.write("x")
            while b"x" not in terminal.read():
                pass
            between = time.perf_counter()
            os.write(main, b"x")
            os.read(main, 100)
            bare.append(time.perf_counter() - between)
            ours.append(between - began)
        child.kill()
    os.close(main)
    os.close(other)
    return compared(ours, bare)


def port(vm: Computer, url: str, key: str, count: int, large: int) -> Figures:
    """A request to a server in a computer, by HTTP and on a connection of its own, and much data."""
    server = vm.start(["python3", "-c", HTTP])
    port = vm.port(8000)
    port.wait()
    where, name = urlsplit(url), urlsplit(port.url).netloc
    client = http.client.HTTPConnection(where.hostname or "", where.port)

    def ask() -> float:
        began = time.perf_counter()
        client.request("GET", "/10", headers={"Host": name, "Authorization": f"Bearer {key}"})
        assert len(client.getresponse().read()) == 10
        return time.perf_counter() - began

    def connect(size: int) -> float:
        began = time.perf_counter()
        with port.connect() as connection:
            connection.write(b"GET /%d HTTP/1.0\r\n\r\n" % size)
            while connection.read():
                pass
        return time.perf_counter() - began

    asked, connected, bare = list[float](), list[float](), list[float]()
    ours_large = bare_large = 0.0
    # Alternately, as the load of the machine changes within seconds.
    for _ in range(BLOCKS):
        asked += [ask() for _ in range(count // BLOCKS)]
        connected += [connect(10) for _ in range(count // BLOCKS)]
        ours_large += connect(large) / BLOCKS
        inside = vm.run(["python3", "-c", INSIDE.format(count=count // BLOCKS, large=large)]).check()
        *short, long = map(float, inside.text.split())
        bare += short
        bare_large += long / BLOCKS
    client.close()
    server.cancel()
    return {
        "port": compared(asked, bare),
        "port, new connection": compared(connected, bare),
        "port, 100 MB": {
            "arker": {"mb_per_s": large / MB / ours_large},
            "bare": {"mb_per_s": large / MB / bare_large},
        },
    }


def interpreter(vm: Computer, count: int) -> dict[str, dict[str, float]]:
    """A line of Python, and its value."""
    ours, bare = [], []
    with (
        vm.python() as python,
        subprocess.Popen(
            [sys.executable, "-c", LOOP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        ) as child,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        python.run("1")
        for _ in range(count):
            began = time.perf_counter()
            assert python.run("6 * 7").value == "42"
            between = time.perf_counter()
            child.stdin.write("6 * 7\n")
            assert child.stdout.readline() == "42\n"
            bare.append(time.perf_counter() - between)
            ours.append(between - began)
        child.stdin.close()
    return compared(ours, bare)


def sample(*, quick: bool) -> Figures:
    """One round, on a deployment of its own."""
    from arker import Arker
    from arker.local.process.launcher import launch

    count = 20 if quick else 500
    size = 10 * MB if quick else 1000 * MB
    with (
        folder() as place,
        launch(place / "state") as deployment,
        Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as arker,
        arker.vm("arkuntu").fork() as vm,
    ):
        vm.run("true")
        assert deployment._shared is not None
        process = deployment._shared._process.pid
        return {
            "live output": live_output(vm, count),
            "flood": flood(vm, size, process),
            "small run": small_run(vm, count),
            "key": key(vm, count),
            **port(vm, deployment.base_url, deployment.api_key, count, size // 10),
            "interpreter": interpreter(vm, count),
        }


def main() -> None:
    bench = Bench("streams", METRICS, options(__doc__), rounds=3, measured=whole_source)
    bench.collect(partial(sample, quick=bench.quick))
    bench.finish(TARGETS)


if __name__ == "__main__":
    main()
