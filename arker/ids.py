"""Computer ids, aliases of base images, and ULIDs."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["SOURCE_ALIASES", "is_vm_id", "new_ulid"]

SOURCE_ALIASES: Final[Mapping[str, str]] = MappingProxyType({"arkuntu": "01KQBYKEV5WJ7YB010603T1DCT_d8c0"})
"""Base images with a name that needs no request to a server: alias -> computer id."""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VM_ID = re.compile(rf"[{_ALPHABET}]{{26}}(_[0-9A-Za-z]+)?")


def is_vm_id(text: str) -> bool:
    """Whether `text` has the form of a computer id: a ULID, optionally followed by `_` and letters or digits."""
    return _VM_ID.fullmatch(text) is not None


def new_ulid() -> str:
    """Make a new ULID: 48 bits of time in milliseconds and 80 random bits, as 26 characters."""
    value = (time.time_ns() // 1_000_000 & (1 << 48) - 1) << 80 | secrets.randbits(80)
    return "".join([_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5)])
