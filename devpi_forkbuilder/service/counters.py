"""Counters since the start, for metrics."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from devpi_forkbuilder.domain.states import SECONDS
from devpi_forkbuilder.errors import Kind

BUILT = "built_total"
COVERED = "covered_total"
CANCELLED = "cancelled_total"
FAILED = {kind: f"failed_{kind.value}_total" for kind in Kind}
SPENT = {name: f"{name}_seconds_total" for name in SECONDS.values()}


class Counters:
    """Numbers that only grow; all of them are there from the start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        names = (BUILT, COVERED, CANCELLED, *FAILED.values())
        self._numbers: dict[str, int | float] = {**dict.fromkeys(names, 0), **dict.fromkeys(SPENT.values(), 0.0)}

    def count(self, name: str) -> None:
        """One more."""
        with self._lock:
            self._numbers[name] += 1

    def spend(self, seconds: Mapping[str, float]) -> None:
        """The time that a run took, by `states.SECONDS`."""
        with self._lock:
            for name, value in seconds.items():
                self._numbers[SPENT[name]] += value

    def numbers(self) -> dict[str, int | float]:
        """All of them as they are now."""
        with self._lock:
            return dict(self._numbers)
