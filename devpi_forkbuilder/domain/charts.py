"""Bars of a chart from moments and values (pure). A picture of them is made elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 240.0, 60.0
GAP = 0.2
"""The part of a bar's place that stays empty."""


@dataclass(frozen=True, slots=True)
class ChartBar:
    """A bar in a picture of WIDTH by HEIGHT units; `label` says when it is and what its value is."""

    x: float
    y: float
    width: float
    height: float
    label: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: its title, the value of its highest bar as text, and its bars."""

    title: str
    top: str
    bars: tuple[ChartBar, ...]
    summary: str


def places(now: float, length: float, count: int) -> list[float]:
    """The beginnings of `count` spans of `length` seconds, the last of which `now` is in."""
    last = now // length * length
    return [last - length * number for number in range(count - 1, -1, -1)]


def spread(begins: Sequence[float], length: float, values: Iterable[tuple[float, float]]) -> list[list[float]]:
    """The values by the span in which their moment is."""
    found: list[list[float]] = [[] for _ in begins]
    for at, value in values:
        place = int((at - begins[0]) // length)
        if 0 <= place < len(begins):
            found[place].append(value)
    return found


def median(values: Sequence[float]) -> float:
    """Their median; 0 when there are none."""
    ordered = sorted(values)
    half = len(ordered) // 2
    if not ordered:
        return 0.0
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def bars(
    layers: Sequence[tuple[str, Sequence[float]]],
    label: Callable[[int], str],
    most: float | None = None,
) -> tuple[tuple[ChartBar, ...], float]:
    """Bars of values that stand on each other, (kind, values) from below, and the highest sum, `most` if given."""
    sums = [sum(values) for values in zip(*(values for _, values in layers), strict=True)]
    top = most if most is not None else max(sums, default=0.0)
    step = WIDTH / max(1, len(sums))
    found = []
    for place in range(len(sums)):
        base = HEIGHT
        for kind, values in layers:
            height = round(HEIGHT * min(values[place], top) / top, 2) if top else 0.0
            if height:
                base -= height
                x = round(place * step + step * GAP / 2, 2)
                found.append(ChartBar(x, round(base, 2), round(step * (1 - GAP), 2), height, label(place), kind))
    return tuple(found), top
