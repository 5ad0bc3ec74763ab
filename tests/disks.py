"""A small disk of a test's own: a tmpfs. Needs root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

MEBIBYTE = 1024 * 1024
INODES = 100_000


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk that is mounted at `place`."""

    place: Path

    @property
    def _filler(self) -> Path:
        return self.place / "filler"

    def fill(self, free: int) -> None:
        """Leave that many bytes free."""
        with self._filler.open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, self.free() - free)

    def empty(self) -> None:
        """Take back what `fill` has taken."""
        self._filler.unlink()

    def close_up(self, files: int = 0) -> None:
        """Make the disk as small as what is on it: no byte is free, and of inodes so many."""
        found = os.statvfs(self.place)
        self._resize((found.f_blocks - found.f_bfree) * found.f_frsize, found.f_files - found.f_ffree + files)

    def use_up_inodes(self) -> None:
        """Leave the room, and no inode."""
        found = os.statvfs(self.place)
        self._resize(found.f_blocks * found.f_frsize, found.f_files - found.f_ffree)

    def widen(self, size: int) -> None:
        """Make the disk so many bytes large, with inodes enough."""
        self._resize(size, INODES)

    def _resize(self, size: int, inodes: int) -> None:
        options = f"remount,size={size},nr_inodes={inodes}"
        subprocess.run(["mount", "-o", options, str(self.place)], check=True)

    def free(self) -> int:
        """How many bytes are free."""
        found = os.statvfs(self.place)
        return found.f_bavail * found.f_frsize


def lacking() -> str:
    """Why there can be no such disk here, or nothing."""
    return "" if os.geteuid() == 0 else "mounting a small disk needs root"


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[Disk]:
    """A disk of `size` bytes at the folder `place`, which is empty before and after."""
    place.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(place)]
    mounted = subprocess.run(mount, check=False, capture_output=True, text=True)
    if mounted.returncode:  # root of a container without CAP_SYS_ADMIN
        pytest.skip(f"no small disk: {mounted.stderr.strip()}")
    try:
        yield Disk(place)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
