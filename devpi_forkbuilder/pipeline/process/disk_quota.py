"""A build that fills its work folder is ended: no limit of the kernel bounds a folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from devpi_forkbuilder.errors import LimitsError
from devpi_forkbuilder.pipeline.process.deep_tree import Moment, walk

PAUSE = 1.0
SHARE = 20
"""A look that took t seconds is not repeated for SHARE * t: large folders must not keep us busy."""
ENTRY = 4096
"""Bytes that an entry counts at least: a million empty files fill a file system too."""


def folder_size(path: Path, limit: int) -> int:
    """Return the bytes on disk at and below `path`; counting ends as soon as `limit` is passed.

    Holes in sparse files do not count, nor what vanishes meanwhile. A folder that cannot be listed counts as more than
    the limit: a build could hide anything in it.
    """
    total = 0
    for entry in walk(path):
        if entry.moment is Moment.CLOSED:
            return max(total, limit + 1)
        if entry.status is not None:
            total += max(entry.status.st_blocks * 512, ENTRY)
        if total > limit:
            break
    return total


class FolderGuard:
    """Asked as `cancelled` while a command runs: true when `cancelled` is, or when the folder has grown past `limit`.

    `limit` is in bytes; `clock` gives seconds that never go back.
    """

    def __init__(
        self, folder: Path, limit: int, cancelled: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._limit = limit
        self._cancelled = cancelled
        self._clock = clock
        self._next = clock() + PAUSE
        self._full = False

    def asked(self) -> bool:
        """Whether the command should end now."""
        return self._cancelled() or self._full or self._look()

    def judge_end(self) -> None:
        """Look once more when the command has ended by itself; raises as `judge`."""
        self._full = folder_size(self._folder, self._limit) > self._limit
        self.judge()

    def judge(self) -> None:
        """Raises LimitsError (`work-folder-too-large`) when the folder was the reason to end."""
        if self._full:
            raise LimitsError(
                "work-folder-too-large",
                f"The build's work folder grew beyond {self._limit // 2**20} MiB, or has folders that cannot be read.",
                next_step="Look for what the build writes, or raise --forkbuilder-limit-folder.",
            )

    def _look(self) -> bool:
        begun = self._clock()
        if begun < self._next:
            return False
        self._full = folder_size(self._folder, self._limit) > self._limit
        ended = self._clock()
        self._next = ended + max(PAUSE, SHARE * (ended - begun))
        return self._full
