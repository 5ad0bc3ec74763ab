"""How long things took, as a histogram: how many took at most so many seconds. Thread-safe."""

from __future__ import annotations

import threading
from bisect import bisect_left
from dataclasses import dataclass

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0)
"""Upper bounds in seconds; the last is the default of --forkbuilder-build-timeout."""


@dataclass(frozen=True, slots=True)
class DurationCounts:
    """`at_most` has as many numbers as BOUNDS, each including the smaller ones; `count` and `total` are of all."""

    at_most: tuple[int, ...] = (0,) * len(BOUNDS)
    count: int = 0
    total: float = 0.0


class Durations:
    """Collects durations in seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._within = [0] * (len(BOUNDS) + 1)
        self._total = 0.0

    def observe(self, seconds: float) -> None:
        """Add one; a clock that was set back makes it 0."""
        seconds = max(0.0, seconds)
        with self._lock:
            self._within[bisect_left(BOUNDS, seconds)] += 1
            self._total += seconds

    def counts(self) -> DurationCounts:
        """Those until now."""
        with self._lock:
            within, total = tuple(self._within), self._total
        sums, count = [], 0
        for number in within:
            count += number
            sums.append(count)
        return DurationCounts(tuple(sums[:-1]), count, total)
