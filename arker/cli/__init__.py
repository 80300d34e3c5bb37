"""The `arker` command."""

from __future__ import annotations


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    import os
    import signal
    import sys

    # A shell can start a process with one of the three closed; treat it as /dev/null.
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "w" if number else "r"))
    # While modules load there is nothing to clean up: Ctrl-C ends the process without a traceback.
    interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)
    if interrupt is signal.SIG_IGN:
        signal.signal(signal.SIGINT, interrupt)

    from .app import app
    from .base import handling

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGINT, interrupt)
    # What a command has begun is ended, and the terminal set back, as after Ctrl-C.
    with handling(leave, "SIGTERM", "SIGHUP"):
        app(prog_name="arker")
