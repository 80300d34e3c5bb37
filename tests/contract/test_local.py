"""What only an embedded deployment has: `openapi/local.yaml` has every route, and every answer is as it says."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast, get_args

import httpx
import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker
from starlette.routing import Route

from arker.archive import Entry, pack
from arker.local.http import file_schemas, schemas
from arker.local.http.app import create_app
from arker.local.http.routes import handles
from arker.local.process.launcher import Deployment

SPEC = yaml.safe_load((Path(__file__).parents[2] / "openapi" / "local.yaml").read_text())
METHODS = ("get", "put", "post", "patch", "delete")
FRAME = struct.Struct("<cI")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in SPEC["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.title() for word in others)


def check(schema: dict[str, Any], value: object) -> None:
    whole = {**schema, "components": SPEC["components"]}
    Draft202012Validator(whole, format_checker=FormatChecker()).validate(value)


def test_every_route_is_described() -> None:
    app = create_app(cast("Any", None), cast("Any", None), own_url="")
    served = set()
    for route in app.routes:
        assert isinstance(route, Route)
        if route.path.startswith("/api/v1/local/") and "/http/" not in route.path:
            path = re.sub(r":\w+}", "}", route.path).replace("{sid}", "{session_id}")
            for method in METHODS:
                if hasattr(route.endpoint, method):
                    served.add((path, method, route.endpoint.operations.get(method)))
    described = {(path, method, camel(operation["operationId"])) for path, method, operation in operations()}
    by_path = ("/api/v1/local/vms/{vm_id}/ports/{port}/http/{path}", "get", "portByPath")
    assert served | {by_path} == described
    assert all(operation["x-arker-local"] is True for _, _, operation in operations())


def test_requests_have_the_fields_that_the_deployment_takes() -> None:
    fields: dict[str, set[str]] = {
        "StartRunRequest": set(handles.StartRequest.model_fields),
        "SignalRequest": set(handles.SignalRequest.model_fields),
        "CancelRequest": set(schemas.CancelRequest.model_fields),
        "RenameRequest": set(schemas.RenameRequest.model_fields),
        "PackRequest": set(file_schemas.Pack.model_fields),
        "Mark": set(file_schemas.Mark.model_fields),
        "FileOperation": {name for kind in get_args(file_schemas.AnyOperation) for name in kind.model_fields},
    }
    for name, taken in fields.items():
        assert set(SPEC["components"]["schemas"][name]["properties"]) == taken, name


class Wire:
    """Sends requests, and checks every answer against the spec."""

    def __init__(self, deployment: Deployment) -> None:
        self.seen: set[str] = set()
        self.client = httpx.Client(
            base_url=deployment.base_url,
            headers={"Authorization": f"Bearer {deployment.api_key}"},
            event_hooks={"response": [self._check]},
            timeout=60,
        )

    def _check(self, response: httpx.Response) -> None:
        response.read()
        request = response.request
        if not request.url.path.startswith("/api/v1/local/"):
            return
        found = [
            operation
            for path, method, operation in operations()
            if method == request.method.lower()
            and re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)), request.url.path)
        ]
        if not response.is_success:
            check(SPEC["components"]["schemas"]["ErrorResponse"], response.json())
            asked = response.json()["error"]["request"]
            assert asked.get("operation_id") == (camel(found[0]["operationId"]) if found else None)
            return
        (operation,) = found
        content = operation["responses"]["200"]["content"]
        kind = response.headers["content-type"].partition(";")[0]
        assert kind in content
        if kind == "application/json":
            check(content[kind]["schema"], response.json())
        self.seen.add(operation["operationId"])


@pytest.fixture
def wire(deployment: Deployment) -> Iterator[Wire]:
    wire = Wire(deployment)
    with wire.client:
        yield wire


def frames(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    while data:
        letter, size = FRAME.unpack_from(data)
        yield letter, data[FRAME.size : FRAME.size + size]
        data = data[FRAME.size + size :]


def test_every_answer_is_as_described(wire: Wire) -> None:
    client = wire.client
    vm = client.post("/v1/fork", json={"source_vm_name": "arkuntu"}).json()["vm_id"]
    here = f"/api/v1/local/vms/{vm}"
    try:
        runs(client, here)
        files(client, here)
        assert client.post(f"{here}/ports/8000/link").is_success
        assert client.post(f"{here}/sessions/0/reset").json()["session_id"] == "0"
        name = f"described-{vm[-8:].lower()}"
        assert client.patch(here, json={"name": name}).json() == {"vm_id": vm, "name": name}
        assert client.post(f"{here}/stop").is_success
        assert client.get("/api/v1/local/usage").json()["computers"]
        for refused in (
            client.get(f"{here}/runs/none"),
            client.post(f"{here}/runs", json={"command": 5}),
            client.post(f"{here}/files", json={"op": "stat", "path": "/none"}),
            client.post(f"{here}/ports/1"),
            client.post("/api/v1/local/vms/none/stop"),
            client.get("/api/v1/local/nothing"),
        ):
            assert refused.is_client_error
        asked = {operation["operationId"] for _, _, operation in operations()}
        # Those two carry the bytes of a server in the computer.
        assert wire.seen == asked - {"connect_port", "port_by_path"}
    finally:
        client.delete(f"/v1/vms/{vm}")


def runs(client: httpx.Client, here: str) -> None:
    schema = {"$ref": "#/components/schemas/Run"}
    accept = {"Accept": "application/vnd.arker.events"}
    answer = client.post(f"{here}/runs", json={"command": "echo out; echo err >&2; exit 3"}, headers=accept)
    events = list(frames(answer.content))
    assert events[0][0] == b"S"
    assert events[-1][0] == b"X"
    for letter, data in events:
        if letter in b"SX":
            check(schema, json.loads(data))
    run = json.loads(events[-1][1])
    assert (run["exit_code"], run["stdout_bytes"], run["reason"]) == (3, 4, "exited")
    told = client.get(f"{here}/runs/{run['run_id']}/events").text
    ends = [line.removeprefix("data: ") for line in told.splitlines() if line.startswith("data: ")]
    for text in (ends[0], ends[-1]):
        check(schema, json.loads(text))
    taking = client.post(f"{here}/runs", json={"command": "cat; sleep 1000", "stdin": True}).json()
    where = f"{here}/runs/{taking['run_id']}"
    assert client.post(f"{where}/stdin?offset=0&close=true", content=b"some").json() == {"received": 4}
    assert client.get(where).json()["state"] == "running"
    assert client.post(f"{where}/signal", json={"signal": "SIGUSR1"}).json() == {"sent": True}
    client.delete(where)
    assert client.post(f"{here}/runs/cancel", json={"idempotency_key": "none"}).is_success
    assert len(client.get(f"{here}/runs?limit=5").json()["runs"]) == 2


def files(client: httpx.Client, here: str) -> None:
    def operate(**fields: Any) -> dict[str, Any]:
        check({"$ref": "#/components/schemas/FileOperation"}, fields)
        answer = client.post(f"{here}/files", json=fields)
        assert answer.is_success, answer.text
        return cast("dict[str, Any]", answer.json())

    odd = base64.b64encode(b"/home/user/\xff").decode()
    assert client.put(f"{here}/files/content?path=/home/user/f&mode=420", content=b"content").is_success
    part = client.get(f"{here}/files/content?path=/home/user/f", headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"ont")
    assert client.get(f"{here}/files/content?path=/home/user/f").content == b"content"
    assert client.put(f"{here}/files/content", params={"path_b64": odd}, content=b"").is_success
    assert operate(op="stat", path="/home/user/f")["size"] == 7
    assert operate(op="list", path="/home/user")["cursor"] is None
    assert operate(op="mkdir", path="/home/user/d/e") == {}
    operate(op="copy", path="/home/user/f", target="/home/user/d/g")
    operate(op="symlink", path="/home/user/d/l", target="g")
    operate(op="chmod", path="/home/user/f", mode=0o600)
    operate(op="move", path="/home/user/f", target="/home/user/d/h")
    assert len(operate(op="manifest", path="/home/user/d")["entries"]) == 4
    operate(op="mark", path="/home/user/d", marks=[{"path": "h", "mode": 0o644}, {"path": "none"}])
    operate(op="place", path="/home/user/d/h", target="/home/user/d/g")
    assert operate(op="changes", path="/home/user/d")["rescan"]
    assert client.post(f"{here}/files/pack", json={"path": "/home/user/d", "paths": ["g"]}).content
    entry = b"".join(pack([Entry("new", "file", 0o644, 0, b"x", "")]))
    assert client.put(f"{here}/files/unpack?path=/home/user/d", content=entry).json() == {"refused": []}
    operate(op="remove", path="/home/user/d", recursive=True)
