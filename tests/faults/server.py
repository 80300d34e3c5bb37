"""A scripted server: the contract in memory, answered truthfully until told to fail, and a count of what it
really did.

One thread a connection, plain sockets, so that every byte of an answer, and its absence, is in our hands. It
is no model of the platform (the embedded deployment is the real thing); it is what the client must survive.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

KEY = "ak_test_secret_0123456789"
BASE_IMAGE = "01KQBYKEV5WJ7YB010603T1DCT_d8c0"
CERTIFICATE = Path(__file__).with_name("certificate.pem")


@dataclass
class Request:
    """What arrived."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    #: Whether the server acted on it.
    processed: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def key(self) -> str | None:
        return self.headers.get("idempotency-key")

    @property
    def step(self) -> str:
        """A name for what is asked."""
        if self.path.startswith("/object/"):
            return "get" if self.method == "GET" else "put"
        if self.path.endswith("/sync"):
            body = self.json
            if body["op"] == "read":
                return "read"
            entry = body["writes"][0]
            return "chunk" if "content" in entry else "ask" if "presigned" in entry else "commit"
        if self.method == "DELETE":
            return "delete"
        return self.path.rsplit("/", 1)[-1] if not re.search(r"/vms/[^/]{26,}$", self.path) else "vm"


@dataclass
class Answer:
    """What goes back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of(cls, body: object, status: int = 200, **headers: str) -> Answer:
        return cls(status, {"content-type": "application/json", **headers}, json.dumps(body).encode())

    @classmethod
    def error(cls, code: str, message: str, status: int, **headers: str) -> Answer:
        return cls.of({"ok": False, "error": {"code": code, "message": message}}, status, **headers)

    @classmethod
    def page(cls, status: int, **headers: str) -> Answer:
        return cls(status, {"content-type": "text/html", **headers}, b"<html>Bad gateway</html>" * 3)

    def raw(self) -> bytes:
        headers = {"content-length": str(len(self.body)), **self.headers}
        lines = [f"HTTP/1.1 {self.status} Reason", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


class Hang(Exception):
    """End the connection now."""


#: What a fault does with a request: it may act on it by `process`, and says what goes out.
Fault = Callable[["Server", Request, Callable[[], Answer], socket.socket], None]


@dataclass
class Vm:
    name: str | None
    files: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)


class Server:
    """A deployment with the regional and the global API, and an object store, on one port of 127.0.0.1."""

    def __init__(self, *, tls: bool = False, inline: int = 4 << 20, honours_keys: bool = False) -> None:
        #: Largest file that a read answers inline.
        self.inline = inline
        self.honours_keys = honours_keys
        #: Whether a `GET` of a signed URL announces the digest of the file, and whether one that asks for it does.
        self.announces = True
        self.announces_on_request = False
        self.requests: list[Request] = []
        self.commands: list[str] = []
        self.forks: list[str] = []
        self.deleted: list[str] = []
        self.vms: dict[str, Vm] = {BASE_IMAGE: Vm("arkuntu")}
        self.connections = 0
        self.open: set[socket.socket] = set()
        self.accepting = True
        self._faults: list[tuple[str, list[Fault | None]]] = []
        self._objects: dict[str, tuple[Vm, str, int]] = {}
        self._done: dict[str, Answer] = {}
        self._serial = 0
        self._lock = threading.RLock()
        self._tls: ssl.SSLContext | None = None
        if tls:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(CERTIFICATE)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        #: Where signed URLs point to.
        self.store_url = self.url
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def refuse(self) -> None:
        """Accept no further connection."""
        with self._lock:
            self.accepting = False
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def close(self) -> None:
        self.refuse()
        self._thread.join(5)
        self.drop_all()

    def drop_all(self) -> None:
        """Close every connection from this side."""
        with self._lock:
            for sock in self.open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def settle(self, connections: int, seconds: float = 30.0) -> bool:
        """Wait a moment until exactly so many connections are open; return whether they are."""
        end = time.monotonic() + seconds
        while len(self.open) != connections:
            if time.monotonic() > end:
                return False
            time.sleep(0.005)
        return True

    def fail(self, step: str, *faults: Fault | None) -> None:
        """Answer the next requests of a step (`*`: of any) by these faults; None, and all later
        answers, are correct."""
        self._faults.append((step, list(faults)))

    def vm(self, **files: bytes) -> str:
        """Add a computer with files of these names; return its id."""
        with self._lock:
            vm_id = self._new_id()
            self.vms[vm_id] = Vm(None, {f"/home/user/{name}": data for name, data in files.items()})
            return vm_id

    def steps(self) -> list[str]:
        return [request.step for request in self.requests]

    # --- connections ---

    def _accept(self) -> None:
        while self.accepting:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                # A connection that was taken from the queue just before the end is dropped too.
                if not self.accepting:
                    sock.close()
                    return
                self.connections += 1
                self.open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        sock = raw
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock = self._tls.wrap_socket(raw, server_side=True)
                with self._lock:
                    self.open.discard(raw)
                    self.open.add(sock)
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    if not (data := sock.recv(65536)):
                        return
                    buffer += data
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").split("\r\n")
                method, target, _ = first.split(" ")
                headers = {
                    name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
                }
                url = urlsplit(target)
                body = bytearray(buffer)
                size = int(headers.get("content-length", 0))
                request = Request(method, unquote(url.path), url.query, headers, b"")
                early = self._next_fault("head-" + ("put" if method == "PUT" else "api"))
                if early is not None:
                    with self._lock:
                        self.requests.append(request)
                    early(self, request, lambda: Answer.of({}), sock)
                while len(body) < size:
                    if not (data := sock.recv(1 << 20)):
                        return
                    body += data
                request.body, buffer = bytes(body[:size]), bytes(body[size:])
                with self._lock:
                    self.requests.append(request)
                fault = self._next_fault(request.step)
                if fault is None:
                    sock.sendall(self._process(request).raw())
                else:
                    fault(self, request, lambda request=request: self._process(request), sock)
        except (Hang, OSError, ValueError):
            pass
        finally:
            with self._lock:
                self.open.discard(sock)
                self.open.discard(raw)
            sock.close()

    def _next_fault(self, step: str) -> Fault | None:
        with self._lock:
            for wanted, faults in self._faults:
                if faults and (wanted == step or (wanted == "*" and not step.startswith("head-"))):
                    return faults.pop(0)
        return None

    # --- the contract ---

    def _process(self, request: Request) -> Answer:
        with self._lock:
            request.processed = True
            if request.path.startswith("/object/"):
                return self._object(request)
            if request.headers.get("authorization") != f"Bearer {KEY}" and request.path != "/api/v1/health":
                return Answer.error("unauthorized", "no such key", 401)
            if self.honours_keys and request.key in self._done:
                return self._done[request.key]
            answer = self._api(request)
            if request.key is not None:
                self._done[request.key] = answer
            return answer

    def _api(self, request: Request) -> Answer:
        path = request.path.removeprefix("/api/v1")
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        if path == "/health":
            return Answer.of({"status": "ok", "timestamp": "2026-01-01T00:00:00Z"})
        if path == "/whoami":
            return Answer.of({"org_id": "org_1", "org_name": "Test"})
        if path == "/regions":
            return Answer.of(
                {"regions": [{"provider": "aws", "region": "r", "endpoint": self.url, "platforms": []}]}
            )
        if path == "/vms/list":
            return self._list(query)
        if path == "/vms/fork":
            found = [vm for vm in self.vms.values() if vm.name == request.json["from"]]
            return self._fork(found[0], request) if found else Answer.error("not_found", "no such name", 404)
        match = re.fullmatch(r"/vms/([^/]+)(?:/(\w+))?", path)
        vm = self.vms.get(match[1]) if match else None
        if match is None or vm is None:
            return Answer.error("not_found", f"no computer at {path}", 404)
        if match[2] == "fork":
            return self._fork(vm, request)
        if match[2] == "run":
            self.commands.append(request.json["command"])
            return Answer.of(
                {
                    "stdout": request.json["command"],
                    "stdout_encoding": "utf-8",
                    "stderr": "",
                    "stderr_encoding": "utf-8",
                    "exit_code": 0,
                    "completed": True,
                    "duration_ms": 1.5,
                    "session_id": request.json["session_id"],
                    "cwd": "/home/user",
                }
            )
        if match[2] == "sync":
            return (
                self._read(vm, request.json)
                if request.json["op"] == "read"
                else self._write(vm, request.json)
            )
        if request.method == "DELETE":
            del self.vms[match[1]]
            self.deleted.append(match[1])
            return Answer.of({"ok": True})
        return Answer.of({"vm_id": match[1], "name": vm.name, "state": "idle"})

    def _new_id(self) -> str:
        self._serial += 1
        return f"01KTEST{self._serial:019d}_d8c0"

    def _fork(self, parent: Vm, request: Request) -> Answer:
        vm_id = self._new_id()
        self.vms[vm_id] = Vm(request.json.get("name"), dict(parent.files))
        self.forks.append(vm_id)
        return Answer.of(
            {"vm_id": vm_id, "org_id": "org_1", "region": "r", "created_at": 1, "state": "running"}
        )

    def _list(self, query: dict[str, str]) -> Answer:
        rows = [
            {
                "vm_id": vm_id,
                "name": vm.name,
                "base_image": "arkuntu",
                "region": "r",
                "created_at": f"2026-01-01T00:00:{n % 60:02d}.123Z",
            }
            for n, (vm_id, vm) in enumerate(self.vms.items())
            if vm_id != BASE_IMAGE and query.get("q", "") in (vm.name or "")
        ]
        offset, limit = int(query.get("offset", 0)), int(query.get("limit", 25))
        return Answer.of({"items": rows[offset : offset + limit], "total": len(rows)})

    def _read(self, vm: Vm, body: Any) -> Answer:
        path = body["path"]
        if path not in vm.files:
            return Answer.error("not_found", f"no file {path}", 404)
        data = vm.files[path]
        common = {"ok": True, "op": "read", "path": path, "size": len(data)}
        if len(data) > self.inline:
            return Answer.of(
                {
                    **common,
                    "presigned_url": self._sign(vm, path, len(data)),
                    "expires_in": 900,
                    "method": "GET",
                }
            )
        try:
            return Answer.of({**common, "content": data.decode(), "encoding": "utf-8"})
        except UnicodeDecodeError:
            return Answer.of({**common, "content": base64.b64encode(data).decode(), "encoding": "base64"})

    def _sign(self, vm: Vm, path: str, size: int) -> str:
        self._serial += 1
        self._objects[str(self._serial)] = (vm, path, size)
        return f"{self.store_url}/object/{self._serial}?signature=SIGNED{self._serial}"

    def expire(self) -> None:
        """Make all signed URLs so far invalid."""
        with self._lock:
            self._objects.clear()

    def _object(self, request: Request) -> Answer:
        serial = request.path.removeprefix("/object/")
        if serial not in self._objects or request.query != f"signature=SIGNED{serial}":
            return Answer(403, {"content-type": "application/xml"}, b"<Error>expired</Error>")
        vm, path, size = self._objects[serial]
        if request.method == "PUT":
            if len(request.body) != size:
                return Answer(400, {}, b"wrong size")
            vm.uploads[f"01KPVT{int(serial):020d}"] = {0: request.body}
            return Answer(200, {}, b"<done/>")
        data = vm.files[path]
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        headers = {"etag": etag}
        asked = "want-repr-digest" in request.headers
        if self.announces_on_request and not asked:
            headers["arker-digest"] = "on-request"
        if self.announces or (self.announces_on_request and asked):
            digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
            headers["repr-digest"] = f"md5=:{'A' * 22}==:, sha-256=:{digest}:"
        if request.headers.get("range") == "bytes=0-0":
            return Answer(206, {**headers, "content-range": f"bytes 0-0/{len(data)}"}, data[:1])
        match = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if match and request.headers.get("if-range", etag) == etag:
            start = int(match[1])
            return Answer(
                206,
                {**headers, "content-range": f"bytes {start}-{len(data) - 1}/{len(data)}"},
                data[start:],
            )
        return Answer(200, headers, data)

    def _write(self, vm: Vm, body: Any) -> Answer:
        return Answer.of(
            {"ok": True, "op": "write", "results": [self._entry(vm, entry) for entry in body["writes"]]}
        )

    def _entry(self, vm: Vm, entry: Any) -> Any:
        path, size = entry["path"], entry["size"]
        result = {"path": path, "size": size, "complete": False, "written": False}

        def refuse(code: str, message: str) -> Any:
            return {**result, "error": {"code": code, "message": message}}

        if entry.get("presigned"):
            url = self._sign(vm, path, size)
            upload_id = f"01KPVT{self._serial:020d}"
            return {
                **result,
                "presigned_url": url,
                "upload_id": upload_id,
                "expires_in": 900,
                "method": "PUT",
            }
        parts = vm.uploads.setdefault(entry["upload_id"], {})
        if "content" in entry:
            data = base64.b64decode(entry["content"], validate=True)
            if len(data) != entry["end"] - entry["start"]:
                return refuse("bad_request", "content is not of that length")
            if "sha256" in entry and hashlib.sha256(data).hexdigest() != entry["sha256"]:
                return refuse("bad_request", "sha256 differs")
            parts[entry["start"]] = data
        whole = b"".join(parts[start] for start in sorted(parts))
        spans = [{"start": start, "end": start + len(data)} for start, data in sorted(parts.items())]
        if len(whole) == size:
            if "content" not in entry and entry.get("sha256") not in (
                None,
                hashlib.sha256(whole).hexdigest(),
            ):
                return refuse("bad_request", "sha256 differs")
            vm.files[path] = whole
            return {**result, "complete": True, "written": True, "received_bytes": size, "ranges": spans}
        if "content" not in entry:
            return refuse("not_found", "nothing was uploaded")
        return {**result, "received_bytes": len(whole), "ranges": spans}


# --- faults ---


def answer(made: Answer) -> Fault:
    """Do not act on it; answer this."""

    def fault(server: Server, request: Request, process: Callable[[], Answer], sock: socket.socket) -> None:
        sock.sendall(made.raw())

    return fault


def after(made: Answer) -> Fault:
    """Act on it; then answer this instead."""

    def fault(server: Server, request: Request, process: Callable[[], Answer], sock: socket.socket) -> None:
        process()
        sock.sendall(made.raw())

    return fault


def change(alter: Callable[[Any], Any]) -> Fault:
    """Act on it; alter the JSON of the answer."""

    def fault(server: Server, request: Request, process: Callable[[], Answer], sock: socket.socket) -> None:
        truth = process()
        sock.sendall(Answer.of(alter(json.loads(truth.body)), truth.status).raw())

    return fault


def alter_raw(alter: Callable[[Answer], Answer | bytes]) -> Fault:
    """Act on it; alter the bytes or headers of the answer, and close."""

    def fault(server: Server, request: Request, process: Callable[[], Answer], sock: socket.socket) -> None:
        made = alter(process())
        if isinstance(made, Answer):
            # The answer announces the close; otherwise the client may reuse the connection just as it is closed.
            made = Answer(made.status, {**made.headers, "connection": "close"}, made.body).raw()
        sock.sendall(made)
        raise Hang

    return fault


def drop_before(server: Server, request: Request, process: Callable[[], Answer], sock: socket.socket) -> None:
    """Close without acting on it."""
    raise Hang


def drop_after(server: Server, request: Request, process: Callable[[], Answer], sock: socket.socket) -> None:
    """Act on it, and close without an answer."""
    process()
    raise Hang


def die_after(server: Server, request: Request, process: Callable[[], Answer], sock: socket.socket) -> None:
    """Act on it, end every connection without an answer, and refuse later ones."""
    process()
    server.refuse()
    server.drop_all()
    raise Hang


def reset_after(server: Server, request: Request, process: Callable[[], Answer], sock: socket.socket) -> None:
    """Act on it, and reset the connection."""
    process()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise Hang


def cut_head(server: Server, request: Request, process: Callable[[], Answer], sock: socket.socket) -> None:
    """Act on it, and close in the middle of the answer's headers."""
    sock.sendall(process().raw()[:25])
    raise Hang


def cut_body(server: Server, request: Request, process: Callable[[], Answer], sock: socket.socket) -> None:
    """Act on it, and close in the middle of the answer's body."""
    truth = process()
    raw = truth.raw()
    sock.sendall(raw[: len(raw) - len(truth.body) + len(truth.body) // 2])
    raise Hang


def garbage(server: Server, request: Request, process: Callable[[], Answer], sock: socket.socket) -> None:
    """Act on it, and answer something that is not HTTP."""
    process()
    sock.sendall(b"\x16\x03\x01\x00 what is this\r\n\r\n")
    raise Hang


def delay(seconds: float) -> Fault:
    """Act on it, and answer late."""

    def fault(server: Server, request: Request, process: Callable[[], Answer], sock: socket.socket) -> None:
        truth = process()
        end = time.monotonic() + seconds
        # Until the client gives up, which shows as the end of its side.
        sock.settimeout(max(0.01, end - time.monotonic()))
        with contextlib.suppress(TimeoutError):
            if not sock.recv(1):
                raise Hang
        sock.settimeout(None)
        sock.sendall(truth.raw())

    return fault


def held(event: threading.Event) -> Fault:
    """Act on it, and answer when the event is set."""

    def fault(server: Server, request: Request, process: Callable[[], Answer], sock: socket.socket) -> None:
        truth = process()
        event.wait(30)
        sock.sendall(truth.raw())

    return fault


def together(count: int) -> Fault:
    """Act on it, and answer when so many requests are there at once."""
    barrier = threading.Barrier(count)

    def fault(server: Server, request: Request, process: Callable[[], Answer], sock: socket.socket) -> None:
        truth = process()
        with contextlib.suppress(threading.BrokenBarrierError):
            barrier.wait(30)
        sock.sendall(truth.raw())

    return fault


def drip(server: Server, request: Request, process: Callable[[], Answer], sock: socket.socket) -> None:
    """Act on it, and answer a byte at a time, for ever."""
    process()
    sock.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        sock.sendall(b"X-More: y\r\n")
        time.sleep(0.05)


throttle = answer(Answer.error("rate_limited", "slow down", 429, **{"retry-after-ms": "5"}))
unavailable = answer(Answer.error("unavailable", "come back later", 503))
gateway = after(Answer.page(502))
gateway_timeout = after(Answer.page(504))
page_503 = after(Answer.page(503))
overloaded = after(Answer.error("internal", "backend said SlowDown", 500))


@pytest.fixture
def server() -> Iterator[Server]:
    """A scripted server; every test has closed all of its connections at its end."""
    with Server() as server:
        yield server
        assert server.settle(0), f"{len(server.open)} connections were left open"
