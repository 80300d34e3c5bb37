"""A proxy in front of a deployment that also answers for https://arker.ai, and records what it passes on."""

from __future__ import annotations

import http.client
import ssl
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import trustme

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "proxy-connection"}


@dataclass(frozen=True)
class Exchange:
    """A request and its answer."""

    method: str
    path: str
    user_agent: str
    status: int
    headers: dict[str, str]
    body: bytes


class Recorder(ThreadingHTTPServer):
    """Passes requests on to `upstream`. Clients reach it at `base_url`, or as HTTPS_PROXY for https://arker.ai."""

    daemon_threads = True

    def __init__(self, upstream: str, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream).netloc
        self.base_url = f"http://127.0.0.1:{self.server_address[1]}"
        self.exchanges: list[Exchange] = []
        authority = trustme.CA()
        #: What a client has to trust.
        self.authority = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("arker.ai").configure_cert(self.tls)

    def __enter__(self) -> Recorder:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Recorder

    def log_message(self, *_: object) -> None:
        pass

    def do_CONNECT(self) -> None:
        if self.path != "arker.ai:443":
            self.send_error(502)
            return
        self.send_response(200)
        self.end_headers()
        # From here on the client speaks to arker.ai, as it believes.
        with self.server.tls.wrap_socket(self.connection, server_side=True) as tunnel:
            _Handler(tunnel, self.client_address, self.server)
        self.close_connection = True

    def pass_on(self) -> None:
        sent = self.rfile.read(int(self.headers.get("content-length", 0)))
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=120)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            upstream.request(self.command, self.path, sent or None, headers)
            answer = upstream.getresponse()
            body = answer.read()
        finally:
            upstream.close()
        self.server.exchanges.append(
            Exchange(
                self.command,
                self.path,
                self.headers.get("user-agent", ""),
                answer.status,
                {name.lower(): value for name, value in answer.getheaders()},
                body,
            )
        )
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on
