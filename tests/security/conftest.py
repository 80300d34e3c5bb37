from __future__ import annotations

from ..engine.harness import as_root, box, engine, pytest_configure, pytest_pyfunc_call  # noqa: TID252

__all__ = ["as_root", "box", "engine", "pytest_configure", "pytest_pyfunc_call"]
