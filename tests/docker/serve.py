"""Run inside a container, beside tests/gitserver.py: a git host for every repository below a folder."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from gitserver import GitServer  # type: ignore[import-not-found]  # lies beside this file in the container

ENDS = (signal.SIGTERM, signal.SIGINT)

if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    with GitServer(Path(sys.argv[1]), ("0.0.0.0", 8000)):
        signal.sigwait(ENDS)
