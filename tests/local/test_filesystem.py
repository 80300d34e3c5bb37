"""Files and trees over HTTP, with real computers."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from arker import Arker
from arker.archive import Entry, pack, unpack
from arker.local.process.launcher import Deployment

HOME = "/home/user"


class Files:
    """The files of a computer, by plain requests."""

    def __init__(self, arker: Arker, deployment: Deployment) -> None:
        self.computer = arker.vm("arkuntu").fork()
        self.client = httpx.Client(
            base_url=f"{deployment.base_url}/api/v1/local/vms/{self.computer.id}",
            headers={"Authorization": f"Bearer {deployment.api_key}"},
            timeout=60,
        )

    def ask(self, op: str, status: int = 200, **fields: Any) -> dict[str, Any]:
        answer = self.client.post("/files", json={"op": op, **fields})
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found if status == 200 else found["error"]

    def put(self, path: str, data: bytes, status: int = 200, **query: Any) -> dict[str, Any]:
        answer = self.client.put("/files/content", params={"path": path, **query}, content=data)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found if status == 200 else found["error"]


@pytest.fixture
def files(deployment: Deployment) -> Iterator[Files]:
    with Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as arker:
        files = Files(arker, deployment)
        yield files
        files.client.close()
        files.computer.delete()


def test_operations(files: Files) -> None:
    files.ask("mkdir", path=f"{HOME}/d/e")
    info = files.put(f"{HOME}/d/f", b"abc", mode=0o750)
    assert (info["kind"], info["size"], info["mode"]) == ("file", 3, 0o750)
    assert files.ask("stat", path=f"{HOME}/d/f") == info
    files.ask("symlink", path=f"{HOME}/l", target="d/f")
    assert files.ask("stat", path=f"{HOME}/l", follow=False)["target"] == "d/f"
    files.ask("copy", path=f"{HOME}/d", target=f"{HOME}/c", recursive=True)
    files.ask("move", path=f"{HOME}/c/f", target=f"{HOME}/c/g")
    files.ask("chmod", path=f"{HOME}/c/g", mode=0o600)
    names: list[str] = []
    cursor = ""
    while cursor is not None:
        page = files.ask("list", path=HOME, recursive=True, limit=2, cursor=cursor)
        names += [entry["path"] for entry in page["entries"]]
        cursor = page["cursor"]
    assert names == ["c", "c/e", "c/g", "d", "d/e", "d/f", "l"]
    assert [e["path"] for e in files.ask("list", path=HOME, glob="*/g")["entries"]] == ["c/g"]
    manifest = files.ask("manifest", path=HOME, only=["c/g"])["entries"]
    assert manifest[0]["sha256"].startswith("ba7816bf")
    cursor = files.ask("changes", path=HOME)["cursor"]
    assert not files.ask("changes", path=HOME, cursor=cursor, wait=0.2)["entries"]
    files.ask("remove", path=f"{HOME}/c", recursive=True)
    # They may come in parts.
    removed = {entry["path"] for entry in files.ask("changes", path=HOME, cursor=cursor, wait=30)["removed"]}
    assert removed
    assert removed <= {"c", "c/e", "c/g"}


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"op": "stat", "path": f"{HOME}/missing"}, 404, "not_found"),
        ({"op": "stat", "path": "relative"}, 400, "bad_request"),
        ({"op": "stat"}, 400, "bad_request"),
        ({"op": "stat", "path": "/", "path_b64": "Lw=="}, 400, "bad_request"),
        ({"op": "stat", "path_b64": "%%"}, 400, "bad_request"),
        ({"op": "unknown", "path": "/"}, 400, "bad_request"),
        ({"op": "stat", "path": "/", "more": 1}, 400, "bad_request"),
        ({"op": "list", "path": "/", "cursor": "%"}, 400, "bad_request"),
        ({"op": "mkdir", "path": HOME, "exist_ok": False}, 409, "already_exists"),
        ({"op": "chmod", "path": HOME, "mode": 0o10000}, 400, "bad_request"),
        ({"op": "changes", "path": HOME, "wait": 61}, 400, "bad_request"),
        ({"op": "remove", "path": "/usr/bin/env"}, 400, "bad_request"),
    ],
)
def test_invalid_requests_are_refused(files: Files, fields: dict[str, Any], status: int, code: str) -> None:
    assert files.ask(status=status, **fields)["code"] == code


def test_conditions(files: Files) -> None:
    path = f"{HOME}/f"
    first = files.put(path, b"1", if_absent="true")
    assert files.put(path, b"2", 409, if_absent="true")["code"] == "already_exists"
    files.put(path, b"2", if_match=first["version"])
    assert files.put(path, b"3", 409, if_match=first["version"])["code"] == "conflict"
    files.ask("chmod", path=path, mode=0o444)
    assert "read-only" in files.put(path, b"4", 400)["message"]
    files.put(path, b"4", read_only="true")
    assert files.put(path, b"4", 400, whatever="true")["code"] == "bad_request"


def test_content_in_parts(files: Files) -> None:
    path = f"{HOME}/big"
    for at in range(0, 30, 10):
        files.put(f"{path}.part", b"%d" % (at // 10) * 10, append="true", at=at)
    files.ask("place", path=f"{path}.part", target=path, mode=0o755)
    version = files.ask("stat", path=path)["version"]
    got = files.client.get("/files/content", params={"path": path}, headers={"Range": "bytes=5-14"})
    assert (got.status_code, got.content, got.headers["content-range"]) == (
        206,
        b"0000011111",
        "bytes 5-14/30",
    )
    assert got.headers["etag"] == f'"{version}"'
    files.put(path, b"new")
    got = files.client.get("/files/content", params={"path": path}, headers={"If-Match": f'"{version}"'})
    assert got.status_code == 409
    assert files.client.get("/files/content", params={"path": path}).content == b"new"
    assert files.client.get("/files/content", params={"path": HOME}).status_code == 400
    assert files.client.get("/files/content", params={"path": "/etc/shadow-"}).status_code == 404


def test_a_name_that_is_not_utf8(files: Files) -> None:
    encoded = base64.b64encode(f"{HOME}/".encode() + b"caf\xe9").decode()
    answer = files.client.put("/files/content", params={"path_b64": encoded}, content=b"x")
    assert answer.json()["path_b64"] == encoded
    entry = files.ask("list", path=HOME)["entries"][0]
    assert (entry["path"], entry["path_b64"]) == ("caf�", base64.b64encode(b"caf\xe9").decode())
    page = files.ask("list", path=HOME, limit=1)
    assert page["cursor"] is None
    files.ask("remove", path_b64=encoded)


def test_a_tree_in_pieces(files: Files) -> None:
    tree = [
        Entry("d", "directory", 0o711, 5),
        Entry("d/f", "file", 0o640, 7, b"x" * 1000),
        Entry("d/l", "symlink", 0o777, 9, target="f"),
    ]
    answer = files.client.put("/files/unpack", params={"path": f"{HOME}/t"}, content=b"".join(pack(tree)))
    assert answer.json() == {"refused": []}
    packed = files.client.post(
        "/files/pack", json={"path": f"{HOME}/t", "paths": ["d", "d/f", "d/l", "missing"]}
    )
    assert list(unpack(packed.content)) == tree
    assert [r["path"] for r in json.loads(base64.b64decode(packed.headers["arker-refused"]))] == ["missing"]
    outside = b"".join(pack([Entry("../x", "file", 0o644, 0, b"x")]))
    answer = files.client.put("/files/unpack", params={"path": f"{HOME}/t"}, content=outside)
    assert [r["path"] for r in answer.json()["refused"]] == ["../x"]
    answer = files.client.put("/files/unpack", params={"path": f"{HOME}/t"}, content=outside[:700])
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


def test_a_compressed_tree(files: Files) -> None:
    tree = [Entry("f", "file", 0o640, 7, b"text " * 10_000)]
    body = gzip.compress(b"".join(pack(tree)))

    def unpacked(body: bytes, encoding: str = "gzip") -> httpx.Response:
        headers = {"Content-Encoding": encoding}
        return files.client.put("/files/unpack", params={"path": f"{HOME}/t"}, content=body, headers=headers)

    assert unpacked(body).json() == {"refused": []}
    asked = {"path": f"{HOME}/t", "paths": ["f"]}
    packed = files.client.post("/files/pack", json=asked)
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < 5_000
    assert list(unpack(packed.content)) == tree
    plain = files.client.post("/files/pack", json=asked, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert list(unpack(plain.content)) == tree
    for wrong in (body[:-4], gzip.compress(bytes(33 << 20), 1)):
        assert unpacked(wrong).json()["error"]["code"] == "bad_request"
    assert "identity or gzip" in unpacked(body, "br").json()["error"]["message"]


def test_a_key_is_needed_and_the_computer_has_to_be_one_s_own(files: Files) -> None:
    for method, path in (
        ("POST", ""),
        ("GET", "/content"),
        ("PUT", "/content"),
        ("POST", "/pack"),
        ("PUT", "/unpack"),
    ):
        answer = files.client.request(method, f"/files{path}", headers={"Authorization": "Bearer no"})
        assert answer.status_code == 401
    other = "01KQBYKEV5WJ7YB010603T1DCT"
    base = str(files.client.base_url).rpartition("/vms/")[0]
    assert files.client.post(f"{base}/vms/{other}/files", json={"op": "stat", "path": "/"}).status_code == 404
