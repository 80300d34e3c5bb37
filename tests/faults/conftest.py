from __future__ import annotations

from tests.faults.server import server

__all__ = ["server"]
