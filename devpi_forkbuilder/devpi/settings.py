"""The parsed settings of a stage, kept as long as its owner's configuration does not change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devpi_forkbuilder.devpi.names import SEVEN
from devpi_forkbuilder.domain.pins.settings import DEFAULTS, IndexSettings

INDEX_TYPE = "forkbuilder"
_CACHE_KEY = "forkbuilder-settings"


def is_forkbuilder(stage: Any) -> bool:
    """Whether `stage` (a devpi stage object) is an index of our type."""
    return bool(stage.ixconfig["type"] == INDEX_TYPE)


def settings_of(stage: Any) -> IndexSettings:
    """The settings of a stage of our type, in the current transaction.

    They are parsed when they change, not at each request: ten thousand pins cost nothing on a page.
    """
    key, tx = _key(stage), stage.keyfs.tx
    if tx.is_dirty(key):
        return IndexSettings.parse(stage.ixconfig)
    serial = tx.last_serial(key)
    try:
        known: Parsed = stage.xom.get_singleton(stage.name, _CACHE_KEY)
    except KeyError:
        known = Parsed(-1, {}, IndexSettings())
    if known.serial != serial:
        known = _parsed(stage.ixconfig, serial, known)
        stage.xom.set_singleton(stage.name, _CACHE_KEY, known)
    return known.settings


def settings_serial(stage: Any) -> int:
    """The serial of the last commit that stored the settings of a stage, in the current transaction."""
    return int(stage.keyfs.tx.last_serial(_key(stage)))


def _key(stage: Any) -> Any:
    return stage.key_index.with_resolved_parent() if SEVEN else stage.user.key


@dataclass(frozen=True, slots=True)
class Parsed:
    """Settings, the values they were parsed from, and the serial of the commit that stored these values."""

    serial: int
    values: dict[str, object]
    settings: IndexSettings


def _parsed(config: Mapping[str, Any], serial: int, known: Parsed) -> Parsed:
    """The owner's configuration changed, which holds all indexes of that user: perhaps not this one's settings."""
    values = {name: config.get(name) for name, _ in DEFAULTS}
    return Parsed(serial, values, known.settings if values == known.values else IndexSettings.parse(config))
