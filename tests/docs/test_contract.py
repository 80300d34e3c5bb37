"""The pages about the contract are as complete as the specs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def contract() -> ModuleType:
    spec = importlib.util.spec_from_file_location("contract", ROOT / "docs" / "_ext" / "contract.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["regional", "global", "v03", "local"])
def test_every_operation_schema_and_field_is_there(contract: ModuleType, name: str) -> None:
    document = yaml.safe_load((ROOT / "openapi" / f"{name}.yaml").read_text())
    page = contract.render(document, name)
    for path, item in document["paths"].items():
        for method in item.keys() & {"get", "put", "post", "patch", "delete"}:
            operation = item[method]
            heading = f"({name}-{operation['operationId'].replace('_', '-')})=\n### {operation['summary']}"
            assert f"{heading}\n\n```text\n{method.upper()} {path}\n```" in page
            assert operation["description"] in page
    for title, schema in document["components"]["schemas"].items():
        section = page.split(f"\n### {title}\n", 1)[1].split("\n### ", 1)[0]
        for field in schema.get("properties", {}):
            assert f"| `{field}` |" in section
    for link in page.split("](#")[1:]:
        assert f"({link.split(')')[0]})=" in page


def document(field: dict[str, Any]) -> dict[str, Any]:
    thing = {"description": "A thing.", "required": ["field"], "properties": {"field": field}}
    info = {"summary": "An API.", "description": "It does things."}
    return {"info": info, "servers": [], "paths": {}, "components": {"schemas": {"Thing": thing}}}


@pytest.mark.parametrize(
    ("field", "row"),
    [
        ({"type": "string", "description": "A|B."}, "| string | **required** A\\|B. |"),
        ({"type": ["string", "null"], "description": "X."}, "| string or null | **required** X. |"),
        ({"type": "integer", "minimum": 0, "maximum": 9, "description": "X."}, "| integer, 0 to 9 |"),
        ({"type": "integer", "minimum": 0, "description": "X."}, "| integer, ≥ 0 |"),
        ({"type": "string", "pattern": "^a|b$", "description": "X."}, "| string, `^a\\|b$` |"),
        ({"type": "string", "maxLength": 9, "description": "X."}, "| string, ≤ 9 characters |"),
        ({"type": "string", "format": "date-time", "description": "X."}, "| string, date-time |"),
        ({"type": "boolean", "default": False, "description": "X."}, "| boolean, default `false` |"),
        ({"const": True, "description": "X."}, "| `true` |"),
        ({"enum": ["a", "-a"], "description": "X."}, "| `a`, `-a` |"),
        ({"$ref": "#/components/schemas/Thing"}, "| [Thing](#api-schema-thing) | **required** A thing. |"),
        ({"type": "array", "items": {"type": "string"}, "description": "X."}, "| array of string |"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "| object of string |"),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}], "description": "X."}, "| string or integer |"),
        ({"type": "string", "x-arker-local": True, "description": "X."}, "| string | **required** X. *(emb"),
    ],
)  # fmt: skip
def test_every_field_has_a_row(contract: ModuleType, field: dict[str, Any], row: str) -> None:
    assert f"| `field` {row}" in contract.render(document(field), "api")
