"""Quantities with units, as people write the limits of computers: `1GiB`, `500MB`, `10min`."""

from __future__ import annotations

import re
from typing import Final

#: Limits that are sizes, and those that are times; the others are plain counts.
SIZES: Final = frozenset({"memory", "shared_memory", "file_size", "disk", "run_output"})
TIMES: Final = frozenset({"run", "idle"})

_SIZE_UNITS: Final = {
    "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40,
    "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}  # fmt: skip
_TIME_UNITS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86400}

_QUANTITY: Final = re.compile(r"(\d+(?:\.\d*)?(?:e\+?\d+)?)\s*([a-z]*)", re.ASCII | re.IGNORECASE)


def parse(name: str, text: str) -> float:
    """The value of a limit, in bytes, seconds or as a count.

    Raises:
        ValueError: `text` is not such a value; the message says what is expected.
    """
    if name in SIZES:
        return _quantity(text, _SIZE_UNITS, "a size, such as 512MiB or 2GB")
    if name in TIMES:
        return _quantity(text, _TIME_UNITS, "a time, such as 90s, 10min or 1h")
    return _quantity(text, {}, "a number")


def seconds(text: str) -> float:
    """A length of time, such as 90s, 12h or 30d.

    Raises:
        ValueError: `text` is none; the message says what is expected.
    """
    return _quantity(text, _TIME_UNITS, "a time, such as 12h or 30d")


def _quantity(text: str, units: dict[str, int], expected: str) -> float:
    found = _QUANTITY.fullmatch(text.strip())
    unit = found[2].lower() if found else ""
    if found is None or (unit and unit not in units):
        raise ValueError(f"expected {expected}")
    return float(found[1]) * units.get(unit, 1)


def show(name: str, value: float) -> str:
    """The value of a limit with its unit, in a form that `parse` reads back."""
    units: dict[str, int] = {}
    if name in SIZES:
        units = {"TiB": 1 << 40, "GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}
    elif name in TIMES:
        units = {"h": 3600, "min": 60, "s": 1}
    for unit, size in units.items():
        if value % size == 0:
            return f"{int(value // size)}{unit}"
    return f"{int(value) if value == int(value) else value}{'s' if name in TIMES else ''}"
