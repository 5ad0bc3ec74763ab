"""The parsed settings of a stage, kept as long as its owner's configuration does not change."""

from __future__ import annotations

from typing import Any

from devpi_forkbuilder.domain.settings import IndexSettings

INDEX_TYPE = "forkbuilder"
_CACHE_KEY = "forkbuilder-settings"


def is_forkbuilder(stage: Any) -> bool:
    """Whether `stage` (a devpi stage object) is an index of our type."""
    return bool(stage.ixconfig["type"] == INDEX_TYPE)


def settings_of(stage: Any) -> IndexSettings:
    """The settings of a stage of our type, in the current transaction.

    They are parsed once for each serial of the owner's configuration: ten thousand pins cost nothing on a page.
    """
    key, tx = stage.user.key, stage.keyfs.tx
    if tx.is_dirty(key):
        return IndexSettings.parse(stage.ixconfig)
    serial = tx.last_serial(key)
    try:
        known, settings = stage.xom.get_singleton(stage.name, _CACHE_KEY)
    except KeyError:
        known, settings = -1, IndexSettings()
    if known != serial:
        settings = IndexSettings.parse(stage.ixconfig)
        stage.xom.set_singleton(stage.name, _CACHE_KEY, (serial, settings))
    parsed: IndexSettings = settings
    return parsed
