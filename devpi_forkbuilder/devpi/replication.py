"""What has arrived at this replica: transactions, releases, and the bytes of files."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from devpi_server.replica import FileReplicationSharedData, FileReplicationThread

from devpi_forkbuilder.devpi.names import is_mirror
from devpi_forkbuilder.devpi.releases import Releases, built_files
from devpi_forkbuilder.devpi.settings import is_forkbuilder
from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.service.replica.client import PrimaryUnreachableError

log = logging.getLogger(__name__)

Lacking = tuple[int, Any, Any]
"""A serial, devpi's key of a file, and its value there."""
HEAD_START = 0.5
"""Seconds for devpi's own file replication, which usually needs a few hundredths."""
LOOK = 0.02


class Replication:
    """The `service.primary.Store` of a devpi replica. May be used by several threads."""

    def __init__(self, xom: Any) -> None:
        self._xom = xom
        self._releases = Releases(xom)
        # devpi's own replication of one file: it knows the identity to show, and checks the content
        self._never = threading.Event()
        self._files = FileReplicationThread(xom, FileReplicationSharedData(xom))

    def covers(self, order: Order) -> bool:
        """Whether a published file serves this order, with or without its bytes."""
        return self._releases.covers(order)

    def arrived(self, serial: int, timeout: float) -> bool:
        """Wait for a transaction of the primary; False when it is not here within `timeout` seconds."""
        return bool(self._xom.keyfs.wait_tx_serial(serial, timeout=timeout))

    def complete(self, order: Order) -> None:
        """Fetch what devpi's file replication has not fetched yet. Raises UnreachableError.

        devpi does that on a download as well, but for `FILE.metadata` (PEP 658) it then gives the file itself, and it
        asks without this replica's identity, which an index that not everybody may read refuses.
        """
        self._fetch(lambda: self._lacking(order), order.pin.name)

    def fetch(self, path: str) -> None:
        """Fetch the bytes of the published file `path` (`USER/INDEX/+f/...`). Raises UnreachableError.

        Files of mirrors are left out: devpi asks their upstream for the metadata, which works without the primary.
        """
        self._fetch(lambda: self._lacking_at(path), path)

    def _fetch(self, lacking: Callable[[], list[Lacking]], name: str) -> None:
        """Fetch what devpi's own threads have not fetched within the head start."""
        deadline = monotonic() + HEAD_START
        while (wanted := lacking()) and monotonic() < deadline:
            self._never.wait(LOOK)
        try:
            for serial, key, value in wanted:
                self._files.importer(serial, key, value, -1)
        except Exception as error:
            # devpi lets through whatever its client, the file system or its check of the content raised, and asserts
            # that nobody else has put the file into place meanwhile
            if not lacking():
                return
            log.warning("a file of %s could not be fetched from the primary", name, exc_info=True)
            why = f"a file could not be fetched ({type(error).__name__})"
            raise PrimaryUnreachableError(self._xom.config.primary_url.url, why) from error

    def _lacking_at(self, path: str) -> list[Lacking]:
        with self._xom.keyfs.read_transaction() as tx:
            stage = self._xom.model.getstage("/".join(path.split("/")[:2]))
            if stage is None or is_mirror(stage):
                return []
            entry = self._xom.filestore.get_file_entry(path)
            there = entry is None or not entry.meta or entry.file_exists()
            return [] if there else [(tx.at_serial, entry.key, entry.key.get())]

    def _lacking(self, order: Order) -> list[Lacking]:
        with self._xom.keyfs.read_transaction() as tx:
            stage = self._xom.model.getstage(order.index)
            if stage is None or not is_forkbuilder(stage):
                return []
            files = [file for file in built_files(stage, order.pin.name) if file.stands_for(order.pin)]
            entries = [self._xom.filestore.get_file_entry(file.path) for file in files if file.size is None]
            return [(tx.at_serial, entry.key, entry.key.get()) for entry in entries]
