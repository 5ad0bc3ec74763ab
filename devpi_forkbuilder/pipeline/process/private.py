"""Folders that are nobody's but the server's, whatever folder they are in and whatever umask it was started with."""

from __future__ import annotations

import stat
from pathlib import Path

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private_folder(path: Path) -> Path:
    """Make the folder `path`, or close one that is there to others. Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return closed(path)


def private_file(path: Path) -> Path:
    """Make the file `path`, or close one that is there to others. Raises OSError."""
    path.touch(mode=0o600)
    return closed(path)


def closed(path: Path) -> Path:
    """`path`, which nobody else may read, write or enter any more. Raises OSError."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & OTHERS:
        path.chmod(mode & ~OTHERS)
    return path
