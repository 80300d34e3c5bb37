"""Validate answers against the OpenAPI document that a published client contains."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.compat.recorder import Exchange

#: What the clients of contract 0.1 are: their errors have an envelope of their own.
OLD_CLIENT = "Python-urllib/"
#: Paths of contract 0.1 that look like `/v1/vms/{id}`.
OLD_PATHS = {"/v1/vms/list", "/v1/vms/fork"}


class Oracle:
    """Says what in an answer the document does not allow."""

    def __init__(self, document: Path) -> None:
        self._document = json.loads(document.read_text())
        self._registry: Registry[Any] = Registry().with_resource(
            "urn:document", Resource(contents=self._document, specification=DRAFT202012)
        )
        self._paths = [
            (re.compile(re.sub(r"\{\w+\}", "[^/]+", template)), item)
            for template, item in self._document["paths"].items()
        ]
        #: The operations whose answers were seen.
        self.seen: set[str] = set()

    def problem(self, exchange: Exchange) -> str | None:
        """What is wrong with an answer; None for nothing, or for a path that the document does not have."""
        path = urlsplit(exchange.path).path.removeprefix("/api")
        operation = None
        if path not in OLD_PATHS:
            found = (item for pattern, item in self._paths if pattern.fullmatch(path))
            operation = next(found, {}).get(exchange.method.lower())
        if operation is None or (exchange.status >= 400 and exchange.user_agent.startswith(OLD_CLIENT)):
            return None
        self.seen.add(operation["operationId"])
        where = f"{operation['operationId']} {exchange.status}"
        response = operation["responses"].get(str(exchange.status))
        if response is None:
            return f"{where}: this status is not allowed; the body is {exchange.body[:500]!r}"
        if "$ref" in response:
            response = self._resolve(response["$ref"])
        for name, header in response.get("headers", {}).items():
            resolved = self._resolve(header["$ref"]) if "$ref" in header else header
            if resolved.get("required") and name.lower() not in exchange.headers:
                return f"{where}: there is no header {name}"
        content = response.get("content", {}).get("application/json")
        if content is None:
            return f"{where}: there should be no body" if exchange.body else None
        validator = jsonschema.Draft202012Validator(
            _absolute(content["schema"]),
            registry=self._registry,
            format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
        )
        error = jsonschema.exceptions.best_match(validator.iter_errors(json.loads(exchange.body)))
        return None if error is None else f"{where}: {error.json_path}: {error.message[:500]}"

    def _resolve(self, reference: str) -> Any:
        found = self._document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        return found


def _absolute(schema: Any) -> Any:
    """The schema with its references led to the document, as it stands outside of it."""
    if isinstance(schema, dict):
        return {
            name: f"urn:document{value}" if name == "$ref" else _absolute(value)
            for name, value in schema.items()
        }
    return [_absolute(item) for item in schema] if isinstance(schema, list) else schema
