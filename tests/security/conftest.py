from __future__ import annotations

import pytest

from ..engine.harness import as_root, box, engine, run_apart  # noqa: TID252

__all__ = ["as_root", "box", "engine"]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Tests with a store run in processes of their own."""
    if "box" not in pyfuncitem.funcargs:
        return None
    run_apart(pyfuncitem)
    return True


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "engine(network=False, **limits): how the engine of the test is started"
    )
