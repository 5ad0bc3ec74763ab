"""One pass: each shelf is looked at, what has expired goes, and more where a disk is short of space."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from devpi_forkbuilder.domain.tidy import (
    REPLACEABLE,
    KindReport,
    Stored,
    TidyKind,
    TidyPlan,
    TidyReport,
    expired,
    least_missed,
)
from devpi_forkbuilder.errors import ForkbuilderError
from devpi_forkbuilder.pipeline.process.disk_space import existing
from devpi_forkbuilder.service.failures import explained, printable_line, report_exception
from devpi_forkbuilder.service.seams import Clock

IN_USE = "in use"
"""Why something stayed that could not be locked or removed when its turn came."""
Space = Callable[[Path], int]


class Shelf(Protocol):
    """All there is of one kind. Used by one thread at a time."""

    @property
    def kind(self) -> TidyKind:
        """Which kind it is."""

    @property
    def place(self) -> Path:
        """Where it is: the disk that gets the space back."""

    def stored(self) -> Iterable[Stored]:
        """What is there, also what is needed. Raises ForkbuilderError and OSError."""

    def remove(self, stored: Stored) -> str:
        """Remove it, unless something uses it by now: then why it stays. Raises ForkbuilderError and OSError."""


def free_bytes(place: Path) -> int:
    """Return the bytes free on the disk of `place`. Raises OSError."""
    return shutil.disk_usage(existing(place)).free


class TidyPass:
    """A pass over `shelves`. With `dry_run` nothing is removed, and the report says what would be."""

    def __init__(
        self,
        shelves: Sequence[Shelf],
        plan: TidyPlan,
        clock: Clock,
        *,
        dry_run: bool = False,
        space: Space = free_bytes,
    ) -> None:
        self._shelves = shelves
        self._plan = plan
        self._clock = clock
        self._dry_run = dry_run
        self._space = space
        self._reports: dict[TidyKind, KindReport] = {}
        self._left: dict[TidyKind, list[Stored]] = {}
        self._pretended: dict[int, int] = {}

    def run(self) -> TidyReport:
        """Make the pass. Never raises: what goes wrong with one kind is in its report, and the others go on."""
        started, begun = self._clock.now(), self._clock.monotonic()
        before = {str(shelf.place): self._free(shelf) for shelf in self._shelves}
        for shelf in self._shelves:
            self._guarded(shelf, self._look)
        for kind in REPLACEABLE:
            for shelf in self._shelves:
                if shelf.kind is kind:
                    self._guarded(shelf, self._make_room)
        free = {place: (before[place], self._free(shelf)) for shelf in self._shelves if (place := str(shelf.place))}
        return TidyReport(
            started=started,
            seconds=self._clock.monotonic() - begun,
            dry_run=self._dry_run,
            kinds=tuple(self._reports.values()),
            free=free,
            short=any(after < self._plan.free for _, after in free.values()),
        )

    def _guarded(self, shelf: Shelf, work: Callable[[Shelf], None]) -> None:
        self._reports.setdefault(shelf.kind, KindReport(shelf.kind))
        try:
            work(shelf)
        except Exception as error:  # noqa: BLE001 - a kind that cannot be tidied is not a reason to leave the others
            if not isinstance(error, (ForkbuilderError, OSError)):
                report_exception(error, f"tidying {shelf.kind.value}")
            what = str(error) if isinstance(error, OSError) else explained(error).what
            self._reports[shelf.kind] = replace(self._reports[shelf.kind], fault=printable_line(what))

    def _look(self, shelf: Shelf) -> None:
        found = list(shelf.stored())
        report = self._reports[shelf.kind]
        self._reports[shelf.kind] = replace(
            report, count=report.count + len(found), size=report.size + sum(one.size for one in found)
        )
        self._left[shelf.kind] = found
        for one in found:
            if one.needed:
                self._keep(shelf, one.needed)
        for one in list(expired(found, self._plan.of_kind(shelf.kind), self._clock.now())):
            self._remove(shelf, one)

    def _make_room(self, shelf: Shelf) -> None:
        """Remove what can be fetched again, until the disk has what it should have."""
        candidates = self._left.get(shelf.kind, [])
        # Asked one by one: what is freed on a disk is known only after it is gone.
        for one in list(least_missed(candidates, sum(one.size for one in candidates), self._clock.now())):
            if self._free(shelf) >= self._plan.free:
                return
            self._remove(shelf, one)

    def _remove(self, shelf: Shelf, one: Stored) -> None:
        why = "" if self._dry_run else shelf.remove(one)
        self._left[shelf.kind].remove(one)
        if why:
            self._keep(shelf, why)
            return
        if self._dry_run:
            disk = existing(shelf.place).stat().st_dev
            self._pretended[disk] = self._pretended.get(disk, 0) + one.size
        report = self._reports[shelf.kind]
        self._reports[shelf.kind] = replace(report, removed=report.removed + 1, freed=report.freed + one.size)

    def _keep(self, shelf: Shelf, why: str) -> None:
        report = self._reports[shelf.kind]
        self._reports[shelf.kind] = replace(report, kept={**report.kept, why: report.kept.get(why, 0) + 1})

    def _free(self, shelf: Shelf) -> int:
        pretended = self._pretended.get(existing(shelf.place).stat().st_dev, 0) if self._dry_run else 0
        return self._space(shelf.place) + pretended
