"""Counters since the start, for metrics."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from devpi_forkbuilder.domain.states import SECONDS, State
from devpi_forkbuilder.errors import Kind
from devpi_forkbuilder.service.durations import DurationCounts, Durations

if TYPE_CHECKING:
    from devpi_forkbuilder.domain.results import Built

BUILT = "built_total"
COVERED = "covered_total"
CANCELLED = "cancelled_total"
FAILED = {kind: f"failed_{kind.value}_total" for kind in Kind}
SPENT = {name: f"{name}_seconds_total" for name in SECONDS.values()}
WAIT = "wait"
"""The time in the queue, beside the names of `states.SECONDS`."""
FAILING = (State.QUEUED, State.FETCHING, State.BUILDING, State.CHECKING, State.PUBLISHING)
"""The states in which a build can fail."""


@dataclass(frozen=True, slots=True)
class BuildFigures:
    """What has no name without labels: builds by platform tag (`any`), failures by (kind, stage), durations by stage.

    `queue_age` are the seconds for which the oldest order waits; `last_built` is when the last build succeeded, in
    seconds since the epoch; `joined` counts those who asked for what was under way. `failing`: orders whose latest run
    failed within a day.
    """

    built: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[tuple[str, str], int] = field(default_factory=dict)
    durations: Mapping[str, DurationCounts] = field(default_factory=dict)
    joined: int = 0
    queue_age: float = 0.0
    last_built: float | None = None
    failing: int = 0


class Counters:
    """Numbers that only grow; all of them are there from the start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        names = (BUILT, COVERED, CANCELLED, *FAILED.values())
        self._numbers: dict[str, int | float] = {**dict.fromkeys(names, 0), **dict.fromkeys(SPENT.values(), 0.0)}
        self._built: Counter[str] = Counter({"any": 0})
        self._failed = {(kind.value, stage.value): 0 for kind in Kind for stage in FAILING}
        self._durations = {name: Durations() for name in (WAIT, *SECONDS.values())}
        self._joined = 0

    def count(self, name: str) -> None:
        """One more."""
        with self._lock:
            self._numbers[name] += 1

    def fail(self, kind: Kind, stage: State) -> None:
        """One more failure."""
        with self._lock:
            self._numbers[FAILED[kind]] += 1
            label = (kind.value, stage.value)
            self._failed[label] = self._failed.get(label, 0) + 1

    def succeed(self, built: Built) -> None:
        """One more build."""
        with self._lock:
            self._numbers[BUILT] += 1
            self._built[platform_of(built)] += 1

    def join(self) -> None:
        """Somebody asked for what is under way."""
        with self._lock:
            self._joined += 1

    def waited(self, seconds: float) -> None:
        """A build has begun after that time in the queue."""
        self._durations[WAIT].observe(seconds)

    def spend(self, seconds: Mapping[str, float]) -> None:
        """The time that a run took, by `states.SECONDS`."""
        with self._lock:
            for name, value in seconds.items():
                self._numbers[SPENT[name]] += value
        for name, value in seconds.items():
            self._durations[name].observe(value)

    def numbers(self) -> dict[str, int | float]:
        """All of them as they are now."""
        with self._lock:
            return dict(self._numbers)

    def figures(self, queue_age: float, last_built: float | None) -> BuildFigures:
        """Those with labels as they are now."""
        durations = {name: one.counts() for name, one in self._durations.items()}
        with self._lock:
            return BuildFigures(dict(self._built), dict(self._failed), durations, self._joined, queue_age, last_built)


def platform_of(built: Built) -> str:
    """The platform tag of a build's wheel: few values, since one server builds for few platforms."""
    wheel = next((one.filename for one in built.artefacts if one.filename.endswith(".whl")), "any.whl")
    return wheel.removesuffix(".whl").rsplit("-", 1)[-1]
