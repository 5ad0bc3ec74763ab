"""The place of a build in the queue, and an estimate of the seconds until it ends."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from cachetools import TTLCache

from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.service.records import Record

KEPT = 60.0
"""Seconds for which the times of an index's builds are not read again."""
INDEXES = 100
"""The most indexes of which they are kept."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """`position`: 1 is next, None is not queued. `seconds`: until the build ends, None when nothing is known of it."""

    position: int | None = None
    seconds: float | None = None


NOTHING = Outlook()


@dataclass(frozen=True, slots=True)
class Times:
    """The median seconds of an index's last builds, and of each project's."""

    all: float | None
    by_project: dict[str, float]

    @classmethod
    def of(cls, records: Iterable[Record]) -> Times:
        """The times in the records of one index; only builds that succeeded count."""
        spent: dict[str, list[float]] = {}
        for record in records:
            if record.state is State.BUILT and record.seconds:
                spent.setdefault(record.key.project, []).append(sum(record.seconds.values()))
        everything = [seconds for own in spent.values() for seconds in own]
        return cls(
            statistics.median(everything) if everything else None,
            {project: statistics.median(own) for project, own in spent.items()},
        )

    def project(self, name: str) -> float | None:
        """The project's own median, or the index's where it has none."""
        return self.by_project.get(name, self.all)


class Forecast:
    """Answers for the builds of one service with `workers` workers; thread-safe.

    `records_of(index)` gives the index's records, `monotonic` seconds.
    """

    def __init__(
        self, records_of: Callable[[str], Iterable[Record]], workers: int, monotonic: Callable[[], float]
    ) -> None:
        self._records_of = records_of
        self._workers = workers
        self._times: TTLCache[str, Any] = TTLCache(INDEXES, KEPT, timer=monotonic)

    def outlook(self, record: Record, position: int, now: float) -> Outlook:
        """The outlook of a build that has not ended; `position` is 0 when it is not queued, `now` as in records.

        Raises InfrastructureError when the records cannot be read.
        """
        times = self._of(record.key.index)
        usual = times.project(record.key.project)
        if record.state is State.QUEUED:
            rounds = math.ceil(position / self._workers)
            seconds = usual + rounds * (times.all or usual) if usual is not None else None
            return Outlook(position or None, seconds)
        if usual is None or record.started_at is None:
            return NOTHING
        return Outlook(None, max(0.0, usual - (now - record.started_at)))

    def _of(self, index: str) -> Times:
        found = self._times.get(index)
        if not isinstance(found, Times):
            found = Times.of(self._records_of(index))
            if found.all is not None:  # the first build that ends is news
                self._times[index] = found
        return found
