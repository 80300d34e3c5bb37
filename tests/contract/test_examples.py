"""The contract from both sides: every example is sent, and every answer matches its schema."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker

from arker.local.process.launcher import Deployment

SPECS = {
    name: yaml.safe_load((Path(__file__).parents[2] / "openapi" / f"{name}.yaml").read_text())
    for name in ("regional", "global")
}
BASE = "01KQBYKEV5WJ7YB010603T1DCT_d8c0"


def resolve(spec: dict[str, Any], node: Any) -> Any:
    while isinstance(node, dict) and "$ref" in node:
        target = spec
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        node = target
    return node


def operations() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for name, spec in SPECS.items():
        for path, methods in spec["paths"].items():
            for method, operation in methods.items():
                if method != "parameters":
                    yield name, path, method, operation


def validate(spec: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    whole = {**schema, "components": spec["components"]}
    Draft202012Validator(whole, format_checker=FormatChecker()).validate(value)


class Wire:
    """Sends requests, and holds every answer against the spec."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment

    def __call__(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        request = urllib.request.Request(
            self.deployment.base_url + path,
            None if body is None else json.dumps(body).encode(),
            {
                "Content-Type": "application/json",
                "Authorization": f"Bearer {self.deployment.api_key if key is None else key}",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
            method=method.upper(),
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, content = answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                status, content = error.code, json.load(error)
        self._check(method, path, status, content)
        return status, content

    def _check(self, method: str, path: str, status: int, content: Any) -> None:
        parts = path.partition("?")[0].strip("/").split("/")

        def fits(template: str) -> bool:
            pattern = template.strip("/").split("/")
            return len(pattern) == len(parts) and all(
                p == q or p.startswith("{") for p, q in zip(pattern, parts, strict=True)
            )

        found = [one for one in operations() if one[2] == method.lower() and fits(one[1])]
        # The path that is spelled out stands before the one with a parameter.
        name, _, _, operation = min(found, key=lambda one: one[1].count("{"))
        response = resolve(
            SPECS[name], operation["responses"].get(str(status), operation["responses"]["default"])
        )
        validate(SPECS[name], response["content"]["application/json"]["schema"], content)


@pytest.fixture
def wire(deployment: Deployment) -> Wire:
    return Wire(deployment)


@pytest.fixture
def vm(wire: Wire) -> Iterator[str]:
    _, forked = wire("post", f"/api/v1/vms/{BASE}/fork", {"is_public": False})
    yield forked["vm_id"]
    wire("delete", f"/api/v1/vms/{forked['vm_id']}")


@pytest.mark.parametrize(
    ("name", "path", "method", "operation"), list(operations()), ids=lambda value: str(value)[:40]
)
def test_every_example_in_the_specs_fits_its_schema(
    name: str, path: str, method: str, operation: dict[str, Any]
) -> None:
    spec = SPECS[name]
    holders = [operation.get("requestBody"), *operation["responses"].values()]
    checked = 0
    for holder in holders:
        for media in (resolve(spec, holder) or {}).get("content", {}).values():
            for example in media.get("examples", {}).values():
                validate(spec, media["schema"], example["value"])
                checked += 1
    assert checked


def examples(operation_id: str) -> dict[str, Any]:
    for _, _, _, operation in operations():
        if operation["operationId"] == operation_id:
            found: dict[str, Any] = operation["requestBody"]["content"]["application/json"]["examples"]
            return {name: example["value"] for name, example in found.items()}
    raise AssertionError(operation_id)


@pytest.mark.parametrize("name", examples("fork_vm"))
def test_the_forks_of_the_examples(wire: Wire, name: str) -> None:
    body = examples("fork_vm")[name]
    status, forked = wire("post", f"/api/v1/vms/{BASE}/fork", body)
    try:
        assert status == 200
        assert forked["is_public"] == body["is_public"]
        assert forked["name"] == body.get("name")
        assert forked["parent_vm_id"] == BASE
        assert forked["base_image"] == "arkuntu"
        assert forked["state"] == "running"
        status, seen = wire("get", f"/api/v1/vms/{forked['vm_id']}")
        assert status == 200
        assert seen["name"] == body.get("name")
        assert seen["root_source_vm_id"] == BASE
        status, page = wire("get", "/api/v1/vms/list?limit=100")
        assert forked["vm_id"] in [item["vm_id"] for item in page["items"]]
    finally:
        assert wire("delete", f"/api/v1/vms/{forked['vm_id']}")[1] == {"deleted": True}


def test_the_runs_of_the_examples(wire: Wire, vm: str) -> None:
    bodies = examples("run_command")
    status, ran = wire("post", f"/api/v1/vms/{vm}/run", bodies["python"])
    assert status == 200
    assert (ran["stdout"], ran["exit_code"], ran["completed"], ran["cwd"]) == ("42\n", 0, True, "/home/user")
    status, ran = wire("post", f"/api/v1/vms/{vm}/run", bodies["session"])
    assert status == 200
    assert ran["session_id"] == "build"
    assert ran["exit_code"] != 0
    _, seen = wire("get", f"/api/v1/vms/{vm}")
    assert {session["session_id"] for session in seen["sessions"]} == {"0", "build"}
    assert seen["state"] == "idle"


def test_the_files_of_the_examples(wire: Wire, vm: str) -> None:
    bodies, path = examples("sync_files"), f"/api/v1/vms/{vm}/sync"
    assert wire("post", path, bodies["read"])[0] == 404
    status, written = wire("post", path, bodies["write"])
    assert status == 200
    assert written["results"][0]["written"]
    _, read = wire("post", path, {"op": "read", "path": "/home/user/hello.txt"})
    assert (read["content"], read["encoding"], read["size"]) == ("hello\n", "utf8", 6)
    _, asked = wire("post", path, bodies["upload"])
    url, upload_id = asked["results"][0]["presigned_url"], asked["results"][0]["upload_id"]
    data = bytes(range(256)) * 195313
    data = data[:50_000_000]
    with urllib.request.urlopen(urllib.request.Request(url, data, method="PUT"), timeout=60) as answer:
        assert answer.status == 200
    commit = {"op": "write", "writes": [{**bodies["commit"]["writes"][0], "upload_id": upload_id}]}
    _, committed = wire("post", path, commit)
    assert committed["results"][0]["written"]
    _, signed = wire("post", path, {"op": "read", "path": "/home/user/data.bin"})
    with urllib.request.urlopen(signed["presigned_url"], timeout=60) as answer:
        assert answer.read() == data


def test_the_fork_by_name_of_the_example(wire: Wire) -> None:
    body = examples("fork_by_name")["named"]
    name = "contract-example"
    assert wire("post", "/api/v1/vms/fork", {**body, "from": name})[0] == 404
    _, parent = wire("post", f"/api/v1/vms/{BASE}/fork", {"is_public": False, "name": name})
    status, child = wire("post", "/api/v1/vms/fork", {**body, "from": name})
    assert status == 200
    assert child["parent_vm_id"] == parent["vm_id"]
    for made in (child, parent):
        wire("delete", f"/api/v1/vms/{made['vm_id']}")


def test_the_service(wire: Wire) -> None:
    assert wire("get", "/api/v1/health", key="")[1]["status"] == "ok"
    assert wire("get", "/api/v1/regions", key="")[1]["regions"][0]["platforms"]
    assert wire("get", "/api/v1/whoami")[1] == {"org_id": "org_local", "org_name": "Local"}


def test_each_error_that_a_caller_can_bring_about(wire: Wire, vm: str) -> None:
    run, sync, fork = (f"/api/v1/vms/{vm}/{operation}" for operation in ("run", "sync", "fork"))
    wire(
        "post",
        run,
        {
            "command": "mkfifo pipe; mkdir folder; ln -s /etc/passwd out; head -c 100000001 /dev/zero > big",
            "session_id": 0,
        },
    )
    wire("post", run, {"command": "true", "session_id": 0}, Idempotency_Key="used")
    cases: list[tuple[tuple[int, Any], int, str]] = [
        (wire("get", "/api/v1/whoami", key="ark_not_this_one"), 401, "unauthorized"),
        (wire("post", run, {"command": "true"}), 400, "bad_request"),
        (wire("post", f"/api/v1/vms/{BASE}/run", {"command": "true", "session_id": 0}), 403, "forbidden"),
        (wire("post", f"/api/v1/vms/{'0' * 26}/run", {"command": "true", "session_id": 0}), 404, "not_found"),
        (wire("post", sync, {"op": "move"}), 400, "unsupported_op"),
        (wire("post", sync, {"op": "read", "path": "/home/user/nothing"}), 404, "not_found"),
        (wire("post", sync, {"op": "read", "path": "/home/user/folder"}), 400, "bad_request"),
        (wire("post", sync, {"op": "read", "path": "/home/user/pipe"}), 400, "bad_request"),
        (wire("post", sync, {"op": "read", "path": "/home/user/big"}), 413, "payload_too_large"),
        (wire("post", fork, {"is_public": False, "region": "mars"}), 400, "bad_request"),
        (
            wire("post", run, {"command": "false", "session_id": 0}, Idempotency_Key="used"),
            409,
            "idempotency_conflict",
        ),
        (
            wire("post", run, {"command": "true", "session_id": 0}, Idempotency_Key="x" * 65),
            400,
            "bad_request",
        ),
        (wire("get", "/api/v1/vms/list?limit=0"), 400, "bad_request"),
    ]
    for (status, answer), expected_status, expected_code in cases:
        assert (status, answer["error"]["code"]) == (expected_status, expected_code), answer
