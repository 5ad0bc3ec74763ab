"""How long a build may take, and how much of that is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from devpi_forkbuilder.errors import LimitsError

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class BuildLimits:
    """Seconds that a whole build may take, seconds without any output from one of its commands, and bytes that its
    work folder may grow to.
    """

    timeout: float = 1800.0
    silence: float = 600.0
    folder: int = 4 * 1024**3


class Deadline:
    """The end of a build's time: one for all of its commands."""

    def __init__(self, limits: BuildLimits, clock: Clock = time.monotonic) -> None:
        self.limits = limits
        self._clock = clock
        self._end = clock() + limits.timeout

    def left(self) -> float:
        """Seconds left, more than 0; raises LimitsError (`timeout`) when there are none."""
        left = self._end - self._clock()
        if left <= 0:
            what = f"The build took longer than {self.limits.timeout:g} seconds and was stopped."
            raise LimitsError("timeout", what, next_step="The end of the log shows how far it came.")
        return left
