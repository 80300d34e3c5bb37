"""The `/proc/meminfo` of a computer: its memory limit and the remaining memory.

Programs size their heaps and caches by it. `sysinfo(2)` still reports the host's memory.
"""

from __future__ import annotations

from arker.local.engine import small_files

_ZERO = ("Buffers", "Cached", "SwapCached", "SwapTotal", "SwapFree")


def host_meminfo() -> str:
    """Return the text of the host's file; empty if it cannot be read."""
    try:
        return small_files.read("/proc/meminfo")
    except OSError:
        return ""


def kib(text: str, name: str) -> int:
    """Return a value of a meminfo; 0 if it is not there. Pure."""
    words = text.partition(f"{name}:")[2].split(None, 1)
    return int(words[0]) if words else 0


def meminfo(host: str, limit: int, used: int) -> str:
    """Return the text for a computer that may use `limit` bytes and uses `used`, based on the host's text; pure."""
    total = min(kib(host, "MemTotal") or limit // 1024, limit // 1024)
    left = max(0, min(kib(host, "MemAvailable") or total, total - used // 1024))
    values = {"MemTotal": total, "MemFree": left, "MemAvailable": left, **dict.fromkeys(_ZERO, 0)}
    return "".join(f"{name + ':':<16}{value:>8} kB\n" for name, value in values.items())
