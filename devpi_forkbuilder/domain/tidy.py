"""What a server keeps beside its releases, how long, and what a pass over it removed: values and choices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any

DAY = 86400.0


class TidyKind(str, Enum):
    """What is tidied, by the names of options and reports."""

    LEFTOVERS = "leftovers"
    """`*-tmp` files of transactions that a killed devpi never finished"""
    WORK = "work"
    """work folders of builds whose server is gone"""
    LOGS = "logs"
    UV_CACHE = "uv-cache"
    MIRRORED = "mirrored"
    """files of public projects that mirrors such as `root/pypi` have cached"""
    MIRRORS = "mirrors"
    """bare git repositories, one for each URL"""
    SOURCES = "sources"
    """archives of what was built, for when a repository is gone"""
    SUPERSEDED = "superseded"
    """releases built from commits that are no longer pinned"""


REPLACEABLE = (TidyKind.UV_CACHE, TidyKind.MIRRORED, TidyKind.MIRRORS)
"""What can be fetched again, in the order in which it goes when a disk is short of space."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One thing on the disk: `size` in bytes; `used`, seconds since the epoch, is None where that is not known.

    `needed` says why it has to stay; what is `dead` is of no use to anybody and needs no limit to go.
    """

    name: str
    size: int
    used: float | None = None
    needed: str = ""
    dead: bool = False

    def idle(self, now: float) -> float:
        """The seconds since it was used; 1 at least."""
        return max(1.0, now - self.used) if self.used is not None else 1.0


@dataclass(frozen=True, slots=True)
class KeepLimits:
    """How long something may be unused (seconds), and how large all of a kind may be (bytes); None: without limit."""

    age: float | None = None
    size: int | None = None


DEFAULTS: Mapping[TidyKind, KeepLimits] = {
    TidyKind.LOGS: KeepLimits(age=90 * DAY, size=2 * 2**30),
    TidyKind.MIRRORS: KeepLimits(age=180 * DAY, size=20 * 2**30),
    TidyKind.UV_CACHE: KeepLimits(size=5 * 2**30),
}
"""Limits of a server that was given none. What cannot be made again has none."""


@dataclass(frozen=True, slots=True)
class TidyPlan:
    """What a pass does: limits by kind, and `free` bytes that each disk should have free in the end."""

    limits: Mapping[TidyKind, KeepLimits] = field(default_factory=lambda: dict(DEFAULTS))
    free: int = 2**30

    @classmethod
    def of(
        cls, ages: Iterable[tuple[TidyKind, float | None]], sizes: Iterable[tuple[TidyKind, int | None]], free: int
    ) -> TidyPlan:
        """The defaults with other limits for some kinds; later ones win."""
        limits = dict(DEFAULTS)
        for kind, age in ages:
            limits[kind] = replace(limits.get(kind, KeepLimits()), age=age)
        for kind, size in sizes:
            limits[kind] = replace(limits.get(kind, KeepLimits()), size=size)
        return cls(limits, free)

    def of_kind(self, kind: TidyKind) -> KeepLimits:
        """The limits of a kind."""
        return self.limits.get(kind, KeepLimits())


def expired(found: Iterable[Stored], limits: KeepLimits, now: float) -> Iterator[Stored]:
    """What goes by age and size: the dead, what is unused for too long, then as much as the size asks for."""
    rest: list[Stored] = []
    for one in found:
        old = limits.age is not None and one.used is not None and now - one.used > limits.age
        if not one.needed and (one.dead or old):
            yield one
        else:
            rest.append(one)
    if limits.size is not None:
        yield from least_missed(rest, sum(one.size for one in rest) - limits.size, now)


def least_missed(found: Iterable[Stored], wanted: int, now: float) -> Iterator[Stored]:
    """Of what is not needed, until `wanted` bytes are reached: the largest and least used first."""
    for one in sorted(found, key=lambda one: one.size * one.idle(now), reverse=True):
        if wanted <= 0:
            return
        if not one.needed and one.size > 0:
            wanted -= one.size
            yield one


@dataclass(frozen=True, slots=True)
class KindReport:
    """What there was of a kind, what went, what was in the way. Sizes in bytes; `kept` counts what had to stay."""

    kind: TidyKind
    count: int = 0
    size: int = 0
    removed: int = 0
    freed: int = 0
    kept: Mapping[str, int] = field(default_factory=dict)
    fault: str = ""


@dataclass(frozen=True, slots=True)
class TidyReport:
    """One pass. `started` is in seconds since the epoch; `free` has the bytes free on each disk before and after."""

    started: float
    seconds: float
    dry_run: bool
    kinds: tuple[KindReport, ...]
    free: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    short: bool = False
    """Whether a disk has less free than was asked for, and nothing more could be removed."""

    @property
    def freed(self) -> int:
        """Bytes that were removed, or would be."""
        return sum(one.freed for one in self.kinds)

    @property
    def faults(self) -> tuple[str, ...]:
        """What went wrong, as sentences."""
        return tuple(f"{one.kind.value}: {one.fault}" for one in self.kinds if one.fault)

    def to_json(self) -> dict[str, Any]:
        """As an object for `json.dumps`."""
        return asdict(self) | {"freed": self.freed}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> TidyReport:
        """Raises KeyError, TypeError or ValueError for anything else."""
        values = {name: value for name, value in found.items() if name != "freed"}
        values["kinds"] = tuple(KindReport(**{**one, "kind": TidyKind(one["kind"])}) for one in found["kinds"])
        values["free"] = {disk: (int(pair[0]), int(pair[1])) for disk, pair in found["free"].items()}
        return cls(**values)
