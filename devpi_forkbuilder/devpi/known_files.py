"""The files of an index's projects, remembered: a page of a thousand pins must not read them anew each time.

What is remembered of a project holds while no commit has changed the store's keys that list its versions and files. Not
in a transaction that writes, and not on a replica, where a file's bytes come without a commit. devpi-server 7 has other
keys: there nothing is remembered.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from cachetools import LRUCache

from devpi_forkbuilder.devpi.names import SEVEN
from devpi_forkbuilder.devpi.releases import ReleaseFile, built_files
from devpi_forkbuilder.devpi.serial import ANY, LastSerial
from devpi_forkbuilder.devpi.store_facts import Facts, Remembered

MOST = 20_000
"""Projects that are remembered; one takes about two kilobytes."""

Files = tuple[ReleaseFile, ...]
Known = Remembered[Files]


class KnownFiles:
    """Files by index and project. Thread-safe; needs a transaction."""

    def __init__(self, xom: Any, store: LastSerial, most: int = MOST) -> None:
        self._xom = xom
        self._store = store
        self._lock = threading.Lock()
        self._known: LRUCache[tuple[str, str], Known] = LRUCache(most)

    def of(self, stage: Any, projects: Iterable[str]) -> dict[str, Files]:
        """The files of these projects (normalized names) on a stage, as `built_files` gives them."""
        names = tuple(projects)
        if SEVEN or stage.keyfs.tx.write or self._xom.is_replica():
            return {name: tuple(built_files(stage, name)) for name in names}
        serial = self._store.read()
        with self._lock:
            known = {name: found for name in names if (found := self._known.get((stage.name, name))) is not None}
        self._checked(known, serial)
        return {name: self._one(stage, name, known.get(name), serial) for name in names}

    def _checked(self, known: dict[str, Known], serial: int) -> None:
        """Ask about all of them at once: most often nothing has changed."""
        facts = [one.facts for one in known.values() if one.checked != serial]
        keys = {key for one in facts for key in one.keys}
        if facts and self._store.of_keys(sorted(keys)) <= min(one.serial for one in facts):
            for one in known.values():
                one.check(serial)

    def _one(self, stage: Any, name: str, known: Known | None, serial: int) -> Files:
        if known is not None and known.holds(self._store, serial):
            return known.value
        at = int(stage.keyfs.tx.at_serial)
        files = tuple(built_files(stage, name))
        with self._lock:
            self._known[stage.name, name] = Remembered(files, Facts(at, _keys(stage, name)))
        return files


def _keys(stage: Any, name: str) -> frozenset[str]:
    """The keys of devpi's store that list the versions and files of a project."""
    if SEVEN:
        return frozenset({ANY})
    versions = stage.list_versions_perstage(name)
    keys = (stage.key_projversions(name), *(stage.key_projversion(name, version) for version in versions))
    return frozenset(str(key.relpath) for key in keys)
