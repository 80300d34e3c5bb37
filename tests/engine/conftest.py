from __future__ import annotations

from .harness import as_root, box, engine, pytest_configure, pytest_pyfunc_call, slow_signals

__all__ = ["as_root", "box", "engine", "pytest_configure", "pytest_pyfunc_call", "slow_signals"]
