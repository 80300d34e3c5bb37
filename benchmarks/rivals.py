"""The clients that are compared: how a user of each makes the same calls, and what the server answers.

Every peer is driven through its documented entry points, at its own defaults, pointed at the local server by
its documented option. A call returns what the user gets, and is checked before anything is measured. A client
lacks a method where it has nothing comparable; it is then left out of that benchmark.

Left out altogether, with the reason, because their calls cannot be answered by a small local server: see
`LEFT_OUT`.
"""

from __future__ import annotations

import base64
import functools
import json
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
#: `make bench` installs the original SDK here: it shares its import name with this one.
ORIGINAL = ROOT / "build" / "bench" / "arker-0.1.2"

KEY = "ark_live_benchmark"
COMMAND = "echo hello"
OUTPUT = b"hello\n"
#: The largest file of the contract, and the largest write that fits into a request.
LARGE, INLINE = 100_000_000, 4 << 20
#: Two computers: files of the first are sent inside the JSON, those of the second by signed URL.
VM_INLINE, VM_SIGNED = "01KQBYKEV5WJ7YB010603T1DCT_inline", "01KQBYKEV5WJ7YB010603T1DCT_signed"
REMOTE = "/home/user/data.bin"

LEFT_OUT = {
    "modal": "speaks gRPC to a scheduler; in the import figures only",
    "microsandbox": "its cloud backend takes a URL, but commands appear to go over an agent protocol on a WebSocket, "
    "which the server here does not speak; in the import figures only",
    "e2b-code-interpreter": "a layer over e2b, which is measured",
}

Call = Callable[[], object]
AsyncCall = Callable[[], Awaitable[object]]


class Answer(NamedTuple):
    content_type: str
    body: bytes


def as_json(value: object) -> Answer:
    return Answer("application/json", json.dumps(value).encode())


def check(output: object) -> None:
    if output not in (OUTPUT, OUTPUT.decode()):
        raise SystemExit(f"the client returned {output!r}, not {OUTPUT!r}: this would not be the same call")


@functools.cache
def pattern(size: int) -> bytes:
    """Return `size` bytes that are not all equal."""
    block = bytes(range(256)) * 4096
    return (block * (size // len(block) + 1))[:size]


def large(_body: bytes) -> Answer:
    return Answer("application/octet-stream", pattern(LARGE))


class Rival:
    """One client. It overrides the methods for what it can do."""

    name: str
    #: Its name on PyPI, to find its version.
    distribution: str
    module: str

    def answers(self, base_url: str) -> dict[str, Answer | Callable[[bytes], Answer]]:
        """Return the responses of the server, by method and path; a function gets the first bytes of the body."""
        return {}

    def run(self, base_url: str, connections: int) -> Call:
        """One small command, its output returned; `connections`: how many calls will run at once."""
        raise NotImplementedError

    async def run_async(self, base_url: str, connections: int) -> AsyncCall:
        raise NotImplementedError

    def upload(self, base_url: str, file: Path) -> Call:
        """`LARGE` bytes from a file of this machine."""
        raise NotImplementedError

    def download(self, base_url: str, file: Path) -> Call:
        """`LARGE` bytes to a file of this machine."""
        raise NotImplementedError

    def read(self, base_url: str) -> Call:
        """`LARGE` bytes, returned."""
        raise NotImplementedError

    def write_inline(self, base_url: str, data: bytes) -> Call:
        """`INLINE` bytes from memory."""
        raise NotImplementedError

    def read_inline(self, base_url: str) -> Call:
        raise NotImplementedError

    def can(self, method: str) -> bool:
        return getattr(type(self), method) is not getattr(Rival, method)


class Arker(Rival):
    name = distribution = module = "arker"

    def answers(self, base_url: str) -> dict[str, Answer | Callable[[bytes], Answer]]:
        def vm(vm_id: str, call: str) -> str:
            return f"POST /api/v1/vms/{vm_id}/{call}"

        run = {
            "stdout": OUTPUT.decode(),
            "stdout_encoding": "utf-8",
            "stderr": "",
            "stderr_encoding": "utf-8",
            "exit_code": 0,
            "completed": True,
            "duration_ms": 1.5,
            "session_id": 0,
            "cwd": "/home/user",
        }
        signed_get = {"presigned_url": f"{base_url}/signed", "expires_in": 900, "method": "GET"}
        signed_put = {"presigned_url": f"{base_url}/signed", "expires_in": 900, "method": "PUT"}
        signed_put |= {"upload_id": "01KQBYKEV5WJ7YB010603T1DCT"}
        content = base64.b64encode(pattern(INLINE)).decode()

        def read(size: int, **rest: object) -> Answer:
            return as_json({"ok": True, "op": "read", "path": REMOTE, "size": size, **rest})

        def wrote(size: int, **rest: object) -> Answer:
            result = {"path": REMOTE, "size": size, "complete": True, "written": True, **rest}
            return as_json({"ok": True, "op": "write", "results": [result]})

        read_inline = read(INLINE, content=content, encoding="base64")
        wrote_inline = wrote(INLINE, received_bytes=INLINE, ranges=[{"start": 0, "end": INLINE}])
        read_signed = read(LARGE, **signed_get)
        asked, committed = wrote(LARGE, complete=False, written=False, **signed_put), wrote(LARGE)

        def sync_inline(body: bytes) -> Answer:
            return read_inline if b'"read"' in body else wrote_inline

        def sync_signed(body: bytes) -> Answer:
            return read_signed if b'"read"' in body else asked if b'"presigned"' in body else committed

        return {
            vm(VM_INLINE, "run"): as_json(run),
            vm(VM_INLINE, "sync"): sync_inline,
            vm(VM_SIGNED, "sync"): sync_signed,
            "GET /signed": large,
            "PUT /signed": Answer("text/plain", b""),
        }

    def client(self, base_url: str) -> Any:
        from arker import Arker

        return Arker(api_key=KEY, base_url=base_url)

    def run(self, base_url: str, connections: int) -> Call:
        vm = self.client(base_url).vm(VM_INLINE)
        return lambda: vm.run(COMMAND).stdout

    async def run_async(self, base_url: str, connections: int) -> AsyncCall:
        from arker import AsyncArker

        vm = AsyncArker(api_key=KEY, base_url=base_url).vm(VM_INLINE)

        async def call() -> bytes:
            return (await vm.run(COMMAND)).stdout

        return call

    def upload(self, base_url: str, file: Path) -> Call:
        sync = self.client(base_url).vm(VM_SIGNED).sync
        return lambda: sync.upload(file, REMOTE)

    def download(self, base_url: str, file: Path) -> Call:
        sync = self.client(base_url).vm(VM_SIGNED).sync
        return lambda: sync.download(REMOTE, file)

    def read(self, base_url: str) -> Call:
        sync = self.client(base_url).vm(VM_SIGNED).sync
        return lambda: sync.read_file(REMOTE)

    def write_inline(self, base_url: str, data: bytes) -> Call:
        sync = self.client(base_url).vm(VM_INLINE).sync
        return lambda: sync.write_file(REMOTE, data)

    def read_inline(self, base_url: str) -> Call:
        sync = self.client(base_url).vm(VM_INLINE).sync
        return lambda: sync.read_file(REMOTE)


class Original(Arker):
    """The first published SDK of the platform: urllib, and a new connection for every call."""

    name = "arker 0.1.2"

    def client(self, base_url: str) -> Any:
        sys.path.insert(0, str(ORIGINAL))
        return super().client(base_url)

    # No async, and files only through memory.
    run_async = Rival.run_async
    download = Rival.download

    def upload(self, base_url: str, file: Path) -> Call:
        sync = self.client(base_url).vm(VM_SIGNED).sync
        return lambda: sync.write_file(REMOTE, file.read_bytes())


class Raw(Arker):
    """A socket and a loop: what a transfer costs without a client."""

    name = "raw socket"
    distribution = ""
    module = "ssl"
    PIECE = 1 << 20

    run = Rival.run
    run_async = Rival.run_async
    write_inline = Rival.write_inline
    read_inline = Rival.read_inline

    def __init__(self) -> None:
        self.context = functools.cache(ssl.create_default_context)

    def connect(self, base_url: str) -> Any:
        import socket

        url = urlsplit(base_url)
        assert url.hostname is not None
        sock = socket.create_connection((url.hostname, url.port or 0))
        return (
            self.context().wrap_socket(sock, server_hostname=url.hostname) if url.scheme == "https" else sock
        )

    def get(self, base_url: str) -> tuple[Any, bytes]:
        """Ask for the large file: the socket to read it from, and its first bytes."""
        sock = self.connect(base_url)
        sock.sendall(b"GET /signed HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += sock.recv(1 << 16)
        return sock, answer.partition(b"\r\n\r\n")[2]

    def upload(self, base_url: str, file: Path) -> Call:
        def call() -> None:
            sock = self.connect(base_url)
            sock.sendall(b"PUT /signed HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % LARGE)
            buffer = memoryview(bytearray(self.PIECE))
            with file.open("rb", buffering=0) as source:
                while size := source.readinto(buffer):
                    sock.sendall(buffer[:size])
            assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200")
            sock.close()

        return call

    def download(self, base_url: str, file: Path) -> Call:
        def call() -> None:
            sock, first = self.get(base_url)
            left = LARGE - len(first)
            buffer = memoryview(bytearray(self.PIECE))
            with file.open("wb", buffering=0) as target:
                target.write(first)
                while left:
                    size = sock.recv_into(buffer)
                    target.write(buffer[:size])
                    left -= size
            sock.close()

        return call

    def read(self, base_url: str) -> Call:
        def call() -> bytearray:
            sock, first = self.get(base_url)
            data = bytearray(LARGE)
            data[: len(first)] = first
            rest = memoryview(data)[len(first) :]
            while rest:
                rest = rest[sock.recv_into(rest) :]
            sock.close()
            return data

        return call


class Httpx(Arker):
    name = distribution = module = "httpx"

    def client(self, base_url: str, connections: int = 1) -> Any:
        import httpx

        return httpx.Client(**self.options(connections), base_url=base_url)

    #: How many idle connections the pool keeps: httpx's own default. With many calls at once it is also by
    #: far its fastest setting (its pool looks through all connections for each request), so this one is compared.
    keepalive: int | None = 20

    def options(self, connections: int) -> dict[str, Any]:
        import httpx

        limits = httpx.Limits(
            max_connections=connections, max_keepalive_connections=self.keepalive or connections
        )
        return {"limits": limits, "timeout": 60, "headers": {"Authorization": f"Bearer {KEY}"}}

    def run(self, base_url: str, connections: int) -> Call:
        client = self.client(base_url, connections)
        path = f"/api/v1/vms/{VM_INLINE}/run"
        return lambda: client.post(path, json={"command": COMMAND, "session_id": 0}).json()["stdout"]

    async def run_async(self, base_url: str, connections: int) -> AsyncCall:
        import httpx

        client = httpx.AsyncClient(**self.options(connections), base_url=base_url)
        path = f"/api/v1/vms/{VM_INLINE}/run"

        async def call() -> object:
            return (await client.post(path, json={"command": COMMAND, "session_id": 0})).json()["stdout"]

        return call

    def upload(self, base_url: str, file: Path) -> Call:
        client = self.client(base_url)

        def call() -> None:
            with file.open("rb") as source:
                client.put(
                    "/signed", content=source, headers={"Content-Length": str(LARGE)}
                ).raise_for_status()

        return call

    def download(self, base_url: str, file: Path) -> Call:
        client = self.client(base_url)

        def call() -> None:
            with file.open("wb") as target, client.stream("GET", "/signed") as answer:
                for piece in answer.iter_bytes():
                    target.write(piece)

        return call

    def read(self, base_url: str) -> Call:
        client = self.client(base_url)
        return lambda: client.get("/signed").content

    def write_inline(self, base_url: str, data: bytes) -> Call:
        client = self.client(base_url)

        def call() -> None:
            entry = {
                "path": REMOTE,
                "size": INLINE,
                "upload_id": "01KQBYKEV5WJ7YB010603T1DCT",
                "start": 0,
                "end": INLINE,
            }
            entry |= {"content": base64.b64encode(data).decode()}
            body = {"op": "write", "writes": [entry]}
            client.post(f"/api/v1/vms/{VM_INLINE}/sync", json=body).raise_for_status().json()

        return call

    def read_inline(self, base_url: str) -> Call:
        client = self.client(base_url)
        path = f"/api/v1/vms/{VM_INLINE}/sync"
        return lambda: base64.b64decode(
            client.post(path, json={"op": "read", "path": REMOTE}).json()["content"]
        )


class HttpxKeepingAll(Httpx):
    """httpx told to reuse every connection it opened, as Arker, aiohttp and the peers do."""

    name = "httpx, keeping all"
    keepalive = None


class Aiohttp(Arker):
    name = distribution = module = "aiohttp"

    run = Rival.run
    upload = Rival.upload
    download = Rival.download
    read = Rival.read
    write_inline = Rival.write_inline
    read_inline = Rival.read_inline

    async def run_async(self, base_url: str, connections: int) -> AsyncCall:
        import aiohttp

        connector = aiohttp.TCPConnector(limit=connections)
        session = aiohttp.ClientSession(
            base_url, connector=connector, headers={"Authorization": f"Bearer {KEY}"}
        )
        path = f"/api/v1/vms/{VM_INLINE}/run"

        async def call() -> object:
            async with session.post(path, json={"command": COMMAND, "session_id": 0}) as answer:
                return (await answer.json())["stdout"]

        return call


class E2B(Rival):
    """Its sandbox daemon: Connect RPC for commands, plain HTTP for files. `sandbox_url` points it here."""

    name = distribution = module = "e2b"
    SANDBOX = "ibenchmark"

    def answers(self, base_url: str) -> dict[str, Answer | Callable[[bytes], Answer]]:
        def frame(message: object, flags: int = 0) -> bytes:
            data = json.dumps(message).encode()
            return bytes([flags]) + len(data).to_bytes(4, "big") + data

        events = (
            {"start": {"pid": 7}},
            {"data": {"stdout": base64.b64encode(OUTPUT).decode()}},
            {"end": {"exitCode": 0, "exited": True, "status": "exit status 0"}},
        )
        stream = b"".join(frame({"event": event}) for event in events) + frame({}, flags=2)
        sandbox = {"templateID": "base", "sandboxID": self.SANDBOX, "clientID": "0", "envdVersion": "0.5.0"}
        return {
            f"POST /v2/sandboxes/{self.SANDBOX}/connect": as_json(sandbox),
            "POST /process.Process/Start": Answer("application/connect+json", stream),
            "POST /files": as_json([{"name": "data.bin", "type": "file", "path": REMOTE}]),
            "GET /files": large,
        }

    def sandbox(self, base_url: str) -> Any:
        from e2b import Sandbox

        return Sandbox.connect(
            self.SANDBOX, api_key=f"e2b_{'0' * 40}", api_url=base_url, sandbox_url=base_url
        )

    def run(self, base_url: str, connections: int) -> Call:
        sandbox = self.sandbox(base_url)
        return lambda: sandbox.commands.run(COMMAND).stdout

    async def run_async(self, base_url: str, connections: int) -> AsyncCall:
        from e2b import AsyncSandbox

        sandbox = await AsyncSandbox.connect(
            self.SANDBOX, api_key=f"e2b_{'0' * 40}", api_url=base_url, sandbox_url=base_url
        )

        async def call() -> str:
            return (await sandbox.commands.run(COMMAND)).stdout

        return call

    def upload(self, base_url: str, file: Path) -> Call:
        sandbox = self.sandbox(base_url)

        def call() -> None:
            with file.open("rb") as source:
                sandbox.files.write(REMOTE, source)

        return call

    def download(self, base_url: str, file: Path) -> Call:
        sandbox = self.sandbox(base_url)

        def call() -> None:
            with file.open("wb") as target:
                for piece in sandbox.files.read(REMOTE, format="stream"):
                    target.write(piece)

        return call

    def read(self, base_url: str) -> Call:
        sandbox = self.sandbox(base_url)
        return lambda: sandbox.files.read(REMOTE, format="bytes")


class Runloop(Rival):
    """`base_url` points it here."""

    name = "runloop"
    distribution = module = "runloop_api_client"
    DEVBOX = "dbx_benchmark"

    def answers(self, base_url: str) -> dict[str, Answer | Callable[[bytes], Answer]]:
        execution = {
            "devbox_id": self.DEVBOX,
            "execution_id": "exe_benchmark",
            "status": "completed",
            "exit_status": 0,
            "stdout": OUTPUT.decode(),
            "stderr": "",
        }
        file = f"/v1/devboxes/{self.DEVBOX}"
        return {
            f"POST {file}/execute": as_json(execution),
            f"POST {file}/upload_file": as_json({}),
            f"POST {file}/download_file": large,
        }

    def devboxes(self, base_url: str) -> Any:
        from runloop_api_client import Runloop

        return Runloop(bearer_token=KEY, base_url=base_url).devboxes

    def run(self, base_url: str, connections: int) -> Call:
        devboxes = self.devboxes(base_url)
        return lambda: devboxes.execute_and_await_completion(self.DEVBOX, command=COMMAND).stdout

    async def run_async(self, base_url: str, connections: int) -> AsyncCall:
        from runloop_api_client import AsyncRunloop

        devboxes = AsyncRunloop(bearer_token=KEY, base_url=base_url).devboxes

        async def call() -> str | None:
            return (await devboxes.execute_and_await_completion(self.DEVBOX, command=COMMAND)).stdout

        return call

    def upload(self, base_url: str, file: Path) -> Call:
        devboxes = self.devboxes(base_url)
        return lambda: devboxes.upload_file(self.DEVBOX, path=REMOTE, file=file)

    def download(self, base_url: str, file: Path) -> Call:
        devboxes = self.devboxes(base_url)

        def call() -> None:
            with devboxes.with_streaming_response.download_file(self.DEVBOX, path=REMOTE) as answer:
                answer.stream_to_file(file)

        return call

    def read(self, base_url: str) -> Call:
        devboxes = self.devboxes(base_url)
        return lambda: devboxes.download_file(self.DEVBOX, path=REMOTE).read()


class Daytona(Rival):
    """`api_url` points it here; the answer for the sandbox names the toolbox, where commands and files go."""

    name = distribution = module = "daytona"
    SANDBOX = "8f14e45f-ceea-467f-a8ad-0f1c2d3e4b5a"
    BOUNDARY = "benchmark"

    def answers(self, base_url: str) -> dict[str, Answer | Callable[[bytes], Answer]]:
        sandbox = {
            "id": self.SANDBOX,
            "organizationId": "org",
            "name": "benchmark",
            "user": "daytona",
            "env": {},
            "labels": {},
            "public": False,
            "networkBlockAll": False,
            "kvm": False,
            "target": "us",
            "cpu": 1,
            "gpu": 0,
            "memory": 1,
            "disk": 1,
            "state": "started",
            "toolboxProxyUrl": f"{base_url}/toolbox",
        }
        toolbox = f"/toolbox/{self.SANDBOX}"
        head = (
            f'--{self.BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{REMOTE}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()

        @functools.cache
        def download(_body: bytes) -> Answer:
            body = head + pattern(LARGE) + f"\r\n--{self.BOUNDARY}--\r\n".encode()
            return Answer(f"multipart/form-data; boundary={self.BOUNDARY}", body)

        return {
            f"GET /sandbox/{self.SANDBOX}": as_json(sandbox),
            f"POST {toolbox}/process/execute": as_json({"exitCode": 0, "result": OUTPUT.decode()}),
            f"POST {toolbox}/files/bulk-upload": as_json({}),
            f"POST {toolbox}/files/bulk-download": download,
        }

    def sandbox(self, base_url: str) -> Any:
        from daytona import Daytona, DaytonaConfig

        return Daytona(DaytonaConfig(api_key=KEY, api_url=base_url, target="us")).get(self.SANDBOX)

    def run(self, base_url: str, connections: int) -> Call:
        sandbox = self.sandbox(base_url)
        return lambda: sandbox.process.exec(COMMAND).result

    async def run_async(self, base_url: str, connections: int) -> AsyncCall:
        from daytona import AsyncDaytona, DaytonaConfig

        client = AsyncDaytona(DaytonaConfig(api_key=KEY, api_url=base_url, target="us"))
        sandbox = await client.get(self.SANDBOX)

        async def call() -> str:
            return (await sandbox.process.exec(COMMAND)).result

        return call

    def upload(self, base_url: str, file: Path) -> Call:
        sandbox = self.sandbox(base_url)
        return lambda: sandbox.fs.upload_file(str(file), REMOTE)

    def download(self, base_url: str, file: Path) -> Call:
        sandbox = self.sandbox(base_url)
        return lambda: sandbox.fs.download_file(REMOTE, str(file))

    def read(self, base_url: str) -> Call:
        sandbox = self.sandbox(base_url)
        return lambda: sandbox.fs.download_file(REMOTE)


class ImportOnly(Rival):
    """A client that is only imported."""

    def __init__(self, name: str) -> None:
        self.name = self.distribution = self.module = name


RIVALS: dict[str, Rival] = {
    rival.name: rival
    for rival in (
        Arker(), Httpx(), HttpxKeepingAll(), Aiohttp(), Original(), Raw(), E2B(), Runloop(), Daytona(),
        ImportOnly("modal"), ImportOnly("microsandbox"),
    )
}  # fmt: skip
