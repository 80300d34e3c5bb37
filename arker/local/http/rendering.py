"""Values of the service in the contract's format."""

from __future__ import annotations

import base64
import platform as host
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from arker.local.service.handles import Reason, Usage

PROVIDER: Final = "local"
PLATFORM: Final = f"linux/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(host.machine(), host.machine()) }"

#: Content above this size (bytes) is sent as text only if JSON's long escapes do not make it too large.
_LARGE: Final = 64 * 1024
_SPELT_OUT: Final = bytes(set(range(32)) - set(b"\b\t\n\f\r"))


def timestamp(ms: int) -> str:
    """Format a time in RFC 3339, in UTC, with milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def end_fields(reason: Reason, usage: Usage, notes: Sequence[str]) -> dict[str, Any]:
    """Return why a run ended, what it used and remarks, as JSON fields. They are in no contract."""
    return {
        "reason": reason.value,
        "usage": {
            "cpu_seconds": usage.cpu_seconds,
            "peak_memory": usage.peak_memory,
            "bytes_written": usage.bytes_written,
            "exact": usage.exact,
        },
        "notes": list(notes),
    }


def text(data: bytes) -> tuple[str, str]:
    """Return bytes as a JSON string, and its encoding: `utf-8`, or `base64` if they are not text."""
    # JSON encodes a control character in six bytes: 16 MiB of NULs would be a response of 100 MB.
    if len(data) > _LARGE and 6 * (len(data) - len(data.translate(None, _SPELT_OUT))) > len(data):
        return base64.b64encode(data).decode(), "base64"
    try:
        return data.decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), "base64"
