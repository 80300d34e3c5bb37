"""Malformed requests of every kind, over raw sockets: the right envelope, never a 500, no side effect."""

from __future__ import annotations

import json
import socket
import time
from urllib.parse import urlsplit

import pytest

from arker.local.process.launcher import Deployment

BASE = "01KQBYKEV5WJ7YB010603T1DCT_d8c0"


class Answer:
    """One HTTP answer off a socket."""

    def __init__(self, connection: socket.socket) -> None:
        data = bytearray()
        while b"\r\n\r\n" not in data:
            data += _more(connection)
        head, _, rest = bytes(data).partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}
        body = bytearray(rest)
        while len(body) < int(self.headers["content-length"]):
            body += _more(connection)
        self.body = bytes(body)

    @property
    def code(self) -> str:
        envelope = json.loads(self.body)
        # What has no readable path is answered as contract 0.3 has it.
        assert set(envelope) == {"error"} or (envelope.keys() == {"ok", "error"} and envelope["ok"] is False)
        assert self.headers["content-type"] == "application/json"
        assert self.headers["x-request-id"] == envelope["error"]["request_id"]
        assert "Traceback" not in envelope["error"]["message"]
        return str(envelope["error"]["code"])


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise EOFError("the deployment closed the connection")
    return data


def connect(deployment: Deployment) -> socket.socket:
    address = urlsplit(deployment.base_url)
    return socket.create_connection((address.hostname, address.port), timeout=20)


def request(deployment: Deployment, method: str, path: str, headers: list[str], body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {deployment.api_key}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def ask(deployment: Deployment, data: bytes) -> Answer:
    with connect(deployment) as connection:
        connection.sendall(data)
        return Answer(connection)


def post(deployment: Deployment, body: bytes, path: str = f"/api/v1/vms/{BASE}/fork") -> Answer:
    return ask(deployment, request(deployment, "POST", path, [f"Content-Length: {len(body)}"], body))


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon here\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nx: \x00\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nx: " + b"a" * 100_000,
        b"GET /" + b"a" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"".join(b"x%d: y\r\n" % n for n in range(20_000)),
    ],
    ids=lambda data: repr(data[:60]),
)  # fmt: skip
def test_malformed_http_is_refused(deployment: Deployment, data: bytes) -> None:
    answer = ask(deployment, data)
    assert (answer.status, answer.code) == (400, "bad_request")
    assert answer.headers["connection"] == "close"


def test_a_chunked_body_that_is_malformed_is_refused(deployment: Deployment) -> None:
    head = request(deployment, "POST", f"/api/v1/vms/{BASE}/fork", ["Transfer-Encoding: chunked"])
    assert ask(deployment, head + b"zz\r\n").status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"1", b"null", b'"x"', b"\xff\xfe", b"[" * 60_000,
        b'{"is_public": NaN}', b'{"is_public": truee}', b'{"is_public": %s}' % (b"9" * 60_000),
        b'{"is_public": true, "name": "\xc3"}', b'{"is_public": true, "name": "\\ud83d"}',
    ],
    ids=lambda body: repr(body[:30]),
)  # fmt: skip
def test_malformed_forks_are_refused(deployment: Deployment, body: bytes) -> None:
    answer = post(deployment, body)
    assert (answer.status, answer.code) == (400, "bad_request")


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(deployment: Deployment) -> None:
    head = request(
        deployment, "POST", f"/api/v1/vms/{BASE}/sync", ["Content-Length: 99999999", "Expect: 100-continue"]
    )
    answer = ask(deployment, head)
    assert (answer.status, answer.code) == (413, "payload_too_large")


def test_a_body_that_grows_too_large_is_refused_on_the_way(deployment: Deployment) -> None:
    with connect(deployment) as connection:
        connection.sendall(
            request(deployment, "POST", f"/api/v1/vms/{BASE}/run", ["Transfer-Encoding: chunked"])
        )
        piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        for _ in range(0x400000 // 0x10000 + 1):
            connection.sendall(piece)
        answer = Answer(connection)
        assert (answer.status, answer.code) == (413, "payload_too_large")


def test_the_key_is_asked_for_before_the_body(deployment: Deployment) -> None:
    data = b"POST /api/v1/vms/x/sync HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
    answer = ask(deployment, data)
    assert (answer.status, answer.code) == (401, "unauthorized")


def test_a_connection_outlives_a_refused_request(deployment: Deployment) -> None:
    with connect(deployment) as connection:
        for _ in range(3):
            connection.sendall(
                request(deployment, "POST", f"/api/v1/vms/{BASE}/fork", ["Content-Length: 1"], b"{")
            )
            assert Answer(connection).status == 400
            connection.sendall(request(deployment, "GET", "/api/v1/whoami", []))
            assert Answer(connection).status == 200


def test_requests_in_one_packet_are_answered_in_order(deployment: Deployment) -> None:
    with connect(deployment) as connection:
        connection.sendall(
            request(deployment, "GET", "/api/v1/whoami", ["X-Request-Id: one"])
            + request(deployment, "GET", "/nowhere", ["X-Request-Id: two"])
            + request(deployment, "GET", "/api/v1/health", ["X-Request-Id: three"])
        )
        # Read one at a time: what came with the first is not lost, as each answer here fits one packet.
        data = b""
        while data.count(b"x-request-id: ") < 3:
            data += _more(connection)
    assert (
        data.index(b"x-request-id: one")
        < data.index(b"x-request-id: two")
        < data.index(b"x-request-id: three")
    )


def test_clients_that_go_away_in_the_middle_leave_nothing_behind(deployment: Deployment) -> None:
    for data in (
        b"G",
        b"GET / HTTP/1.1\r\nHo",
        request(deployment, "POST", f"/api/v1/vms/{BASE}/fork", ["Content-Length: 100"], b'{"is_'),
        request(deployment, "POST", f"/api/v1/vms/{BASE}/fork", ["Transfer-Encoding: chunked"], b"5\r\nab"),
        request(deployment, "GET", "/api/v1/whoami", []),
    ):
        connect(deployment).close()
        with connect(deployment) as connection:
            connection.sendall(data)
    assert ask(deployment, request(deployment, "GET", "/api/v1/health", [])).status == 200


def test_slow_clients_do_not_delay_others(deployment: Deployment) -> None:
    slow = [connect(deployment) for _ in range(50)]
    try:
        for number, connection in enumerate(slow):
            connection.sendall(b"POST /api/v1/vms/x/run HTTP/1.1\r\nHost: x\r\n"[: 10 + number])
        began = time.monotonic()
        for _ in range(20):
            assert ask(deployment, request(deployment, "GET", "/api/v1/whoami", [])).status == 200
        assert time.monotonic() - began < 20
    finally:
        for connection in slow:
            connection.close()


def test_an_upgrade_that_is_not_offered_is_an_ordinary_request(deployment: Deployment) -> None:
    headers = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
    answer = ask(deployment, request(deployment, "GET", "/api/v1/whoami", headers))
    assert answer.status in (200, 400)
