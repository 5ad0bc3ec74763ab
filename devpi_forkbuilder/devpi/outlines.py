"""What an index and its bases say about pins as a whole, remembered: most requests have nothing to do with a pin."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache

from devpi_forkbuilder.devpi.names import MIRROR, PRIVATE, is_mirror, mirrored_url
from devpi_forkbuilder.devpi.serial import LastSerial
from devpi_forkbuilder.devpi.settings import INDEX_TYPE, is_forkbuilder, settings_of
from devpi_forkbuilder.devpi.store_facts import Facts, Reading, Remembered
from devpi_forkbuilder.domain.pins.settings import IndexSettings

MOST = 1000
KNOWN_TYPES = frozenset({INDEX_TYPE, MIRROR, PRIVATE})
"""Index types whose pages rest on devpi's store and on mirrors; a plugin's own type may look at anything."""


@dataclass(frozen=True, slots=True)
class Outline:
    """An index with its bases: the settings of those of our type.

    `mirrored`: there are mirrors among them; `chained`: one of those has another devpi's index as its URL.
    """

    facts: Facts
    settings: tuple[IndexSettings, ...] = ()
    chained: bool = False
    mirrored: bool = False

    def pins(self, project: str) -> bool:
        """Return whether a project (normalized name) is pinned."""
        return any(one.pins_of(project) for one in self.settings)


class Outlines:
    """Outlines by index, the latest `MOST` of those that exist. Thread-safe."""

    def __init__(self, xom: Any, store: LastSerial) -> None:
        self._xom = xom
        self._store = store
        self._lock = threading.Lock()
        self._known: LRUCache[tuple[str, str], Remembered[Outline]] = LRUCache(MOST)

    def __len__(self) -> int:
        return len(self._known)

    def of(self, user: str, index: str) -> Outline | None:
        """Return the outline of an index as it is now; None when there is no such index. Outside transactions only."""
        serial = self._store.read()
        with self._lock:
            known = self._known.get((user, index))
        if known is not None and known.holds(self._store, serial):
            return known.value
        outline = self._read(user, index)
        with self._lock:
            if outline is None:
                self._known.pop((user, index), None)
            else:
                self._known[user, index] = Remembered(outline, outline.facts)
        return outline

    def _read(self, user: str, index: str) -> Outline | None:
        with self._xom.keyfs.read_transaction() as tx:
            reading = Reading(self._xom.keyfs)
            stage = self._xom.model.getstage(user, index)
            if stage is None:
                return None
            bases = list(stage.sro())
            settings = tuple(settings_of(base) for base in bases if is_forkbuilder(base))
            chained = any("/+simple" in mirrored_url(base) for base in bases if is_mirror(base))
            # without knowledge of what was read an outline is good for this request only
            facts = reading.facts() or Facts(tx.at_serial, conditions=(lambda: False,))
            return Outline(facts, settings, chained, any(is_mirror(base) for base in bases))


def has_only_known_types(xom: Any, stage: Any) -> bool:
    """Return whether pages of an index are ours to keep: it has forks, and no other plugin has a say in its pages."""
    if xom.config.hook.devpiserver_sro_skip.get_hookimpls():
        return False
    types = {base.ixconfig["type"] for base in stage.sro()}
    return INDEX_TYPE in types and types <= KNOWN_TYPES
