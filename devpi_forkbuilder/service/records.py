"""What is known of each order's latest run, kept in one SQLite file that outlives the server.

Losing the file loses no release: what is built is stored in the index itself.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

from devpi_forkbuilder.domain.pins.orders import OrderKey
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import InfrastructureError, Kind

logger = logging.getLogger(__name__)

SCHEMA = 1
COLUMNS = (
    *("idx", "project", "commit_id", "version", "subdirectory", "python"),
    *("state", "fingerprint", "attempts", "error", "commit_time"),
    *("queued_at", "started_at", "finished_at", "seconds", "retry_at", "log"),
)
CREATE = """
CREATE TABLE IF NOT EXISTS records (
    idx TEXT NOT NULL, project TEXT NOT NULL, commit_id TEXT NOT NULL, version TEXT NOT NULL,
    subdirectory TEXT NOT NULL, python TEXT NOT NULL,
    state TEXT NOT NULL, fingerprint TEXT NOT NULL, attempts INTEGER NOT NULL, error TEXT, commit_time INTEGER,
    queued_at REAL, started_at REAL, finished_at REAL, seconds TEXT NOT NULL, retry_at REAL, log TEXT NOT NULL,
    PRIMARY KEY (idx, project, commit_id, version, subdirectory, python)
) WITHOUT ROWID
"""
SELECT = f"SELECT {', '.join(COLUMNS)} FROM records"  # noqa: S608 - made of constants
INSERT = f"INSERT OR REPLACE INTO records VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - made of constants
OF_KEY = " WHERE idx=? AND project=? AND commit_id=? AND version=? AND subdirectory=? AND python=?"
ENDED = (State.BUILT.value, State.FAILED.value)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed. `stage` is the state in which it happened; `message` says what happened and what to do;
    `remedy` are lines of settings with which the build was seen to succeed.
    """

    kind: Kind
    reference: str
    stage: State
    message: str
    remedy: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """One order's latest run. Moments are seconds since the epoch.

    `attempts` counts the runs with this `fingerprint` since the last success; `retry_at` is when a failure may be
    tried again by itself (None: not before something changes); `seconds` has the time spent by `states.SECONDS`;
    `log` is the log file's path below the folder of logs, empty while there is none.
    """

    key: OrderKey
    state: State
    fingerprint: str = ""
    attempts: int = 0
    error: Failure | None = None
    commit_time: int | None = None
    queued_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    retry_at: float | None = None
    log: str = ""


def interrupted(record: Record) -> Record:
    """`record` of a run that was cut short: wanted again, and no attempt was made."""
    attempts = record.attempts - (record.started_at is not None)
    return replace(
        record,
        state=State.WANTED,
        attempts=max(attempts, 0),
        started_at=None,
        seconds={},
    )


class Records:
    """The file of records; usable from any thread, one statement at a time. Every method raises InfrastructureError.

    A statement that has returned survives `kill -9`: in WAL mode with `synchronous=NORMAL` it is then with the
    operating system. Only a loss of power may lose the last ones, and the file stays whole even then
    (https://www.sqlite.org/pragma.html#pragma_synchronous).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.lost = False
        """Whether they are in memory only, since the file cannot be used (a full disk, permissions)."""
        try:
            self._connection = self._opened(path)
        except sqlite3.OperationalError as error:
            self._do_without(error)
        except sqlite3.DatabaseError as error:
            self._set_aside(error)
        except OSError as error:
            self._do_without(error)

    def _opened(self, path: Path | str) -> sqlite3.Connection:
        if isinstance(path, Path):
            path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_aside(self, error: Exception) -> None:
        """The file is damaged. What is built is stored in the index, so the server goes on without what was in it."""
        aside = self._path.with_name(f"{self._path.name}.damaged-{os.urandom(4).hex()}")
        logger.warning("The build records in %s are damaged (%s): they are set aside as %s.", self._path, error, aside)
        try:
            for end in ("-wal", "-shm", ""):
                file = Path(f"{self._path}{end}")
                if file.exists():
                    file.rename(f"{aside}{end}")
            self._connection = self._opened(self._path)
        except (sqlite3.Error, OSError) as again:
            self._do_without(again)

    def _do_without(self, error: Exception) -> None:
        logger.error(
            "The build records in %s cannot be used: %s. What is built is served; failures are forgotten when the "
            "server stops. Check the disk's space and permissions, and restart.",
            self._path,
            error,
        )
        self.lost = True
        self._connection = self._opened(":memory:")

    def get(self, key: OrderKey) -> Record | None:
        """The record of `key`, if there is one."""
        found = self._select(SELECT + OF_KEY, astuple(key))
        return found[0] if found else None

    def of_project(self, index: str, project: str) -> tuple[Record, ...]:
        """All records of a project (normalized name) on `index` (`user/name`)."""
        return self._select(SELECT + " WHERE idx=? AND project=? ORDER BY commit_id, version, python", (index, project))

    def of_index(self, index: str) -> tuple[Record, ...]:
        """All records of `index` (`user/name`), by project."""
        return self._select(SELECT + " WHERE idx=? ORDER BY project, commit_id, version, python", (index,))

    def failures(self, limit: int) -> tuple[Record, ...]:
        """The latest failures of all indexes, the newest first."""
        return self._select(SELECT + " WHERE state=? ORDER BY finished_at DESC LIMIT ?", (State.FAILED.value, limit))

    def put(self, record: Record) -> None:
        """Store `record` in place of the one with its key."""
        self._execute(INSERT, _row(record))

    def recover(self) -> tuple[OrderKey, ...]:
        """Put back to `wanted` what no worker is at any more; call it while none runs.

        The answer has the keys of everything wanted, so that whoever knows the pins may ask for it again.
        """
        left = self._select(SELECT + " WHERE state NOT IN (?, ?) ORDER BY queued_at", ENDED)
        for record in left:
            self.put(interrupted(record))
        return tuple(record.key for record in left)

    def logs(self) -> frozenset[str]:
        """The log files that records name."""
        with self._told(), self._lock:
            return frozenset(row[0] for row in self._connection.execute("SELECT log FROM records WHERE log != ''"))

    def last_built(self) -> float | None:
        """When the last build that succeeded ended, in seconds since the epoch."""
        with self._told(), self._lock:
            query = "SELECT max(finished_at) FROM records WHERE state=?"
            found: float | None = self._connection.execute(query, (State.BUILT.value,)).fetchone()[0]
            return found

    def failed_since(self, moment: float) -> int:
        """How many orders' latest runs failed after a moment (seconds since the epoch)."""
        with self._told(), self._lock:
            query = "SELECT count(*) FROM records WHERE state=? AND finished_at>?"
            found: int = self._connection.execute(query, (State.FAILED.value, moment)).fetchone()[0]
            return found

    def forget(self, index: str) -> None:
        """Remove all records of `index`: it was deleted."""
        self._execute("DELETE FROM records WHERE idx=?", (index,))

    def close(self) -> None:
        """Close the file; nothing else may be called after it."""
        with self._lock:
            self._connection.close()

    def _prepare(self, connection: sqlite3.Connection) -> None:
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found > SCHEMA:
            raise InfrastructureError(
                "records-newer",
                f"The build records in {self._path} have schema {found}; this devpi-forkbuilder knows {SCHEMA}.",
                next_step="Install the version that wrote them, or move the file away: no release is lost by that.",
                retryable=False,
            )
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("database disk image is malformed")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(CREATE)
        connection.execute(f"PRAGMA user_version={SCHEMA}")

    def _execute(self, statement: str, values: tuple[object, ...]) -> None:
        with self._told(), self._lock:
            self._connection.execute(statement, values)

    def _select(self, statement: str, values: tuple[object, ...]) -> tuple[Record, ...]:
        with self._told(), self._lock:
            rows = self._connection.execute(statement, values).fetchall()
        return tuple(_record(row) for row in rows)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turns what SQLite and the file system raise into an error of ours."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise InfrastructureError(
                "records-unusable",
                f"The build records in {self._path} cannot be used: {error}.",
                next_step="Check the disk's space and permissions; a damaged file may be moved away.",
            ) from error


def logs_in_use(path: Path) -> frozenset[str] | None:
    """The log files of builds that run, as another process sees them in the file `path`; None when it cannot be read.

    Reads only: a damaged file is its server's to set aside.
    """
    if not path.exists():
        return frozenset()
    ended = (*ENDED, State.WANTED.value)
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT log FROM records WHERE log != '' AND state NOT IN (?, ?, ?)", ended)
            return frozenset(row[0] for row in rows)
    except sqlite3.Error:
        return None


def _row(record: Record) -> tuple[object, ...]:
    error = record.error
    return (
        *astuple(record.key),
        record.state.value,
        record.fingerprint,
        record.attempts,
        None if error is None else _told(error),
        record.commit_time,
        record.queued_at,
        record.started_at,
        record.finished_at,
        json.dumps(dict(record.seconds)),
        record.retry_at,
        record.log,
    )


def _record(row: tuple[Any, ...]) -> Record:
    values = dict(zip(COLUMNS[6:], row[6:], strict=True))
    values.update(state=State(values["state"]), seconds=json.loads(values["seconds"]), error=_failure(values["error"]))
    return Record(key=OrderKey(*row[:6]), **values)


def _failure(text: str | None) -> Failure | None:
    if text is None:
        return None
    kind, reference, stage, message, *remedy = json.loads(text)
    return Failure(Kind(kind), reference, State(stage), message, tuple(remedy))


def _told(error: Failure) -> str:
    return json.dumps([error.kind.value, error.reference, error.stage.value, error.message, *error.remedy])
