"""The process that `process.launcher` starts. Started by hand, this is `python -m arker serve`."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    if "ARKER_LAUNCH_FD" in os.environ:
        from .process.child import main

        main()
    else:
        # Replaced, not imported: nothing of this package knows the command line.
        os.execv(sys.executable, [sys.executable, "-m", "arker", "serve", *sys.argv[1:]])  # noqa: S606 - no shell
