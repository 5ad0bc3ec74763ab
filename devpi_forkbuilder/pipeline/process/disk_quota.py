"""A build that fills its work folder is ended: no limit of the kernel bounds a folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from devpi_forkbuilder.errors import LimitsError
from devpi_forkbuilder.pipeline.sandbox.ownership import folder_size

PAUSE = 1.0
SHARE = 20
"""A look that took t seconds is not repeated for SHARE * t: large folders must not keep us busy."""


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
