"""The server's own passes, and what the last one found: a report that outlives the server."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from devpi_forkbuilder.domain.tidy import TidyReport
from devpi_forkbuilder.pipeline.process.atomic_write import placed
from devpi_forkbuilder.service.failures import report_exception
from devpi_forkbuilder.service.seams import Clock

log = logging.getLogger(__name__)

LOOK = 300.0
"""Seconds between two looks at the clock and at the disks."""
HASTE = 3600.0
"""Seconds between two passes when a disk is short of space."""
NAME = "forkbuilder-gc"
REPORT = "gc.json"
"""The file of the last report below --forkbuilder-dir."""


class LastReport:
    """The report of the last pass that removed, or would have removed, something; kept in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> TidyReport | None:
        """The report; None before the first pass, and when it cannot be read."""
        try:
            return TidyReport.from_json(json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
            return None

    def write(self, report: TidyReport) -> None:
        """Keep it; on a disk that takes nothing any more it is only logged."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with placed(self._path) as part:
                part.write_text(json.dumps(report.to_json()), encoding="utf-8")
        except Exception as error:  # noqa: BLE001 - the pass has been made, and that is what counts
            log.warning("the report of the last gc could not be kept: %s", error)


class DailyTidy:
    """Makes a pass every `interval` seconds (0: never), and sooner when `short` says that a disk has little left.

    `make` makes one pass. The time of the last one is in its report, so that restarts do not begin anew.
    """

    def __init__(
        self,
        make: Callable[[], TidyReport],
        last: LastReport,
        clock: Clock,
        *,
        interval: float,
        short: Callable[[], bool],
    ) -> None:
        self._make = make
        self._last = last
        self._clock = clock
        self._interval = interval
        self._short = short
        self._stopping = threading.Event()

    @property
    def last(self) -> TidyReport | None:
        """The report of the last pass, of this server or of the command."""
        return self._last.read()

    def start(self) -> None:
        """Begin, in a thread of its own. Never raises."""
        if self._interval > 0:
            threading.Thread(target=self._run, name=NAME, daemon=True).start()

    def stop(self) -> None:
        """End; a pass under way is finished, or ends with the process."""
        self._stopping.set()

    def due(self) -> bool:
        """Whether a pass is to be made now."""
        last = self._last.read()
        if last is None:
            return True
        past = self._clock.now() - last.started
        # a clock that was set back is not a reason to wait for years
        return past < 0 or past >= self._interval or (past >= min(HASTE, self._interval) and self._short())

    def pass_if_due(self) -> TidyReport | None:
        """Make a pass if it is time; what it did. Never raises."""
        try:
            if not self.due():
                return None
            report = self._make()
            self._last.write(report)
            tell(report)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next day comes
            report_exception(error, "tidying")
            return None
        return report

    def _run(self) -> None:
        while not self._stopping.wait(LOOK):
            self.pass_if_due()


def tell(report: TidyReport) -> None:
    """Log what a pass did."""
    for fault in report.faults:
        log.warning("gc: %s", fault)
    if report.freed:
        what = ", ".join(f"{one.kind.value} {one.freed // 2**20} MiB" for one in report.kinds if one.freed)
        log.info("gc: %d MiB freed in %.1f s: %s", report.freed // 2**20, report.seconds, what)
    if report.short:
        log.warning("gc: a disk has less free than --forkbuilder-gc-free asks for, and nothing more can be removed")
