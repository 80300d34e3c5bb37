"""Values of the service, as the contract spells them."""

from __future__ import annotations

import base64
import platform as host
from datetime import UTC, datetime
from typing import Final

PROVIDER: Final = "local"
PLATFORM: Final = f"linux/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(host.machine(), host.machine()) }"

#: Content above this size (bytes) is weighed before it is taken for text, by what JSON has no short escape for.
_LARGE: Final = 64 * 1024
_SPELT_OUT: Final = bytes(set(range(32)) - set(b"\b\t\n\f\r"))


def timestamp(ms: int) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def text(data: bytes) -> tuple[str, str]:
    """Bytes as a JSON string, and its encoding: `utf-8`, or `base64` where they are no text."""
    # As text, JSON spells a control character in six bytes: 16 MiB of NULs would be an answer of 100 MB.
    if len(data) > _LARGE and 6 * (len(data) - len(data.translate(None, _SPELT_OUT))) > len(data):
        return base64.b64encode(data).decode(), "base64"
    try:
        return data.decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), "base64"
