"""`python -m arker.local`: `arker serve`, or a deployment that another process has launched."""

from __future__ import annotations

import os

if __name__ == "__main__":
    if "ARKER_LAUNCH_FD" in os.environ:
        from .launched import main

        main()
    else:
        from .commands import serve

        serve()
