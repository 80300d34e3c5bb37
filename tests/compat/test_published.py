"""The published clients run their own live tests, unchanged, against a deployment; `make compat` installs them."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from arker import Arker
from arker.local.process.launcher import Deployment
from tests.compat.oracle import Oracle
from tests.compat.recorder import Recorder
from tests.contract.test_closed import PUBLISHED
from tests.contract.test_generated import CONFIGURATION_0_3

INSTALLED = Path(__file__).parents[2] / "build" / "compat"

Run = Callable[..., str]


def document_of_1_3_0() -> Path:
    (document,) = INSTALLED.glob("1.3.0/env/lib/python3.*/site-packages/arker/_openapi.json")
    return document


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    return Oracle(document_of_1_3_0())


@pytest.fixture
def recorder(deployment: Deployment, oracle: Oracle, tmp_path: Path) -> Iterator[Recorder]:
    """The proxy that the clients use; at the end every answer must be one that the document allows."""
    with Recorder(deployment.base_url, tmp_path) as recorder:
        yield recorder
    problems = {problem for exchange in recorder.exchanges if (problem := oracle.problem(exchange))}
    assert recorder.exchanges
    assert not problems, "\n".join(sorted(problems))


@pytest.fixture
def run(recorder: Recorder, deployment: Deployment, tmp_path: Path) -> Run:
    """Runs a Python script or module with a published client; what it said, after it has ended with 0."""

    def run(version: str, *arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [INSTALLED / version / "env" / "bin" / "python", "-B", *arguments],
            cwd=INSTALLED / version / "source",
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("ARKER_")},
                "ARKER_API_KEY": deployment.api_key,
                "SSL_CERT_FILE": str(recorder.authority),
                "HTTPS_PROXY": recorder.base_url,
                "NO_PROXY": "127.0.0.1",
                "TMPDIR": str(tmp_path),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
        return done.stdout

    return run


@pytest.mark.parametrize(("version", "script"), [("0.1.2", "demo.py"), ("0.2.1", "test_e2e.py")])
def test_clients_of_contract_0_1(version: str, script: str, run: Run, recorder: Recorder) -> None:
    assert "❌" not in run(version, f"tests/{script}", ARKER_BASE_URL=recorder.base_url)


@pytest.fixture
def today(recorder: Recorder) -> dict[str, str]:
    """What 1.3.0 has to be told."""
    base = f"{recorder.base_url}/api"
    return {
        "ARKER_BASE_URL": base,
        "ARKER_CONTROL_BASE_URL": base,
        "ARKER_SOURCE_VM": "arkuntu",
        "STRESS_N": "10",
    }


def test_our_list_of_its_fields_is_right() -> None:
    schemas = json.loads(document_of_1_3_0().read_text())["components"]["schemas"]
    for name, fields in PUBLISHED.items():
        assert (schemas[name]["properties"].keys(), schemas[name]["additionalProperties"]) == (fields, False)


def test_the_live_tests_of_1_3_0(run: Run, today: dict[str, str]) -> None:
    assert "11 passed" in run("1.3.0", "-m", "pytest", "-p", "no:cacheprovider", "tests/e2e", **today)


@pytest.mark.parametrize("script", ["demo.py", "stress_probe.py"])
def test_the_scripts_of_1_3_0(script: str, run: Run, today: dict[str, str]) -> None:
    said = run("1.3.0", f"tests/{script}", **today)
    assert "failures by code" not in said


def test_a_tour_of_what_1_3_0_can_ask(run: Run, today: dict[str, str], oracle: Oracle) -> None:
    assert "the whole tour" in run("1.3.0", str(Path(__file__).with_name("tour.py")), **today)


def test_the_terminal_of_1_3_0(deployment: Deployment) -> None:
    # Without the recorder, which passes on no WebSockets.
    base = f"{deployment.base_url}/api"
    done = subprocess.run(
        [INSTALLED / "1.3.0" / "env" / "bin" / "python", "-B", Path(__file__).with_name("terminal.py")],
        cwd=INSTALLED / "1.3.0" / "source",
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("ARKER_")},
            "ARKER_API_KEY": deployment.api_key,
            "ARKER_BASE_URL": base,
            "ARKER_CONTROL_BASE_URL": base,
        },
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "the terminal works" in done.stdout, done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_requests_that_are_generated_from_the_document(deployment: Deployment, tmp_path: Path) -> None:
    document = json.loads(document_of_1_3_0().read_text())
    # One machine has no pools, and a WebSocket is no request with an answer.
    document["paths"] = {
        path: item
        for path, item in document["paths"].items()
        if not path.startswith("/v1/pools") and not path.endswith("/pty")
    }
    with Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as arker:
        before = {vm.vm_id for vm in arker.iter_vms()}
        vm_id = arker.vm("arkuntu").fork().id
        try:
            (tmp_path / "spec.json").write_text(json.dumps(document))
            (tmp_path / "schemathesis.toml").write_text(CONFIGURATION_0_3.format(vm_id=vm_id))
            done = subprocess.run(
                [
                    *(Path(sysconfig.get_path("scripts")) / "schemathesis", "run", tmp_path / "spec.json"),
                    *("--url", deployment.base_url, "-H", f"Authorization: Bearer {deployment.api_key}"),
                    *("--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--seed", "1"),
                    *("--no-color", "--warnings", "off"),
                ],
                cwd=tmp_path,
                capture_output=True,
                text=True,
            )
        finally:
            for vm in {vm.vm_id for vm in arker.iter_vms()} - before:
                arker.vm(vm).delete()
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
