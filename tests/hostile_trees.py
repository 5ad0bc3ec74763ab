"""Folders as a hostile build makes them."""

from __future__ import annotations

import os
from pathlib import Path

NEST = """
import os, sys
for _ in range(int(sys.argv[2])):
    os.mkdir(sys.argv[1])
    os.chdir(sys.argv[1])
os.close(os.open('file', os.O_CREAT | os.O_WRONLY))
"""
"""A build's program: NAME and LEVELS are its arguments."""


def nest(folder: Path, name: str, levels: int) -> int:
    """Nest folders in `folder`; the innermost one, open."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    return here
