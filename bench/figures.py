"""A measured figure: what was compared, the result, and what it should be."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table.

    `value` is in `unit` (a ratio has none). `goal` is the bound of `docs/benchmarks`, and `at_least` says which side of
    it is good. `detail` has the figures behind a ratio.
    """

    name: str
    value: float
    unit: str = ""
    goal: float | None = None
    at_least: bool = False
    detail: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    @property
    def bound(self) -> str:
        """The goal as text."""
        if self.goal is None:
            return ""
        return f"{'at least' if self.at_least else 'at most'} {self.goal:g} {self.unit}".strip()

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Name, value, goal and detail as text."""
        missed = "" if self.holds in {True, None} else " (missed)"
        return self.name, f"{self.value:.2f} {self.unit}".strip(), f"{self.bound}{missed}", self.detail


def ratio(
    name: str, ours: Sequence[float], theirs: Sequence[float], *, unit: str, goal: float | None, at_least: bool = False
) -> Figure:
    """The median of the ratios of interleaved rounds, with the medians of both sides as detail."""
    pairs = zip(ours, theirs, strict=True)
    detail = f"{statistics.median(ours):.4g} {unit} against {statistics.median(theirs):.4g} {unit}"
    return Figure(name, statistics.median(one / two for one, two in pairs), "", goal, at_least, detail)
