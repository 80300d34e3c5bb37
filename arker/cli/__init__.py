"""The `arker` command."""

from __future__ import annotations


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    import sys

    from .app import app

    # httpx has a command line of its own and would import rich and pygments for it, which takes longer than most of our
    # commands; without them it does without, and so do we in this process.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    app(prog_name="arker")
