"""`*-tmp` files of transactions that a killed devpi never finished, on a server that may be running."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from devpi_server.fileutil import loads

from devpi_forkbuilder.devpi.storage import FILES, LEFTOVER
from devpi_forkbuilder.domain.tidy import Stored, TidyKind

OLD = 3600.0
"""Seconds without a change after which no transaction is at such a file any more."""
CHANGES = 5
"""How many of the last changes are looked at for files that devpi puts into place at its next start."""


class LeftoverShelf:
    """Temporary files below `+files`. Young ones may belong to a transaction."""

    kind = TidyKind.LEFTOVERS

    def __init__(self, xom: Any, now: Callable[[], float] = time.time) -> None:
        self.place = Path(xom.config.server_path)
        self._xom = xom
        self._now = now

    def stored(self) -> Iterator[Stored]:
        """All of them; the old ones are of no use, unless a committed change waits for them."""
        waited = self._waited_for()
        for folder, _, names in os.walk(self.place / FILES):
            for name in names:
                if not LEFTOVER.fullmatch(name):
                    continue
                path = Path(folder, name)
                with suppress(FileNotFoundError):
                    found = path.stat()
                    relative = path.relative_to(self.place).as_posix()
                    young = self._now() - found.st_mtime < OLD
                    needed = "of a transaction" if young or relative in waited else ""
                    yield Stored(relative, found.st_size, found.st_mtime, needed, dead=True)

    def remove(self, stored: Stored) -> str:
        """See `Shelf.remove`."""
        (self.place / stored.name).unlink(missing_ok=True)
        return ""

    def _waited_for(self) -> frozenset[str]:
        """What the last changes renamed: after a crash in the middle of it devpi does it at its start."""
        keyfs = self._xom.keyfs
        last = keyfs.get_current_serial()
        found: set[str] = set()
        with keyfs.get_connection() as connection:
            for serial in range(max(0, last - CHANGES + 1), last + 1):
                raw = connection.get_raw_changelog_entry(serial)
                if raw is not None:
                    found.update(map(str, loads(bytes(raw))[1]))
        return frozenset(found)
