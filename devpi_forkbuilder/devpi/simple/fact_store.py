"""What was learned of upstream's files and pages, in one SQLite file of this server.

Not in devpi's own store: it has no place for it, each change there would be a transaction that replicas copy, and
losing this file costs no more than reading upstream's pages again. A replica learns from its primary's pages.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from devpi_forkbuilder.domain.simple.file_facts import PageFacts

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds that a statement waits for another process on the same file."""
PAGES = 512
"""Decoded pages in memory. A page of 2,000 files takes about one megabyte."""
RECENT = 2.0
"""Seconds for which nobody looks whether another process has learned something."""
CREATE = """
CREATE TABLE IF NOT EXISTS pages (
    idx TEXT NOT NULL, project TEXT NOT NULL, revision INTEGER NOT NULL, facts TEXT NOT NULL,
    PRIMARY KEY (idx, project)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS wrong (
    idx TEXT NOT NULL, project TEXT NOT NULL, filename TEXT NOT NULL, announced TEXT NOT NULL,
    PRIMARY KEY (idx, project, filename)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS metadata (file TEXT PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pinned (
    idx TEXT NOT NULL, project TEXT NOT NULL, commit_id TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (idx, project, commit_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pinned_by (
    idx TEXT NOT NULL, project TEXT NOT NULL, commit_id TEXT NOT NULL, who TEXT NOT NULL,
    PRIMARY KEY (idx, project, commit_id)
) WITHOUT ROWID;
"""
PINNINGS = """
SELECT project, commit_id, at, coalesce(who, '') FROM pinned LEFT JOIN pinned_by USING (idx, project, commit_id)
WHERE idx = ? ORDER BY at DESC
"""

Page = tuple[str, str]
"""Index (`user/name`) and project (normalized)."""


@dataclass(frozen=True, slots=True)
class Pinning:
    """A commit that was pinned: when, in seconds since the epoch, and by which user (empty: not known)."""

    project: str
    commit: str
    at: float
    who: str


class FactStore:
    """The file at `path` (None: in memory); usable from any thread.

    Raises OSError and sqlite3.Error when it is opened. What fails later is logged, and is then not known.
    """

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._decoded: OrderedDict[Page, _Known] = OrderedDict()
        self._connection = sqlite3.connect(
            path or ":memory:", timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
        with self._lock:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(CREATE)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def page(self, page: Page) -> PageFacts | None:
        """What upstream's page said when it was last read; None if that was never."""
        return self._look(page).facts

    def revision(self, page: Page) -> int:
        """A number that grows when something new is known of a page; 0: nothing is."""
        return self._look(page).revision

    def set_page(self, page: Page, facts: PageFacts) -> bool:
        """Keep what a page says; whether that is something new."""
        text = facts.dumps()
        with _Statement(self._lock):
            self._decoded.pop(page, None)
            row = self._connection.execute(
                "SELECT revision, facts FROM pages WHERE idx=? AND project=?", page
            ).fetchone()
            if row is not None and row[1] == text:
                return False
            revision = row[0] + 1 if row is not None else 1
            self._connection.execute("INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?)", (*page, revision, text))
            return True
        return False

    def retract(self, page: Page, filename: str, announced: str) -> None:
        """Forget an announced metadata hash that was wrong, for good: pages must not repeat it."""
        with _Statement(self._lock):
            self._connection.execute("INSERT OR REPLACE INTO wrong VALUES (?, ?, ?, ?)", (*page, filename, announced))
            self._connection.execute("UPDATE pages SET revision=revision+1 WHERE idx=? AND project=?", page)
            self._decoded.pop(page, None)

    def metadata(self, file: str) -> bytes | None:
        """The core metadata of a wheel, by its path and hash."""
        with _Statement(self._lock):
            row = self._connection.execute("SELECT content FROM metadata WHERE file=?", (file,)).fetchone()
            return zlib.decompress(row[0]) if row is not None else None
        return None

    def set_metadata(self, file: str, content: bytes) -> None:
        """Keep a wheel's core metadata: some kilobytes, compressed."""
        with _Statement(self._lock):
            self._connection.execute("INSERT OR REPLACE INTO metadata VALUES (?, ?)", (file, zlib.compress(content)))

    def note_pinned(self, index: str, pins: Iterable[tuple[str, str]], at: float, who: str = "") -> None:
        """Keep when (seconds since the epoch) these pins (project, commit) were set on an index, and by which user."""
        rows = [(index, project, commit, at) for project, commit in pins]
        users = [(*row[:3], who) for row in rows]
        with _Statement(self._lock):
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT OR REPLACE INTO pinned VALUES (?, ?, ?, ?)", rows)
            self._connection.executemany("INSERT OR REPLACE INTO pinned_by VALUES (?, ?, ?, ?)", users)
            self._connection.execute("COMMIT")

    def pinned_at(self, index: str, project: str, commit: str) -> float | None:
        """When a commit was pinned, if that was seen here."""
        with _Statement(self._lock):
            row = self._connection.execute(
                "SELECT at FROM pinned WHERE idx=? AND project=? AND commit_id=?", (index, project, commit)
            ).fetchone()
            return float(row[0]) if row is not None else None
        return None

    def pinnings(self, index: str) -> tuple[Pinning, ...]:
        """Every commit that was pinned on an index as far as that was seen here, the latest first."""
        with _Statement(self._lock):
            return tuple(Pinning(*row) for row in self._connection.execute(PINNINGS, (index,)))
        return ()

    def _look(self, page: Page) -> _Known:
        """What is known of a page. Another process on the same file may have learned more `RECENT` seconds ago."""
        known = self._decoded.get(page)  # without the lock: a look at a dictionary
        now = time.monotonic()
        if known is not None and now - known.looked < RECENT:
            return known
        with _Statement(self._lock):
            row = self._connection.execute("SELECT revision FROM pages WHERE idx=? AND project=?", page).fetchone()
            revision = row[0] if row is not None else 0
            if known is None or known.revision != revision:
                facts = self._decode(page) if revision else None
                known = _Known(revision, facts, now)
            else:
                known = replace(known, looked=now)
            self._decoded[page] = known
            self._decoded.move_to_end(page)
            while len(self._decoded) > PAGES:
                self._decoded.popitem(last=False)
            return known
        return _Known(0, None, now)

    def _decode(self, page: Page) -> PageFacts:
        (text,) = self._connection.execute("SELECT facts FROM pages WHERE idx=? AND project=?", page).fetchone()
        facts = PageFacts.loads(text)
        rows = self._connection.execute("SELECT filename, announced FROM wrong WHERE idx=? AND project=?", page)
        files = dict(facts.files)
        for filename, announced in rows:
            if filename in files and files[filename].core_metadata == announced:
                files[filename] = replace(files[filename], core_metadata="")
        return replace(facts, files=files)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a page, and when that was last looked up."""

    revision: int
    facts: PageFacts | None
    looked: float


class _Statement:
    """One statement at a time; an error is logged and goes no further."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> bool:
        self._lock.release()
        if not isinstance(error, sqlite3.Error | zlib.error | ValueError | KeyError | TypeError):
            return False
        log.warning("the file of what was learned of upstream's files cannot be used", exc_info=error)
        return True
