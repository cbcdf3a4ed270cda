"""The command ``strdiffusion``, also as ``python -m strdiffusion``."""

from __future__ import annotations

import signal
import sys

from . import _native


def main() -> int:
    """Does what the command line asks for, and returns the exit code."""
    # Ctrl-C is the command's to deal with; Python would only look for it afterwards.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _native.command(["strdiffusion", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
