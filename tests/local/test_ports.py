"""Ports of computers: tunnels, HTTP by path and by host name, links; and data that never reaches a guest."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest

from arker import Arker
from arker.local.http import proxy
from arker.local.http.proxy import Target, request_headers, response_headers
from arker.local.process.launcher import Deployment

SERVER = """\
import base64, hashlib, http.server, json, os, socket, threading

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
        else:
            body = self.rfile.read(length)
        if self.path == "/upgrade":
            self.send_response(101)
            self.send_header("Upgrade", self.headers["Upgrade"])
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            self.wfile.write(b"welcome ")
            while data := self.connection.recv(65536):
                self.wfile.write(data.upper())
            self.close_connection = True
            return
        if self.path == "/slow":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"5\\r\\nfirst\\r\\n")
            while not os.path.exists("go"):
                pass
            self.wfile.write(b"6\\r\\nsecond\\r\\n0\\r\\n\\r\\n")
            return
        if self.path == "/broken":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")
            self.close_connection = True
            return
        answer = json.dumps({
            "method": self.command, "path": self.path, "headers": self.headers.items(), "body": body.decode()
        }).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("Set-Cookie", "theirs=1; Domain=localhost; Path=/")
        self.send_header("Connection", "x-hop")
        self.send_header("X-Hop", "1")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_PATCH = do_GET

    def log_message(self, *_): pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Handler)
open("up", "w").close()
server.serve_forever()
"""


class Guest:
    """A computer in which the server runs."""

    def __init__(self, deployment: Deployment, vm_id: str) -> None:
        self.key = deployment.api_key
        self.address = urlsplit(deployment.base_url)
        self.vm_id = vm_id
        self.name = f"{vm_id.lower()}-8000.localhost:{self.address.port}"
        self.path = f"/api/v1/local/vms/{vm_id}/ports/8000"

    def open(self) -> HTTPConnection:
        return HTTPConnection(self.address.hostname or "", self.address.port, timeout=30)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        key: bool = True,
    ) -> tuple[HTTPResponse, bytes]:
        own = {"Authorization": f"Bearer {self.key}"} if key else {}
        with contextlib.closing(self.open()) as connection:
            connection.request(method, path, body, {**own, **(headers or {})}, encode_chunked=True)
            answer = connection.getresponse()
            return answer, answer.read()

    def upgrade(self, method: str, path: str, protocol: str, headers: dict[str, str] | None = None) -> Tunnel:
        own = {"Authorization": f"Bearer {self.key}", "Host": "localhost", **(headers or {})}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in own.items())]
        lines += ["Connection: Upgrade", f"Upgrade: {protocol}", "", ""]
        sock = socket.create_connection((self.address.hostname or "", self.address.port or 0), 30)
        sock.sendall("\r\n".join(lines).encode())
        return Tunnel(sock)


def status(tunnel: Tunnel) -> int:
    tunnel.sock.close()
    return tunnel.status


class Tunnel:
    """A socket that asked for an upgrade."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.head = b""
        while not self.head.endswith(b"\r\n\r\n"):
            data = sock.recv(1)
            assert data, self.head
            self.head += data

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (piece := self.sock.recv(size - len(data))):
            data += piece
        return data


@pytest.fixture(scope="module")
def guest(deployment: Deployment) -> Iterator[Guest]:
    url = deployment.base_url
    with Arker(deployment.api_key, url, global_url=url) as arker, arker.vm("arkuntu").fork() as computer:
        computer.sync.write_file("/home/user/server.py", SERVER)
        computer.run("setsid python3 server.py >/dev/null 2>&1 &")
        computer.run("until [ -e up ]; do sleep 0.01; done", timeout=60)
        yield Guest(deployment, computer.id)


def seen(answer: tuple[HTTPResponse, bytes]) -> dict[str, Any]:
    """What the server says that it was asked."""
    assert answer[0].status == 200, answer[1]
    found: dict[str, Any] = json.loads(answer[1])
    found["headers"] = {name.lower(): value for name, value in found["headers"]}
    return found


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_by_path(guest: Guest, method: str) -> None:
    asked = seen(guest.ask(method, f"{guest.path}/http/a%2Fb/c?x=1%20&y", b"body"))
    assert (asked["method"], asked["path"], asked["body"]) == (method, "/a%2Fb/c?x=1%20&y", "body")
    assert asked["headers"]["host"] == "localhost:8000"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_by_host(guest: Guest, method: str) -> None:
    asked = seen(guest.ask(method, "/api/v1/vms/list?x", iter([b"in ", b"chunks"]), {"Host": guest.name}))
    assert (asked["method"], asked["path"], asked["body"]) == (method, "/api/v1/vms/list?x", "in chunks")
    assert asked["headers"]["host"] == guest.name


def test_head_has_no_body(guest: Guest) -> None:
    answer, data = guest.ask("HEAD", "/", headers={"Host": guest.name})
    assert (answer.status, data) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0
    assert len(answer.headers.get_all("Date") or ()) == 1


def test_an_answer_comes_as_it_is_made(guest: Guest) -> None:
    connection = guest.open()
    connection.request("GET", "/slow", headers={"Host": guest.name, "Authorization": f"Bearer {guest.key}"})
    answer = connection.getresponse()
    assert answer.read(5) == b"first"
    with Arker(guest.key, guest.address.geturl(), global_url=guest.address.geturl()) as arker:
        arker.vm(guest.vm_id).run("touch go", session_id="other")
    assert answer.read() == b"second"
    connection.close()


def test_an_incomplete_answer_is_not_passed_on_as_complete(guest: Guest) -> None:
    with pytest.raises(Exception, match="IncompleteRead"):
        guest.ask("GET", "/broken", headers={"Host": guest.name})


def test_many_requests_on_one_connection(guest: Guest) -> None:
    connection = guest.open()
    for number in range(50):
        connection.request(
            "GET", f"/{number}", headers={"Host": guest.name, "Authorization": f"Bearer {guest.key}"}
        )
        assert json.loads(connection.getresponse().read())["path"] == f"/{number}"
    connection.close()


def test_an_upgrade_goes_through(guest: Guest) -> None:
    for path, host in (("/upgrade", guest.name), (f"{guest.path}/http/upgrade", "localhost")):
        tunnel = guest.upgrade("GET", path, "anything/1.0", {"Host": host})
        assert tunnel.status == 101
        assert b"upgrade: anything/1.0" in tunnel.head.lower()
        assert tunnel.read(8) == b"welcome "
        tunnel.sock.sendall(b"x" * 1_000_000)
        assert tunnel.read(1_000_000) == b"X" * 1_000_000
        tunnel.sock.shutdown(socket.SHUT_WR)
        assert tunnel.read(1) == b""
        tunnel.sock.close()


def test_a_tunnel_is_bytes_both_ways(guest: Guest) -> None:
    tunnel = guest.upgrade("POST", guest.path, "tcp")
    assert tunnel.status == 101
    tunnel.sock.sendall(b"GET /tunnel HTTP/1.0\r\n\r\n")
    answer = tunnel.read(1 << 20)
    assert b'"path": "/tunnel"' in answer
    tunnel.sock.close()


def test_bytes_sent_with_the_request_for_a_tunnel_are_not_lost(guest: Guest) -> None:
    sock = socket.create_connection((guest.address.hostname or "", guest.address.port or 0), 30)
    head = f"POST {guest.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {guest.key}\r\n"
    sock.sendall(f"{head}Connection: upgrade\r\nUpgrade: tcp\r\n\r\nGET /early HTTP/1.0\r\n\r\n".encode())
    assert b'"path": "/early"' in Tunnel(sock).read(1 << 20)
    sock.close()


def test_a_closed_port_says_so(guest: Guest) -> None:
    path = guest.path.replace("8000", "8001")
    assert status(guest.upgrade("POST", path, "tcp")) == 409
    answer, data = guest.ask("GET", f"{path}/http/")
    assert answer.status == 502
    assert "nothing listens on port 8001" in json.loads(data)["error"]["message"]


@pytest.mark.parametrize("port", ["0", "65536"])
def test_a_port_that_is_none(guest: Guest, port: str) -> None:
    assert guest.ask("GET", guest.path.replace("8000", port) + "/http/")[0].status == 400


def test_a_tunnel_has_to_be_asked_for(guest: Guest) -> None:
    answer, data = guest.ask("POST", guest.path)
    assert answer.status == 400
    assert "Upgrade: tcp" in json.loads(data)["error"]["message"]


def test_without_a_key_nothing_is_reached(guest: Guest) -> None:
    for headers in ({}, {"Host": guest.name}, {"Host": guest.name, "Cookie": "arker_port=x.y"}):
        path = "/" if headers else f"{guest.path}/http/"
        assert guest.ask("GET", path, headers=headers, key=False)[0].status in (401, 403)
    wrong = {"Authorization": "Bearer wrong"}
    assert status(guest.upgrade("POST", guest.path, "tcp", wrong)) == 401


def test_the_key_cookies_and_forwarding_headers_stay_out(guest: Guest) -> None:
    secret = {
        "X-Forwarded-For": "1.2.3.4",
        "Forwarded": "for=1.2.3.4",
        "X-Real-IP": "1.2.3.4",
        "Via": "1.1 x",
    }
    by_path = seen(guest.ask("GET", f"{guest.path}/http/", headers={**secret, "Cookie": "mine=1"}))
    by_host = seen(
        guest.ask("GET", "/", headers={**secret, "Host": guest.name, "Cookie": "arker_port=t; theirs=1"})
    )
    for asked in (by_path, by_host):
        assert not set(asked["headers"]) & {*map(str.lower, secret), "authorization"}
        assert guest.key not in json.dumps(asked)
    assert "cookie" not in by_path["headers"]
    assert by_host["headers"]["cookie"] == "theirs=1"


def test_a_server_can_have_an_authorization_of_its_own(guest: Guest) -> None:
    own = {"Host": guest.name, "Arker-Authorization": f"Bearer {guest.key}"}
    asked = seen(guest.ask("GET", "/", headers={**own, "Authorization": "Basic eDp5"}, key=False))
    assert asked["headers"]["authorization"] == "Basic eDp5"
    # But never ours, whichever header it comes in.
    asked = seen(guest.ask("GET", "/", headers=own))
    assert guest.key not in json.dumps(asked)


def test_pages_of_a_guest_cannot_act_for_others(guest: Guest) -> None:
    by_path, _ = guest.ask("GET", f"{guest.path}/http/")
    assert by_path.headers["Content-Security-Policy"] == "sandbox"
    assert by_path.headers["Set-Cookie"] is None
    by_host, _ = guest.ask("GET", "/", headers={"Host": guest.name})
    assert by_host.headers["Set-Cookie"] == "theirs=1; Path=/"
    assert by_host.headers["X-Hop"] is None


def test_a_link_opens_one_port_for_a_browser(guest: Guest) -> None:
    link = json.loads(guest.ask("POST", f"{guest.path}/link")[1])
    url = urlsplit(link["url"])
    assert url.netloc == guest.name
    entered, _ = guest.ask("GET", f"{url.path}?{url.query}&page=1", headers={"Host": guest.name}, key=False)
    assert entered.status == 303
    assert entered.headers["Location"] == "/?page=1"
    cookie = entered.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert 800 < int(cookie.lower().partition("max-age=")[2].split(";")[0]) <= 900
    own = {"Cookie": cookie.partition(";")[0], "Authorization": "Bearer of-the-page"}
    asked = seen(guest.ask("GET", "/?page=1", headers={"Host": guest.name, **own}, key=False))
    assert "cookie" not in asked["headers"]
    assert asked["headers"]["authorization"] == "Bearer of-the-page"
    # Nor does a path lead to another host.
    answer, _ = guest.ask("GET", f"//other.test/?{url.query}", headers={"Host": guest.name}, key=False)
    assert answer.getheader("Location") == "/other.test/"
    # Neither another port, nor the API.
    other = guest.name.replace("-8000", "-8001")
    assert guest.ask("GET", "/", headers={"Host": other, **own}, key=False)[0].status == 403
    assert guest.ask("GET", f"/?{url.query}", headers={"Host": other}, key=False)[0].status == 403
    assert guest.ask("GET", "/api/v1/vms/list", headers=own, key=False)[0].status == 401


def test_a_link_ends(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    from arker.local.service import signing

    grant = signing.Grant("PORT", "vm", "8000", 0, int(time.time()) + signing.LIFETIME)
    token = signing.sign(b"secret", grant)
    assert signing.verify(b"secret", token, method="PORT", now=time.time()) == grant
    with pytest.raises(Exception, match="expired"):
        signing.verify(b"secret", token, method="PORT", now=time.time() + 901)


def test_a_computer_of_another_organization_is_out_of_reach(
    guest: Guest, fresh_deployment: Callable[..., Any]
) -> None:
    other = guest.vm_id[:-1] + ("0" if guest.vm_id[-1] != "0" else "1")
    name = guest.name.replace(guest.vm_id.lower(), other.lower())
    assert guest.ask("GET", "/", headers={"Host": name})[0].status == 404
    base = "01kqbykev5wj7yb010603t1dct_d8c0"
    assert guest.ask("GET", "/", headers={"Host": f"{base}-80.localhost"})[0].status == 403


class Silent:
    """A `ByteStream` that takes what is sent and says nothing, not even that it ended; or that it ended alone."""

    def __init__(self, *, ended: bool) -> None:
        self.ended = ended
        self.closed = False

    async def receive(self, size: int) -> bytes:
        if not self.ended:
            await asyncio.Event().wait()
        return b""

    async def send(self, data: bytes) -> None: ...

    async def send_eof(self) -> None: ...

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("client_ends", [True, False])
async def test_a_connection_that_one_side_has_ended_and_the_other_rests_on_is_closed(
    client_ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "HALF_OPEN", 0.05)
    client, server = Silent(ended=client_ends), Silent(ended=not client_ends)
    async with asyncio.timeout(60):
        await proxy.relay(client, server)
    assert client.closed
    assert server.closed


def test_headers_are_those_of_one_connection() -> None:
    target = Target(b"/", b"h", own_origin=True, authorization=False)
    sent = request_headers(
        [(b"host", b"x"), (b"connection", b"keep-alive, X-Mine"), (b"x-mine", b"1"), (b"te", b"trailers")],
        target,
    )
    assert sent == [(b"host", b"h")]
    got = response_headers([(b"keep-alive", b"1"), (b"set-cookie", b"arker_port=stolen")], own_origin=True)
    assert got == []
