"""Whether a disk has room: bytes and inodes. A failure on a full disk says nothing of the fork.

Files and folders take an inode each; file systems that make them as they are needed report none (statvfs(3)).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devpi_forkbuilder.errors import InfrastructureError

FLOOR = 512 * 1024 * 1024
"""Bytes that must be free on the disk before a build takes more of it."""
INODES = 1000
"""Inodes that must be free as well."""
SCARCE = 64 * 1024 * 1024
"""With fewer bytes than this, a failure is taken for the disk's."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
MAKE_ROOM = "Make room, or move --forkbuilder-dir."


@dataclass(frozen=True, slots=True)
class Space:
    """What is free on a disk; `inodes` is None where the file system does not count them."""

    bytes: int
    inodes: int | None

    def __str__(self) -> str:
        files = "" if self.inodes is None else f" and {self.inodes} inodes"
        return f"{self.bytes >> 20} MiB{files} free"

    @property
    def scarce(self) -> bool:
        """Whether so little is left that a failure may be due to it."""
        return self.lacks(SCARCE)

    def lacks(self, floor: int) -> bool:
        """Whether fewer than `floor` bytes, or too few inodes, are free."""
        return self.bytes < floor or (self.inodes is not None and self.inodes < INODES)


def space_of(path: Path) -> Space:
    """Return what is free for this user where `path` is. Raises OSError."""
    found = os.statvfs(path)
    return Space(found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)


def existing(folder: Path) -> Path:
    """Return `folder`, or the nearest one above it that is there and can be looked at."""
    # not Path.exists, which raises PermissionError before Python 3.14
    return next(place for place in (folder, *folder.parents) if os.access(place, os.F_OK))


def check_space(path: Path, floor: int = FLOOR) -> None:
    """Raise InfrastructureError (`disk-full`) when less than `floor` bytes, or few inodes, are free where `path` is."""
    found = space_of(path)
    if found.lacks(floor):
        what = f"The server's disk for builds has {found}; builds need {floor >> 20} MiB and {INODES} inodes."
        raise InfrastructureError("disk-full", what, next_step=MAKE_ROOM)


def out_of_space(found: Space, said: str) -> InfrastructureError:
    """Return the failure of work that ended with `said` while the disk had no more than `found`."""
    what = f"The server's disk for builds was full: it had {found} when this failed: {said}"
    return InfrastructureError("disk-full", what, next_step=MAKE_ROOM)


class LowestSpace:
    """Looks at the disk of `path` each time that it is asked whether to go on: tools tidy up after they failed."""

    def __init__(self, path: Path, cancelled: Callable[[], bool]) -> None:
        self._path = path
        self._cancelled = cancelled
        self._lowest: Space | None = None

    def cancelled(self) -> bool:
        """Whether to end."""
        self._look()
        return self._cancelled()

    def scarce(self) -> Space | None:
        """The least that was free, when that was too little; None when there always was enough."""
        self._look()
        return self._lowest if self._lowest is not None and self._lowest.scarce else None

    def _look(self) -> None:
        try:
            found = space_of(self._path)
        except OSError:
            return
        if self._lowest is None or (found.scarce, -found.bytes) > (self._lowest.scarce, -self._lowest.bytes):
            self._lowest = found
