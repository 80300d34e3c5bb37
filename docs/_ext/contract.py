"""Renders a page of the site from a spec of `openapi/`.

The comment `<!-- contract: ../../openapi/regional.yaml -->` in a page becomes, when the page is read, the
operations, schemas and codes of that spec. `render` is a pure function of the document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from sphinx.application import Sphinx

Node = dict[str, Any]

_MARK = re.compile(r"<!-- contract: (\S+) -->")
#: Marks what only the embedded deployment has.
_OURS = "x-arker-local"


def render(document: Node, slug: str) -> str:
    """The Markdown of a spec. Its labels are `<slug>-<operation-id>` and `<slug>-schema-<name>`."""
    return "\n".join(_lines(_Spec(document, slug)))


class _Spec:
    def __init__(self, document: Node, slug: str) -> None:
        self.document = document
        self.slug = slug.lower()
        self.schemas: dict[str, Node] = document["components"]["schemas"]

    def resolve(self, node: Node) -> Node:
        """What a `$ref` of this document points to; anything else as it is."""
        if "$ref" not in node:
            return node
        target: Any = self.document
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return self.resolve(target)

    def label(self, name: str) -> str:
        return f"{self.slug}-{name.replace('_', '-').lower()}"

    def type(self, schema: Node) -> str:
        """A schema in one cell: its type with what bounds it, or a link to its own section."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return f"[{name}](#{self.label('schema-' + name)})"
        for key in ("oneOf", "anyOf"):
            if key in schema:
                return " or ".join(self.type(variant) for variant in schema[key])
        if "const" in schema:
            return f"`{_json(schema['const'])}`"
        if "enum" in schema:
            return ", ".join(f"`{_json(value)}`" for value in schema["enum"])
        kinds = schema.get("type", "any")
        names = [kinds] if isinstance(kinds, str) else kinds
        if "array" in names:
            return f"array of {self.type(schema['items'])}" + (" or null" if "null" in names else "")
        if "object" in names and isinstance(schema.get("additionalProperties"), dict):
            null = " or null" if "null" in names else ""
            return f"object of {self.type(schema['additionalProperties'])}{null}"
        text = " or ".join(names)
        if bounds := ", ".join(_bounds(schema)):
            text += f", {bounds}"
        return text


def _bounds(schema: Node) -> Iterator[str]:
    if "format" in schema:
        yield schema["format"]
    if "contentEncoding" in schema:
        yield schema["contentEncoding"]
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None or high is not None:
        yield (
            f"{low} to {high}"
            if low is not None and high is not None
            else f"≥ {low}"
            if high is None
            else f"≤ {high}"
        )
    short, long = schema.get("minLength"), schema.get("maxLength")
    if long is not None:
        yield f"{short} to {long} characters" if short else f"≤ {long} characters"
    if "minItems" in schema:
        yield f"{schema['minItems']}+ items"
    if "pattern" in schema:
        yield f"`{schema['pattern']}`"
    if "default" in schema:
        yield f"default `{_json(schema['default'])}`"


def _lines(spec: _Spec) -> Iterator[str]:
    info = spec.document["info"]
    yield info["summary"] + "\n"
    yield from (
        f"Server: `{server['url']}` ({server['description'].lower()}).\n"
        for server in spec.document["servers"]
    )
    yield info["description"]
    yield "## Operations\n"
    yield "| | | |\n| --- | --- | --- |"
    for path, method, operation, _ in _operations(spec):
        yield f"| `{method}` | [`{path}`](#{spec.label(operation['operationId'])}) | {operation['summary']} |"
    yield ""
    for path, method, operation, parameters in _operations(spec):
        yield from _operation(spec, path, method, operation, parameters)
    yield "## Schemas\n"
    for name, schema in spec.schemas.items():
        yield from _schema(spec, name, schema)


def _operations(spec: _Spec) -> Iterator[tuple[str, str, Node, list[Node]]]:
    for path, item in spec.document["paths"].items():
        for method in ("get", "put", "post", "patch", "delete"):
            if method in item:
                operation = item[method]
                parameters = [*item.get("parameters", []), *operation.get("parameters", [])]
                yield path, method.upper(), operation, [spec.resolve(parameter) for parameter in parameters]


def _operation(spec: _Spec, path: str, method: str, operation: Node, parameters: list[Node]) -> Iterator[str]:
    name = operation["operationId"]
    yield f"({spec.label(name)})=\n### {operation['summary']}\n"
    yield f"```text\n{method} {path}\n```\n"
    key = "with the API key" if operation.get("security") else "no key"
    yield f"Operation `{name}`, {key}.{_ours(operation)}\n"
    yield operation["description"]
    if parameters:
        yield "| parameter | in | type | |\n| --- | --- | --- | --- |"
        for parameter in parameters:
            yield (
                f"| `{parameter['name']}` | {parameter['in']} | {_cell(spec.type(parameter['schema']))} "
                f"| {_cell(_required(parameter.get('required', False)) + parameter['description'])} |"
            )
        yield ""
    if "requestBody" in operation:
        yield from _content(spec, "Request", operation["requestBody"]["content"])
    for status, response in operation["responses"].items():
        if status != "default":
            content = spec.resolve(response).get("content")
            yield from (
                _content(spec, f"Answer {status}", content)
                if content
                else (f"**Answer {status}**: no body.\n",)
            )


def _content(spec: _Spec, title: str, content: Node) -> Iterator[str]:
    for media, body in content.items():
        yield f"**{title}**: {spec.type(body['schema'])}, `{media}`.\n"
        for example in body.get("examples", {}).values():
            if "summary" in example:
                yield f"{example['summary']}:\n"
            yield f"```json\n{json.dumps(example['value'], indent=2, ensure_ascii=False)}\n```\n"


def _schema(spec: _Spec, name: str, schema: Node) -> Iterator[str]:
    yield f"({spec.label('schema-' + name)})=\n### {name}\n"
    yield f"{schema['description'].strip()}{_ours(schema)}\n"
    if "properties" not in schema:
        yield f"{spec.type(schema)}\n"
        return
    if schema.get("additionalProperties") is False:
        yield "A field that is not listed is refused.\n"
    required = set(schema.get("required", []))
    yield "| field | type | |\n| --- | --- | --- |"
    for field, inner in schema["properties"].items():
        described = inner.get("description") or spec.resolve(inner).get("description", "")
        # A referenced object describes itself in its own section; a referenced scalar is described here.
        text = _required(field in required) + described.strip() + _ours(inner)
        yield f"| `{field}` | {_cell(spec.type(inner))} | {_cell(text)} |"
    yield ""


def _required(required: bool) -> str:
    return "**required** " if required else ""


def _ours(node: Node) -> str:
    return " *(embedded deployment)*" if node.get(_OURS) else ""


def _json(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _source_read(app: Sphinx, docname: str, source: list[str]) -> None:
    def replace(match: re.Match[str]) -> str:
        spec = (Path(app.srcdir) / docname).parent.joinpath(match[1]).resolve()
        app.env.note_dependency(str(spec))
        return render(yaml.safe_load(spec.read_text()), spec.stem)

    source[0] = _MARK.sub(replace, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the extension known to Sphinx."""
    app.connect("source-read", _source_read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
