"""The `arker` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    try:
        import click  # noqa: F401
    except ImportError:
        sys.exit("the command line needs click: pip install 'arker[cli]'")
    from .app import app

    app()
