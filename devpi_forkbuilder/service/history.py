"""What was built and asked for in the last month, for charts: one SQLite file that outlives the server.

Losing it loses charts. What cannot be stored is logged, and is then missing in them.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.service.records import Record

log = logging.getLogger(__name__)

HOUR = 3600
KEPT = 32 * 24 * HOUR
"""Seconds for which anything is kept."""
CREATE = """
CREATE TABLE IF NOT EXISTS builds (at REAL NOT NULL, seconds REAL NOT NULL, built INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS builds_at ON builds (at);
CREATE TABLE IF NOT EXISTS pages (hour INTEGER PRIMARY KEY, hits INTEGER NOT NULL, misses INTEGER NOT NULL);
"""
ADD_PAGES = """
INSERT INTO pages VALUES (?, ?, ?)
ON CONFLICT (hour) DO UPDATE SET hits = hits + excluded.hits, misses = misses + excluded.misses
"""


@dataclass(frozen=True, slots=True)
class EndedBuild:
    """When a build ended (seconds since the epoch), how long it took, and whether it succeeded."""

    at: float
    seconds: float
    built: bool


class BuildHistory:
    """The file at `path`, or in memory where that cannot be used (and for None). Thread-safe; raises nothing."""

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.Lock()
        try:
            self._connection = _opened(path)
        except sqlite3.Error as error:
            log.warning("The history in %s cannot be used (%s): charts begin with this start.", path, error)
            self._connection = _opened(None)

    def ended(self, record: Record) -> None:
        """Keep a run that has ended, unless nothing had to be done."""
        if record.seconds and record.finished_at is not None:
            seconds = sum(record.seconds.values())
            self.add_build(EndedBuild(record.finished_at, seconds, record.state is State.BUILT))

    def add_build(self, build: EndedBuild) -> None:
        """Keep a build that has ended, and drop what is too old."""

        def add() -> None:
            self._connection.execute("INSERT INTO builds VALUES (?, ?, ?)", (build.at, build.seconds, build.built))
            self._connection.execute("DELETE FROM builds WHERE at < ?", (build.at - KEPT,))
            self._connection.execute("DELETE FROM pages WHERE hour < ?", ((build.at - KEPT) // HOUR,))

        self._guarded(add)

    def add_pages(self, counts: Mapping[int, tuple[int, int]]) -> None:
        """Add to the hits and misses of hours (since the epoch)."""
        rows = [(hour, *count) for hour, count in counts.items()]
        self._guarded(lambda: self._connection.executemany(ADD_PAGES, rows))

    def builds(self, since: float) -> list[EndedBuild]:
        """The builds that ended since then, the oldest first."""
        found: list[EndedBuild] = []

        def read() -> None:
            rows = self._connection.execute("SELECT at, seconds, built FROM builds WHERE at >= ? ORDER BY at", (since,))
            found.extend(EndedBuild(at, seconds, bool(built)) for at, seconds, built in rows)

        self._guarded(read)
        return found

    def pages(self, since: float) -> dict[int, tuple[int, int]]:
        """Hits and misses by hour (since the epoch)."""
        found: dict[int, tuple[int, int]] = {}

        def read() -> None:
            question = "SELECT hour, hits, misses FROM pages WHERE hour >= ?"
            for hour, hits, misses in self._connection.execute(question, (since // HOUR,)):
                found[hour] = (hits, misses)

        self._guarded(read)
        return found

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _guarded(self, work: Callable[[], object]) -> None:
        try:
            with self._lock:
                work()
        except sqlite3.Error as error:
            log.warning("The history of builds cannot be used: %s", error)


def _opened(path: Path | None) -> sqlite3.Connection:
    connection = sqlite3.connect(path or ":memory:", timeout=5, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.executescript(CREATE)
    except BaseException:
        connection.close()
        raise
    return connection
