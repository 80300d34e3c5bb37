"""The examples run unchanged and print what they say."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PROGRAMS = sorted(EXAMPLES.glob("*.py"))

#: Where no deployment is configured, so that they have their own, and no test of somebody else's is counted.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("ARKER_")}

#: Plugins of these tests that a user's project does not have.
WITHOUT = [word for name in ("cacheprovider", "asyncio", "schemathesis") for word in ("-p", f"no:{name}")]


def test_all_examples_are_tested() -> None:
    assert [program.stem for program in PROGRAMS] == [
        "analysis", "day", "fanout", "matrix", "notebook", "quickstart", "recovery", "review", "search", "service",
    ]  # fmt: skip


@pytest.mark.parametrize("program", [p for p in PROGRAMS if p.stem != "service"], ids=lambda path: path.stem)
def test_program(program: Path) -> None:
    doc = ast.get_docstring(ast.parse(program.read_text()))
    assert doc is not None
    expected = re.sub("^ {4}", "", doc.partition("It prints:\n\n")[2], flags=re.MULTILINE)
    assert expected
    done = subprocess.run(
        [sys.executable, "-W", "error", program],
        env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    # As in the documentation, `...` stands for anything.
    pattern = ".*?".join(map(re.escape, expected.strip().split("...")))
    assert re.fullmatch(pattern, done.stdout.strip(), re.DOTALL), done.stdout


def test_service() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "service:app", "--port", "0", "--no-access-log"],
        cwd=EXAMPLES, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stderr is not None
        try:
            log = ""
            while "running on " not in log:
                line = server.stderr.readline()
                assert line, log
                log += line
            url = re.search(r"http://\S+", log)
            assert url is not None
            with httpx.Client(base_url=url[0], timeout=30) as client:
                use(client)
        finally:
            server.send_signal(signal.SIGINT)
            rest = server.stderr.read()
        assert (server.wait(20), "Application shutdown complete" in rest) == (0, True), rest


def use(client: httpx.Client) -> None:
    def run(user: str, command: str) -> dict[str, object]:
        answer = client.post(f"/users/{user}/run", json={"command": command})
        assert answer.status_code == 200, answer.text
        result: dict[str, object] = answer.json()
        return result

    assert run("ada", "cd /tmp; x=1; echo hello from ada")["stdout"] == "hello from ada\n"
    assert run("ada", "echo $PWD $x; echo ada > ~/me")["stdout"] == "/tmp 1\n"
    assert run("bob", "ls -A; exit 3")["exit_code"] == 3
    assert run("bob", "ls -A")["stdout"] == ""
    assert client.get("/users/ada/files/me").content == b"ada\n"
    data = os.urandom(6_000_000)
    assert client.put("/users/ada/files/sub/data", content=data).status_code == 204
    assert client.get("/users/ada/files/sub/data").content == data
    missing = client.get("/users/bob/files/me")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    assert client.post("/users/ada/run", json={"command": 1}).status_code == 422


@pytest.mark.parametrize("options", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_a_project_with_tests(options: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *WITHOUT, *options],
        cwd=EXAMPLES / "testing", env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 passed" in done.stdout
