"""Identifiers: ULIDs, and computer ids."""

from __future__ import annotations

import re
import secrets
import time
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VM_ID: Final = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}(?:_[0-9A-Za-z]+)?", re.ASCII)


def new_ulid(now_ms: int | None = None) -> str:
    """A new ULID: 48 bits of time in milliseconds, 80 random bits, as 26 Crockford base32 digits."""
    value = (time.time_ns() // 1_000_000 if now_ms is None else now_ms) << 80 | secrets.randbits(80)
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))


def is_vm_id(text: str) -> bool:
    """Whether `text` has the form of a computer id."""
    return len(text) <= 64 and _VM_ID.fullmatch(text) is not None
