"""Decode large inline files, JSON and base64 in one pass, by pydantic. A separate module: the import takes 75 ms."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError


class _Inline(BaseModel):
    model_config = ConfigDict(val_json_bytes="base64")

    content: bytes
    encoding: str
    size: int
    ok: bool = True


def decode(content: bytes) -> bytes | None:
    """Return the file in a base64 answer; None for any other answer."""
    try:
        inline = _Inline.model_validate_json(content)
    except ValidationError:
        return None
    whole = inline.ok and inline.encoding == "base64" and len(inline.content) == inline.size
    return inline.content if whole else None
