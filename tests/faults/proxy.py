"""A proxy between client and deployment that loses requests and answers when told to."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit


class CuttingProxy:
    """Forwards to one deployment, or to another after `move`. `lose(n)` swallows the next n answers after the
    deployment has given them, `drop(n)` the next n requests. Paths that begin with `without` are those of no
    endpoint."""

    def __init__(self, url: str, without: str = "") -> None:
        self._without = without.encode()
        target = urlsplit(url)
        self._target = (target.hostname, target.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._to_lose = self._to_drop = 0
        self.lost = 0
        #: Bytes that have come from both sides.
        self.carried = 0
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, answers: int) -> None:
        self._to_lose = answers

    def drop(self, requests: int) -> None:
        self._to_drop = requests

    def move(self, url: str) -> None:
        target = urlsplit(url)
        self._target = (target.hostname, target.port)

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.die()

    def die(self) -> None:
        """End every connection, and refuse later ones."""
        for sock in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(self._target)
                except OSError:
                    near.close()
                    continue
                self._sockets += [near, far]
                threading.Thread(target=self._pass, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.carried += len(data)
                if answers and self._to_lose:
                    self._to_lose -= 1
                    self.lost += 1
                    break
                if not answers and self._to_drop:
                    self._to_drop -= 1
                    self.lost += 1
                    break
                if not answers and self._without:
                    data = data.replace(b" " + self._without, b" " + b"/" * len(self._without))
                sink.sendall(data)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
