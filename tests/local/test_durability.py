"""kill -9 at random moments under load: answered effects are complete, and no partial ones exist."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from arker.ids import new_ulid
from tests.conftest import KILLS

from .test_process import eventually, processes

if TYPE_CHECKING:
    from tests.conftest import FreshDeployment

BASE = "01KQBYKEV5WJ7YB010603T1DCT_d8c0"
WORKERS = 4
#: Of the files in a computer.
NAMES = {f"f{n}{new}" for n in range(3) for new in ("", ".new")}


class Refused(Exception):
    """The deployment answered with a refusal."""


class Connection:
    """One connection to a deployment; OSError and HTTPException when it dies."""

    def __init__(self, deployment: FreshDeployment) -> None:
        address = urlsplit(deployment.base_url)
        assert address.hostname is not None
        self.http = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        self.headers = {"Authorization": f"Bearer {deployment.api_key}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        self.http.request(
            method, path, None if body is None else json.dumps(body), {**self.headers, **headers}
        )
        response = self.http.getresponse()
        answer = json.loads(response.read())
        if response.status != 200:
            raise Refused(answer["error"]["code"])
        return answer

    def write(self, vm: str, path: str, data: bytes) -> None:
        entry = {
            "path": path,
            "size": len(data),
            "upload_id": new_ulid(),
            "start": 0,
            "end": len(data),
            "content": base64.b64encode(data).decode(),
        }
        (result,) = self.call("POST", f"/api/v1/vms/{vm}/sync", {"op": "write", "writes": [entry]})["results"]
        assert result["written"], result

    def read(self, vm: str, path: str) -> bytes | None:
        try:
            answer = self.call("POST", f"/api/v1/vms/{vm}/sync", {"op": "read", "path": path})
        except Refused as error:
            if error.args != ("not_found",):
                raise
            return None
        content: str = answer["content"]
        return base64.b64decode(content) if answer["encoding"] == "base64" else content.encode()


class Worker:
    """Forks, writes, runs and deletes, and remembers which requests were answered."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.random = random.Random(number)
        self.version = 0
        #: For each computer: for each file, the contents that it may have (the last answered, and one that
        #: was not).
        self.files: dict[str, dict[str, list[bytes | None]]] = {}
        self.deleting: set[str] = set()
        self.deleted: set[str] = set()
        self.keys: dict[str, tuple[str, str | None]] = {}

    def work(self, deployment: FreshDeployment, until: threading.Event) -> None:
        connection = Connection(deployment)
        with contextlib.closing(connection.http), contextlib.suppress(OSError, http.client.HTTPException):
            while not until.is_set():
                self.step(connection)

    def step(self, connection: Connection) -> None:
        alive = [vm for vm in self.files if vm not in self.deleting]
        action = self.random.choice(["fork", "write", "write", "write", "run", "delete"])
        if not alive or (action == "fork" and len(alive) < 6):
            parent = self.random.choice([BASE, *alive])
            key = new_ulid()
            self.keys[key] = (parent, None)
            body = {"is_public": False, "name": f"worker-{self.number}"}
            child = connection.call("POST", f"/api/v1/vms/{parent}/fork", body, **{"Idempotency-Key": key})[
                "vm_id"
            ]
            self.keys[key] = (parent, child)
            self.files[child] = {path: list(known) for path, known in self.files.get(parent, {}).items()}
        elif action == "delete" and len(alive) > 3:
            vm = self.random.choice(alive)
            self.deleting.add(vm)
            connection.call("DELETE", f"/api/v1/vms/{vm}")
            self.deleted.add(vm)
        else:
            vm = self.random.choice(alive)
            path = f"/home/user/f{self.random.randrange(3)}"
            self.version += 1
            data = b"%d.%d " % (self.number, self.version) * self.random.choice([1, 100, 20_000])
            known = self.files[vm].setdefault(path, [None])
            known.append(data)
            if action == "run":
                known[-1] = data = data[:40]
                command = (
                    f"printf '%s' '{data.decode()}' > {path}.new && sync {path}.new && mv {path}.new {path}"
                )
                answer = connection.call(
                    "POST", f"/api/v1/vms/{vm}/run", {"command": command, "session_id": 0}
                )
                assert answer["exit_code"] == 0, answer
            else:
                connection.write(vm, path, data)
            self.files[vm][path] = [known[-1]]

    def check(self, connection: Connection, there: set[str]) -> None:
        """Compare with what is there after a restart, and go on from that."""
        for key, (parent, child) in list(self.keys.items()):
            if child is None:
                # It was not answered: asked again, it is made now, or it was made then; never twice.
                body = {"is_public": False, "name": f"worker-{self.number}"}
                path, header = f"/api/v1/vms/{parent}/fork", {"Idempotency-Key": key}
                child = connection.call("POST", path, body, **header)["vm_id"]
                there.add(child)
                assert connection.call("POST", path, body, **header)["vm_id"] == child
                self.files[child] = {path: list(known) for path, known in self.files.get(parent, {}).items()}
        self.keys.clear()
        for vm, files in list(self.files.items()):
            if vm not in there:
                assert vm in self.deleting, f"{vm} is gone, and nobody asked for that"
                del self.files[vm]
                continue
            assert vm not in self.deleted, f"{vm} was deleted, and is there"
            for path, known in files.items():
                found = connection.read(vm, path)
                assert found in known, (vm, path, found and found[:40], [one and one[:40] for one in known])
                files[path] = [found]
        self.deleting.clear()
        self.deleted.clear()


def test_a_run_that_was_answered_is_there_after_a_kill(
    fresh_deployment: Callable[..., FreshDeployment],
) -> None:
    deployment = fresh_deployment("--log-level", "warning").start()
    connection = Connection(deployment)
    with contextlib.closing(connection.http):
        vm = connection.call("POST", f"/api/v1/vms/{BASE}/fork", {"is_public": False})["vm_id"]
        runs = f"/api/v1/local/vms/{vm}/runs"
        run = connection.call("POST", runs, {"command": "sleep 60"})["run_id"]
    deployment.kill()
    deployment.start()
    connection = Connection(deployment)
    with contextlib.closing(connection.http):
        found = connection.call("GET", f"{runs}/{run}")
        assert (found["state"], found["reason"]) == ("failed", "infrastructure")
        # Nobody has seen when it ended.
        assert not {"duration_ms", "completed_at"} & found.keys()
        assert [one["run_id"] for one in connection.call("GET", runs)["runs"]] == [run]
    assert deployment.log.count(" WARNING arker.server the last deployment did not stop cleanly: pid=") == 1


@pytest.mark.timeout(120 + 2 * KILLS)
def test_a_kill_at_any_moment_loses_nothing_that_was_answered(
    fresh_deployment: Callable[..., FreshDeployment],
) -> None:
    deployment = fresh_deployment("--log-level", "warning")
    workers = [Worker(number) for number in range(WORKERS)]
    moments = random.Random(0)
    for _ in range(KILLS // 5):
        deployment.start()
        connection = Connection(deployment)
        with contextlib.closing(connection.http):
            listed = connection.call("GET", "/api/v1/vms/list?limit=100")
            assert listed["total"] <= 100
            there = {item["vm_id"] for item in listed["items"]}
            for worker in workers:
                worker.check(connection, there)
            # Nobody but the workers has computers, and they know of all.
            listed = connection.call("GET", "/api/v1/vms/list?limit=100")
            there = {item["vm_id"] for item in listed["items"]}
            assert there == {vm for worker in workers for vm in worker.files}
            for vm in there:
                found = connection.call(
                    "POST", f"/api/v1/local/vms/{vm}/files", {"op": "list", "path": "/home/user"}
                )
                assert {entry["path"] for entry in found["entries"]} <= NAMES, found
            for vm in moments.sample(sorted(there), min(2, len(there))):
                ran = connection.call("POST", f"/api/v1/vms/{vm}/run", {"command": "ls -A", "session_id": 0})
                assert set(ran["stdout"].split()) <= NAMES, ran
        stop = threading.Event()
        threads = [threading.Thread(target=worker.work, args=(deployment, stop)) for worker in workers]
        for thread in threads:
            thread.start()
        time.sleep(moments.uniform(0.0, 0.6))
        deployment.kill()
        stop.set()
        for thread in threads:
            thread.join()
    # A sandbox dies with the deployment; what died while it was being made is swept by the next start.
    deployment.start()
    assert deployment.stop() == 0
    assert eventually(lambda: not processes(str(deployment.state)))
    assert "Traceback" not in deployment.log, deployment.log[-3000:]
    assert {path.name for path in (deployment.state / "staging").iterdir()} == set()
