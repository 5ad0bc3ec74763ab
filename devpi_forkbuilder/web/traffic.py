"""What is asked for, as counters since the start. Thread-safe."""

from __future__ import annotations

import threading
from collections import Counter

from devpi_forkbuilder.domain.simple.placeholders import BUSY, CACHED_ONLY, NO_INTERPRETER
from devpi_forkbuilder.domain.states import RUNNING, State

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

    def hit(self) -> None:
        """One more hit."""
        with self._lock:
            self.hits += 1

    def miss(self) -> None:
        """One more miss."""
        with self._lock:
            self.misses += 1

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
