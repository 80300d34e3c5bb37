"""The `arker` command."""

from __future__ import annotations


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    import os
    import signal
    import sys

    # A shell can start us without one of the three: then it is as if nobody listens.
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "w" if number else "r"))
    # Until all is loaded, Ctrl-C has nothing to clean up, and no traceback to show.
    interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)
    if interrupt is signal.SIG_IGN:
        signal.signal(signal.SIGINT, interrupt)

    from .app import app

    signal.signal(signal.SIGINT, interrupt)
    app(prog_name="arker")
