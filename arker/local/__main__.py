"""`python -m arker.local`: a deployment that another process has launched, or else `arker serve`."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    if "ARKER_LAUNCH_FD" in os.environ:
        from .launched import main

        main()
    else:
        # The one arrow that points up: there is one way to read the options of `serve`.
        from arker.cli import main as command

        sys.argv.insert(1, "serve")
        command()
