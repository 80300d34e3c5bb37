"""`scripts/generate.py --check` finds every way in which the tree can differ from the specs."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

pytest.importorskip("openapi_python_client", reason="the generator comes with `make check`")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the generator has made of the committed specs so far, by their names."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, at work on a copy of the specs and of the generated tree."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "scripts" / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    openapi, package = tmp_path / "openapi", tmp_path / "arker_api"
    shutil.copytree(ROOT / "openapi", openapi)
    for name, text in module.read_tree(ROOT / "generated" / "arker_api").items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    monkeypatch.setattr(module, "OPENAPI", openapi)
    monkeypatch.setattr(module, "PACKAGE", package)
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    return module


@pytest.fixture
def generate(script: ModuleType, made: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The same for a test that leaves the specs as they are."""
    run = script.generate

    def once(spec: Path, into: Path) -> None:
        if not (made / spec.stem).exists():
            run(spec, made / spec.stem)
        shutil.copytree(made / spec.stem, into)

    monkeypatch.setattr(script, "generate", once)
    return script


def test_the_committed_tree_is_what_the_specs_give(generate: ModuleType) -> None:
    assert generate.main() == 0


def test_extra_missing_and_changed_files_are_named(
    generate: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    regional = generate.PACKAGE / "regional"
    (regional / "models" / "stray.py").write_text("")
    (regional / "models" / "vm.py").unlink()
    client = regional / "client.py"
    client.write_text(client.read_text() + "# edited by hand\n")
    assert generate.main() == 1
    report = capsys.readouterr().err
    assert "extra:   generated/arker_api/regional/models/stray.py" in report
    assert "missing: generated/arker_api/regional/models/vm.py" in report
    assert "changed: generated/arker_api/regional/client.py" in report
    assert "-# edited by hand" in report


def test_a_spec_that_is_not_valid_is_refused_with_the_place(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = script.OPENAPI / "global.yaml"
    document = yaml.safe_load(spec.read_text())
    del document["paths"]["/api/v1/whoami"]["get"]["responses"]["200"]["description"]
    spec.write_text(yaml.safe_dump(document))
    assert script.main() == 1
    assert "global.yaml: paths//api/v1/whoami/get/responses/200" in capsys.readouterr().err


def test_other_output_of_the_generator_is_reported(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "PATCHES", [("client.py", "no such text", "x", 1)])
    with pytest.raises(SystemExit, match="'no such text' is there 0 times, not 1: the generator has changed"):
        script.main()


def test_another_version_of_the_generator_is_named(
    generate: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "version", lambda package: "99.1")
    (generate.PACKAGE / "regional" / "models" / "vm.py").unlink()
    assert generate.main() == 1
    assert (
        f"made by openapi-python-client {generate.PINNED}, compared with that of 99.1"
        in capsys.readouterr().err
    )


def test_without_check_the_tree_is_made_anew(generate: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    (generate.PACKAGE / "control" / "stray.py").write_text("")
    monkeypatch.setattr(sys, "argv", ["generate.py"])
    assert generate.main() == 0
    assert generate.read_tree(generate.PACKAGE) == generate.read_tree(ROOT / "generated" / "arker_api")
