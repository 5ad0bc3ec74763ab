"""What devpi's store has committed last, in all and to single keys; cheap enough to be asked at every request.

devpi opens a new connection for the question. On SQLite one read-only connection of our own is kept instead: it sees
each commit, of this process or another, at once. On other storages devpi is asked.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from itertools import islice
from typing import Any

from devpi_forkbuilder.devpi.names import SEVEN

ANY = "*"
"""Instead of a key: every commit may have changed it."""
QUESTION = "SELECT MAX(_ROWID_) FROM changelog"
PATIENCE = 60.0
AT_ONCE = 500
"""Keys in one question to SQLite, which takes 999 parameters at least (sqlite.org/limits.html)."""


class LastSerial:
    """Serials of devpi's store. Thread-safe."""

    def __init__(self, keyfs: Any) -> None:
        self._keyfs = keyfs
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._database = None if SEVEN else getattr(keyfs._storage, "sqlpath", None)

    def read(self) -> int:
        """Return the serial of the last commit; -1 before the first one."""
        if self._database is None:
            return int(self._keyfs.get_current_serial())
        with self._lock:
            (serial,) = self._opened().execute(QUESTION).fetchone()
        return -1 if serial is None else int(serial)

    def of_keys(self, keys: Sequence[str]) -> int:
        """Return the serial of the last commit that changed, made or deleted one of `keys`; -1 when there is none."""
        if ANY in keys:
            return self.read()
        if self._database is None:
            with self._keyfs.get_connection() as connection:
                return max((_last_change(connection, key) for key in keys), default=-1)
        latest = -1
        with self._lock:
            for start in range(0, len(keys), AT_ONCE):
                part = tuple(islice(keys, start, start + AT_ONCE))
                question = f"SELECT MAX(serial) FROM kv WHERE key IN ({','.join('?' * len(part))})"  # noqa: S608
                (serial,) = self._opened().execute(question, part).fetchone()
                latest = max(latest, -1 if serial is None else int(serial))
        return latest

    def close(self) -> None:
        """Close the connection; a later call opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            uri = f"file:{self._database}?mode=ro"
            self._connection = sqlite3.connect(
                uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
        return self._connection


def _last_change(connection: Any, key: str) -> int:
    try:
        return int(connection.db_read_typedkey(key)[1])
    except KeyError:
        return -1
