"""The work folder: how big it is, and whose."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

ENTRY = 4096
"""Bytes that an entry counts at least: a million empty files fill a file system too."""


def folder_size(path: Path, limit: int) -> int:
    """Bytes on disk at and below `path`; counting ends as soon as `limit` is passed.

    Holes in sparse files do not count. What vanishes or cannot be read while we look is left out.
    """
    total = 0
    for _, status in _entries(path):
        total += max(status.st_blocks * 512, ENTRY)
        if total > limit:
            break
    return total


def give(path: Path, uid: int, gid: int) -> None:
    """Make `path` and what is below it belong to `uid`; only when no process of a build lives.

    Files with several names stay as they are: an installer's cache shares files with the environment it makes, and
    a build must not write into that cache.
    """
    for entry, status in _entries(path):
        linked = not stat.S_ISDIR(status.st_mode) and status.st_nlink > 1
        if status.st_uid != uid and not linked:
            with contextlib.suppress(FileNotFoundError):
                os.chown(entry, uid, gid, follow_symlinks=False)


def reclaim(path: Path, uid: int, gid: int) -> None:
    """Make all of it ours again, and every folder one that can be entered and emptied."""
    for entry, status in _entries(path, unlock=True):
        if status.st_uid != uid:
            with contextlib.suppress(FileNotFoundError):
                os.chown(entry, uid, gid, follow_symlinks=False)


def clear(shared: Path, uid: int) -> None:
    """Remove what `uid` has left in a folder that everybody may write to, such as /dev/shm."""
    with contextlib.suppress(OSError), os.scandir(shared) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_uid != uid:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    Path(entry.path).unlink()


def _entries(path: Path, *, unlock: bool = False) -> Iterator[tuple[str, os.stat_result]]:
    """Every entry, folders before what is in them, without following a symbolic link.

    Paths past the system's length limit are left out: nothing below them can be named.
    """
    folders = [str(path)]
    with contextlib.suppress(OSError):
        yield str(path), os.lstat(path)
    while folders:
        folder = folders.pop()
        with contextlib.suppress(OSError):
            if unlock:
                _unlock(folder)
            with os.scandir(folder) as entries:
                for entry in entries:
                    with contextlib.suppress(OSError):
                        status = entry.stat(follow_symlinks=False)
                        if stat.S_ISDIR(status.st_mode):
                            folders.append(entry.path)
                        yield entry.path, status


def _unlock(folder: str) -> None:
    mode = stat.S_IMODE(os.lstat(folder).st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        Path(folder).chmod(mode | stat.S_IRWXU)
