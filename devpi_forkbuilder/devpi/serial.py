"""The number of the last commit to devpi's store, cheap enough to be asked at every request.

devpi opens a new connection for the question. On SQLite one read-only connection of our own is kept instead: it sees
each commit, of this process or another, at once. On other storages devpi is asked.
"""

from __future__ import annotations

import sqlite3
import threading
from typing import Any

QUESTION = "SELECT MAX(_ROWID_) FROM changelog"
PATIENCE = 60.0


class LastSerial:
    """Where the serial is read. May be used by several threads."""

    def __init__(self, keyfs: Any) -> None:
        self._keyfs = keyfs
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._database = getattr(keyfs._storage, "sqlpath", None)

    def read(self) -> int:
        """The serial of the last commit; -1 before the first one."""
        if self._database is None:
            return int(self._keyfs.get_current_serial())
        with self._lock:
            if self._connection is None:
                self._connection = self._open()
            (serial,) = self._connection.execute(QUESTION).fetchone()
        return -1 if serial is None else int(serial)

    def close(self) -> None:
        """Close the connection; a later call opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> sqlite3.Connection:
        uri = f"file:{self._database}?mode=ro"
        return sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
