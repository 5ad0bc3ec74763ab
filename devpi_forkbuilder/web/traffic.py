"""What is asked for, as counters since the start. Thread-safe."""

from __future__ import annotations

import threading
import time
from collections import Counter

from devpi_forkbuilder.domain.simple.placeholders import BUSY, CACHED_ONLY, NO_INTERPRETER
from devpi_forkbuilder.domain.states import RUNNING, State

HOUR = 3600
STAGES = (*(state.value for state in (State.QUEUED, *RUNNING)), BUSY, CACHED_ONLY, NO_INTERPRETER)


class Traffic:
    """Simple pages of pinned projects, and downloads of placeholders."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.hits = 0
        """Pages for which nothing had to be built."""
        self.misses = 0
        """Pages for which something is built, or would have to be."""
        self._refused: Counter[str] = Counter()
        self._hours: dict[int, tuple[int, int]] = {}

    def hit(self) -> None:
        """One more hit."""
        with self._lock:
            self.hits += 1
            self._count(1, 0)

    def miss(self) -> None:
        """One more miss."""
        with self._lock:
            self.misses += 1
            self._count(0, 1)

    def take_hours(self) -> dict[int, tuple[int, int]]:
        """Hits and misses by hour (since the epoch) since the last call."""
        with self._lock:
            taken, self._hours = self._hours, {}
        return taken

    def _count(self, hits: int, misses: int) -> None:
        hour = int(time.time() // HOUR)
        before = self._hours.get(hour, (0, 0))
        self._hours[hour] = (before[0] + hits, before[1] + misses)

    def refuse(self, stage: str) -> None:
        """One more 424. What the URL says is taken for a stage only when it is one."""
        with self._lock:
            self._refused[stage if stage in STAGES else "other"] += 1

    def refused(self) -> dict[str, int]:
        """The 424s by stage."""
        with self._lock:
            return {stage: self._refused[stage] for stage in (*STAGES, "other")}

    @property
    def hit_ratio(self) -> float | None:
        """Hits among all; None before the first page."""
        with self._lock:
            asked = self.hits + self.misses
            return self.hits / asked if asked else None
