"""`python -m arker.local`: what `arker serve` is, or a deployment that another process has launched."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    if "ARKER_LAUNCH_FD" in os.environ:
        from .launched import main

        main()
    else:
        # Of this package only this line knows of the command line.
        from arker.cli.app import app

        app(["serve", *sys.argv[1:]], prog_name="arker")
