"""What a crash leaves in a server directory, and how it is put right before devpi starts.

Measured with devpi-server 6.20.3: after `kill -9` between the sync and the removal of SQLite's journal the server
does not start again, because it opens the database read-only first; opening it once for writing rolls the journal
back. Files named `*-tmp` of an unfinished transaction are never removed by devpi.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

log = logging.getLogger(__name__)

DATABASE = ".sqlite"
FILES = "+files"
LEFTOVER = re.compile(r".+-[0-9a-f]{8,64}-tmp")


def repair(server_path: Path) -> None:
    """Make a SQLite server directory startable; harmless when nothing is wrong, or when there is no database."""
    database = server_path / DATABASE
    if not database.is_file():
        return
    journal = database.with_name(DATABASE + "-journal")
    hot = journal.exists() and journal.stat().st_size > 0
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("SELECT max(serial) FROM changelog").fetchone()
    if hot:
        log.warning("An interrupted transaction was rolled back in %s.", database)


def sweep(server_path: Path, before: float) -> int:
    """Remove devpi's temporary files last written before `before` (seconds since the epoch); how many there were.

    Only for a server that is not running: a younger file may belong to a transaction.
    """
    removed = 0
    for folder, _, names in os.walk(server_path / FILES):
        for name in names:
            path = Path(folder, name)
            if LEFTOVER.fullmatch(name) and path.stat().st_mtime < before:
                path.unlink()
                removed += 1
    if removed:
        log.warning("%d temporary file(s) of an interrupted transaction were removed.", removed)
    return removed
