"""Requests that schemathesis generates from the specs, valid and invalid, alone and in sequence."""

from __future__ import annotations

import json
import subprocess
import sysconfig
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from arker.local.process.launcher import Deployment
from tests.conftest import EXAMPLES

SPECS = Path(__file__).parents[2] / "openapi"
BASE = "01KQBYKEV5WJ7YB010603T1DCT_d8c0"

#: `{vm_id}` is a computer that is there, but for the operation that would delete it.
CONFIGURATION = """
[checks]
negative_data_rejection.expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "429"]

[[operations]]
include-operation-id = ["run_command", "sync_files", "fork_vm", "get_vm"]
parameters = {{ "path.vm_id" = "{vm_id}" }}

# Contract 0.3 has another method on this path.
[[operations]]
include-operation-id = ["get_vm", "delete_vm"]
checks.unsupported_method.enabled = false
checks.allow_header_conformance.enabled = false
"""


#: The same for contract 0.3, in which more is a matter of the request's sense than of its form: exactly one source of a
#: fork, a size that is not for the caller to choose, a cursor that was answered.
CONFIGURATION_0_3 = """
[checks]
negative_data_rejection.expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "422", "429"]
positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "413", "422", "429"]

[[operations]]
include-path-regex = "/v1/vms/[{{]id[}}]/"
parameters = {{ "path.id" = "{vm_id}" }}
"""


def exact(name: str) -> dict[str, Any]:
    """A spec, with what it says in prose said to the generator, too: the regions there are, and base64."""
    spec: dict[str, Any] = yaml.safe_load((SPECS / f"{name}.yaml").read_text())
    schemas = spec["components"]["schemas"]
    for schema in (schemas.get("ForkRequest"), schemas.get("ForkByNameRequest")):
        if schema is not None and "region" in schema["properties"]:
            schema["properties"]["region"]["enum"] = ["local"]
    if "WriteChunk" in schemas:
        schemas["WriteChunk"]["properties"]["content"]["pattern"] = "^([0-9A-Za-z+/]{4}){0,64}$"
    if name == "v03":
        # Published clients refuse answers with fields that they do not know; see test_closed.
        for schema in schemas.values():
            if "properties" in schema:
                schema.setdefault("additionalProperties", False)
    return spec


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "phases", "configuration"),
    [
        ("regional", "examples,coverage,fuzzing", CONFIGURATION),
        # In sequence, the computers are those that the forks before have made.
        ("regional", "stateful", CONFIGURATION.partition("[[operations]]")[0]),
        ("global", "examples,coverage,fuzzing", CONFIGURATION.partition("[[operations]]")[0]),
        ("v03", "examples,coverage,fuzzing", CONFIGURATION_0_3),
    ],
    ids=["regional", "regional in sequence", "global", "0.3"],
)
def test_no_answer_that_the_spec_does_not_allow(
    name: str, phases: str, configuration: str, deployment: Deployment, tmp_path: Path
) -> None:
    headers = {"Authorization": f"Bearer {deployment.api_key}", "Content-Type": "application/json"}

    def call(method: str, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(deployment.base_url + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def computers() -> set[str]:
        return {item["vm_id"] for item in call("GET", "/api/v1/vms/list?limit=100")["items"]}

    before = computers()
    vm_id = call("POST", f"/api/v1/vms/{BASE}/fork", b'{"is_public": false}')["vm_id"]
    try:
        (tmp_path / "spec.json").write_text(json.dumps(exact(name)))
        (tmp_path / "schemathesis.toml").write_text(configuration.format(vm_id=vm_id))
        done = subprocess.run(
            [
                *(Path(sysconfig.get_path("scripts")) / "schemathesis", "run", tmp_path / "spec.json"),
                *("--url", deployment.base_url, "-H", f"Authorization: {headers['Authorization']}"),
                *("--phases", phases, "--max-examples", str(EXAMPLES), "--seed", "1"),
                *("--no-color", "--warnings", "off"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
    finally:
        while made := computers() - before:
            for one in made:
                call("DELETE", f"/api/v1/vms/{one}")
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
