"""How long a page that mirrors add to stays good: devpi asks upstream again after `mirror_cache_expiry` seconds.

When it last asked is in the memory of the server, not in its store.
"""

from __future__ import annotations

from typing import Any

from devpi_forkbuilder.devpi.names import is_mirror, lets_mirrors_in
from devpi_forkbuilder.devpi.simple.catalog import catalog_of
from devpi_forkbuilder.devpi.store_facts import Condition


def mirror_conditions(stage: Any, project: str) -> tuple[Condition, ...] | None:
    """Return under which conditions the mirrors behind a page would be read as now; None: they are not known.

    Needs a transaction. `project` is a normalized name.
    """
    bases = list(stage.sro())
    mirrors = [base for base in bases if is_mirror(base)]
    if not mirrors or _blocked([base for base in bases if not is_mirror(base)], project):
        return ()
    if any(mirror.offline for mirror in mirrors):
        return None  # a page has the files whose bytes are here, and those come and go without a commit
    return tuple(condition(mirror, project) for mirror in mirrors for condition in (_condition, _says_the_same))


def _blocked(stages: list[Any], project: str) -> bool:
    """Return whether devpi asks no mirror, as an index has the project, and no rule lets mirrors add to it."""
    has = [stage for stage in stages if stage.has_project_perstage(project)]
    return bool(has) and not any(lets_mirrors_in(stage, project) for stage in stages)


def _condition(mirror: Any, project: str) -> Condition:
    expiry, times, names = mirror.cache_expiry, mirror.cache_retrieve_times, mirror.cache_projectnames
    if mirror.is_project_cached(project) or mirror.no_project_list or project in names.get():
        return lambda: not times.is_expired(project, expiry)
    return lambda: project not in names.get() and not names.is_expired(expiry)


def _says_the_same(mirror: Any, project: str) -> Condition:
    """Upload times and the like are not in devpi's store."""
    catalog, page = catalog_of(mirror.xom), (mirror.name, project)
    if catalog is None:
        return lambda: True
    store, revision = catalog.store, catalog.store.revision(page)
    return lambda: store.revision(page) == revision
