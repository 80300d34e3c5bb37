"""mypy and pyright agree with the assertions in the files beside this one, and reject the lines marked as wrong."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CALLS = [HERE / "_async" / "calls.py", HERE / "_sync" / "calls.py"]
FILES = [*CALLS, HERE / "asynchronous.py"]

pytestmark = pytest.mark.timeout(300)


def checked_by(tool: str, *arguments: str) -> str:
    if importlib.util.find_spec(tool) is None:
        pytest.skip(f"{tool} is not installed; it comes with the group `check`")
    command = [sys.executable, "-m", tool, *arguments, *map(str, FILES)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout


def test_mypy(tmp_path: Path) -> None:
    said = checked_by("mypy", "--strict", "--explicit-package-bases", "--cache-dir", str(tmp_path))
    assert "Success: no issues found in 3 source files" in said, said


def test_pyright(tmp_path: Path) -> None:
    settings = tmp_path / "pyrightconfig.json"
    strict = {"typeCheckingMode": "strict", "reportUnnecessaryTypeIgnoreComment": "error"}
    # The isinstance is there for mypy.
    settings.write_text(json.dumps({**strict, "reportUnnecessaryIsInstance": False}))
    said = checked_by("pyright", "--project", str(settings), "--pythonpath", sys.executable, "--outputjson")
    diagnostics = json.loads(said)["generalDiagnostics"]
    assert not diagnostics, "\n".join(
        f"{Path(one['file']).relative_to(HERE)}:{one['range']['start']['line'] + 1}: {one['message']}"
        for one in diagnostics
    )


@pytest.mark.parametrize("path", CALLS, ids=lambda path: path.parent.name)
def test_no_operation_of_the_contract_is_left_out(path: Path) -> None:
    # Those of contract 0.3 come out of the same template.
    generated = ROOT / "generated" / "arker_api"
    api = [file for package in ("regional", "control") for file in generated.glob(f"{package}/api/*/*.py")]
    operations = {file.stem for file in api if file.stem != "__init__"}
    assert operations <= set(re.findall(r"assert_type\(.*\.call\((\w+)", path.read_text())) | {"sync_files"}
