"""What a crash leaves in a server directory, and how it is put right before devpi starts.

Measured with devpi-server 6.20.3: after `kill -9` between the sync and the removal of SQLite's journal the server
does not start again, because it opens the database read-only first; opening it once for writing rolls the journal
back. Files named `*-tmp` of an unfinished transaction are never removed by devpi.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from devpi_forkbuilder.devpi.names import SEVEN
from devpi_forkbuilder.errors import InfrastructureError

log = logging.getLogger(__name__)

DATABASE, CHANGES = (".sqlite_alchemy", "ulid_changelog") if SEVEN else (".sqlite", "changelog")
FILES = "+files"
LEFTOVER = re.compile(r".+-[0-9a-f]{8,64}-tmp")


def repair_sqlite(server_path: Path) -> None:
    """Make a SQLite server directory startable; harmless when nothing is wrong, or when there is no database."""
    database = server_path / DATABASE
    if not database.is_file():
        return
    journal = database.with_name(DATABASE + "-journal")
    hot = journal.exists() and journal.stat().st_size > 0
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"SELECT max(serial) FROM {CHANGES}").fetchone()  # noqa: S608 - a constant
    if hot:
        log.warning("An interrupted transaction was rolled back in %s.", database)


def write_node_when_changed(config: Any) -> None:
    """Have devpi write `.nodeinfo` only when it says something new.

    devpi writes it anew at each start, by way of a temporary file: a server on a full disk would not start, though
    what it has can be served.
    """
    write = config.write_nodeinfo

    def write_when_changed() -> None:
        with suppress(OSError, ValueError):
            if json.loads(config.nodeinfo_path.read_text(encoding="utf-8")) == dict(config.nodeinfo):
                return
        write()

    config.write_nodeinfo = write_when_changed


def need_room(server_path: Path, size: int) -> None:
    """See that a transaction with files of `size` bytes in all fits on the disk. Raises InfrastructureError.

    When the disk is full in the middle of it, devpi leaves what it has written of a file, and the disk stays full.
    Twice the size is asked for: the database has to grow, too.
    """
    if not (server_path / DATABASE).is_file():
        return  # the files go to a database that is elsewhere
    free = shutil.disk_usage(server_path).free
    if free < 2 * size:
        what = f"There are {free} bytes free in {server_path}, too few to store {size} bytes."
        raise InfrastructureError("disk-full", what, next_step="Make room; the build is tried again by itself.")


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
        log.warning("Temporary files of an interrupted transaction were removed: %d", removed)
    return removed
