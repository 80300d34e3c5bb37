"""The process that `process.launcher` starts. Run by hand, it is `python -m arker serve`."""

from __future__ import annotations

import gc
import os
import sys

if __name__ == "__main__":
    if "ARKER_LAUNCH_FD" in os.environ:
        # These settings save a fifth of the import time: imports leave hardly any garbage (`serve` enables its
        # collection), and no plugins of pydantic are used, which looks for them in all installed packages.
        gc.disable()
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
        from .process.child import main

        main()
    else:
        # Replace the process instead of importing: this package does not know the command line.
        os.execv(sys.executable, [sys.executable, "-m", "arker", "serve", *sys.argv[1:]])  # noqa: S606 - no shell
