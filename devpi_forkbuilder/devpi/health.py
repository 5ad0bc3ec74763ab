"""Whether this server can do its work: its store can be written, its disk has room."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from devpi_forkbuilder.domain.health import Check, Health

Probe = Callable[[], Check]
FRESH = 1.0
"""Seconds for which an answer is given again: everybody may ask."""
PATIENCE = 3.0
"""Seconds to wait while somebody else makes the checks."""


class HealthProbes:
    """The checks of a server, made when somebody asks. May be used by several threads."""

    def __init__(self, probes: Iterable[Probe], clock: Callable[[], float] = time.monotonic) -> None:
        self._probes = tuple(probes)
        self._clock = clock
        self._lock = threading.Lock()
        self._made = float("-inf")
        self._health = Health(())

    def health(self) -> Health:
        """The checks' results."""
        if not self._lock.acquire(timeout=PATIENCE):
            return Health((Check("store", ok=False, message="The checks take long: the store does not answer."),))
        try:
            if self._clock() - self._made > FRESH:
                self._health = Health(tuple(probe() for probe in self._probes))
                self._made = self._clock()
            return self._health
        finally:
            self._lock.release()


def worker_probe(alive: Callable[[], bool]) -> Probe:
    """The threads that build are there."""

    def check() -> Check:
        message = "" if alive() else "The workers that build have ended or were not started: restart the server."
        return Check("workers", ok=not message, message=message)

    return check


def tier_probe(reason: Callable[[], str]) -> Probe:
    """Builds can be run here; `reason` says why not, and may change."""
    return lambda: Check("builds", ok=not (said := reason()), message=said)


def store_probe(xom: Any) -> Probe:
    """The store can be read, and the server directory written."""

    def check() -> Check:
        try:
            xom.keyfs.get_current_serial()
            with TemporaryFile(dir=xom.config.server_path) as file:
                file.write(b"x")
        except Exception as error:  # noqa: BLE001 - whatever a database's client raises: there is no store then
            why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            return Check("store", ok=False, message=f"The store in {xom.config.server_path} cannot be used: {why}.")
        return Check("store", ok=True)

    return check


def disk_probe(folders: Iterable[Path], floor: int) -> Probe:
    """Each folder's disk has `floor` bytes free."""

    def check() -> Check:
        for folder in folders:
            existing = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
            free = shutil.disk_usage(existing).free
            if free < floor:
                what = f"{free // 2**20} MiB are free in {folder}, less than the floor of {floor // 2**20} MiB."
                return Check("disk", ok=False, message=what)
        return Check("disk", ok=True)

    return check
