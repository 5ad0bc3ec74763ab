"""What this server knows of files beyond devpi's store; one for each devpi server object (`xom`)."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devpi_forkbuilder.devpi.simple.fact_store import FactStore
from devpi_forkbuilder.devpi.simple.published import PublishedFacts

log = logging.getLogger(__name__)

ATTRIBUTE = "forkbuilder_catalog"


@dataclass(frozen=True, slots=True)
class Catalog:
    """`store` has what upstream says, `published` what is known of the files stored here."""

    store: FactStore
    published: PublishedFacts


def equip(xom: Any, path: Path) -> Catalog:
    """Make the catalog of a devpi server object, kept at `path`; where that fails, in memory."""
    try:
        store = FactStore(path)
    except (OSError, sqlite3.Error) as error:
        log.error("%s cannot be used (%s): what upstream's pages say is read again after each start", path, error)
        store = FactStore(None)
    catalog = Catalog(store, PublishedFacts())
    setattr(xom, ATTRIBUTE, catalog)
    return catalog


def catalog_of(xom: Any) -> Catalog | None:
    """The catalog of a devpi server object; None in devpi's tools, which have no server."""
    found: Catalog | None = getattr(xom, ATTRIBUTE, None)
    return found
