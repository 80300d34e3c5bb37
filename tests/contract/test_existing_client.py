"""A client written for the original API, with the standard library alone: its assumptions hold here."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from arker.local.process.launcher import Deployment

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
MAX_CHUNK = 4 * 1024 * 1024


class Client:
    """fork, run, read_file, write_file, delete, list: as plain as the wire allows."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self.base_url, self.api_key, self.uploads = base_url, api_key, 0

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(self.base_url + path, method=method)
        request.add_header("Authorization", f"Bearer {self.api_key}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                answer = json.load(error)
        if answer.get("ok") is False:
            raise RuntimeError(answer["error"]["code"])
        return answer

    def fork(self, vm_id: str, **how: Any) -> str:
        return str(self.call("POST", f"/api/v1/vms/{vm_id}/fork", {"is_public": False, **how})["vm_id"])

    def run(self, vm_id: str, command: str, **how: Any) -> dict[str, Any]:
        return self.call("POST", f"/api/v1/vms/{vm_id}/run", {"command": command, "session_id": 0, **how})

    def read_file(self, vm_id: str, path: str) -> bytes:
        answer = self.call("POST", f"/api/v1/vms/{vm_id}/sync", {"op": "read", "path": path})
        if "presigned_url" in answer:
            with urllib.request.urlopen(answer["presigned_url"], timeout=60) as response:
                data: bytes = response.read()
            assert len(data) == answer["size"]
            return data
        content: str = answer["content"]
        return base64.b64decode(content) if answer["encoding"] == "base64" else content.encode()

    def write_entry(self, vm_id: str, **entry: Any) -> dict[str, Any]:
        answer = self.call("POST", f"/api/v1/vms/{vm_id}/sync", {"op": "write", "writes": [entry]})
        (result,) = answer["results"]
        if "error" in result:
            raise RuntimeError(result["error"]["code"])
        return dict(result)

    def write_file(self, vm_id: str, path: str, data: bytes) -> None:
        """In chunks, whatever the size."""
        self.uploads += 1
        upload_id = "".join(ALPHABET[self.uploads * 7**n % 32] for n in range(26))
        starts = range(0, len(data), MAX_CHUNK) if data else [0]
        for start in starts:
            piece = data[start : start + MAX_CHUNK]
            result = self.write_entry(
                vm_id,
                path=path,
                size=len(data),
                upload_id=upload_id,
                start=start,
                end=start + len(piece),
                content=base64.b64encode(piece).decode(),
            )
        assert result["complete"]
        assert result["written"]

    def upload_file(self, vm_id: str, path: str, data: bytes) -> None:
        """By a signed URL, whatever the size."""
        asked = self.write_entry(vm_id, path=path, size=len(data), presigned=True)
        put = urllib.request.Request(asked["presigned_url"], data, method="PUT")
        with urllib.request.urlopen(put, timeout=60):
            pass
        assert self.write_entry(vm_id, path=path, size=len(data), upload_id=asked["upload_id"])["written"]


@pytest.fixture
def client(deployment: Deployment) -> Client:
    return Client(deployment.base_url, deployment.api_key)


def test_it_works_as_against_the_cloud(client: Client) -> None:
    vm = client.fork("01KQBYKEV5WJ7YB010603T1DCT_d8c0", name="plain")
    try:
        ran = client.run(vm, "cd /tmp; x=5; echo out; echo err >&2; exit_with() { return $1; }; exit_with 3")
        assert (ran["stdout"], ran["stderr"], ran["exit_code"], ran["cwd"]) == ("out\n", "err\n", 3, "/tmp")
        assert client.run(vm, "echo $x $PWD")["stdout"] == "5 /tmp\n"
        ran = client.run(vm, r"printf '\xff\x00'")
        assert ran["stdout_encoding"] == "base64"
        assert base64.b64decode(ran["stdout"]) == b"\xff\x00"
        ran = client.run(vm, "sleep 60", timeout=1)
        assert (ran["completed"], ran["exit_code"]) == (False, 124)
        for size in (0, 1, MAX_CHUNK, MAX_CHUNK + 1, 9_000_000):
            data = (b"%d " % size) * (size // 3 + 1)
            for name, put in (("chunks", client.write_file), ("upload", client.upload_file)):
                put(vm, f"/home/user/{name}/{size}", data[:size])
                assert client.read_file(vm, f"/home/user/{name}/{size}") == data[:size]
        child = client.fork(vm)
        client.write_file(child, "/home/user/chunks/1", b"child")
        assert client.read_file(vm, "/home/user/chunks/1") == b"1"
        assert client.run(child, "cat chunks/1", session_id="other")["stdout"] == "child"
        listed = client.call("GET", "/api/v1/vms/list?limit=100")
        assert {vm, child} <= {item["vm_id"] for item in listed["items"]}
        grandchild = client.call("POST", "/api/v1/vms/fork", {"from": "plain", "is_public": False})["vm_id"]
        for gone in (grandchild, child):
            assert client.call("DELETE", f"/api/v1/vms/{gone}") == {"deleted": True}
        with pytest.raises(RuntimeError, match="not_found"):
            client.run(child, "true")
        with pytest.raises(RuntimeError, match="not_found"):
            client.read_file(vm, "/home/user/nothing")
        with pytest.raises(RuntimeError, match="payload_too_large"):
            client.write_entry(vm, path="/home/user/x", size=100_000_001, presigned=True)
    finally:
        client.call("DELETE", f"/api/v1/vms/{vm}")


def test_one_session_runs_one_command_at_a_time_and_sessions_run_side_by_side(client: Client) -> None:
    from concurrent.futures import ThreadPoolExecutor

    vm = client.fork("01KQBYKEV5WJ7YB010603T1DCT_d8c0")
    try:
        with ThreadPoolExecutor(1) as pool:
            long = pool.submit(
                client.run, vm, "touch started; until [ -e stop ]; do sleep 0.02; done; echo done", timeout=30
            )
            while client.run(vm, "test -e started", session_id="other")["exit_code"]:
                pass
            with pytest.raises(RuntimeError, match="vm_busy"):
                client.run(vm, "true")
            client.run(vm, "touch stop", session_id="other")
            assert long.result()["stdout"] == "done\n"
    finally:
        client.call("DELETE", f"/api/v1/vms/{vm}")
