"""The `arker` command."""

from __future__ import annotations


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    from .app import app

    app(prog_name="arker")
