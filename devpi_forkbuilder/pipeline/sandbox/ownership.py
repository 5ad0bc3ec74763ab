"""Owners of the files in a work folder: given to the user of a build, and taken back."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from devpi_forkbuilder.pipeline.process.deep_tree import Entry, remove, walk


def give(path: Path, uid: int, gid: int) -> None:
    """Make `path` and what is below it belong to `uid`; only when no process of a build lives.

    Files with several names stay as they are: an installer's cache shares files with the environment it makes, and
    a build must not write into that cache.
    """
    for entry in walk(path):
        status = entry.status
        if status is not None and (stat.S_ISDIR(status.st_mode) or status.st_nlink == 1):
            _own(entry, status, uid, gid)


def reclaim(path: Path, uid: int, gid: int) -> None:
    """Make all of it ours again, and every folder one that can be entered and emptied."""
    for entry in walk(path, unlock=True):
        if entry.status is not None:
            _own(entry, entry.status, uid, gid)


def clear(shared: Path, uid: int) -> bool:
    """Remove what `uid` has left in a folder that everybody may write to, such as /dev/shm; False when some stays."""
    try:
        with os.scandir(shared) as entries:
            left = [entry.name for entry in entries if _belongs(entry, uid)]
    except OSError:
        return not shared.exists()
    return [name for name in left if not remove(shared / name)] == []


def _belongs(entry: os.DirEntry[str], uid: int) -> bool:
    try:
        return entry.stat(follow_symlinks=False).st_uid == uid
    except OSError:
        return False


def _own(entry: Entry, status: os.stat_result, uid: int, gid: int) -> None:
    if status.st_uid != uid:
        with contextlib.suppress(FileNotFoundError):
            os.chown(entry.name, uid, gid, dir_fd=entry.parent, follow_symlinks=False)
