"""Releases built from commits that are no longer pinned. They may be in somebody's lock file: only when asked."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from devpi_forkbuilder.devpi.file_log import WHAT
from devpi_forkbuilder.devpi.fork_indexes import fork_indexes
from devpi_forkbuilder.devpi.names import SEVEN, Rel
from devpi_forkbuilder.devpi.releases import superseded_files
from devpi_forkbuilder.devpi.settings import settings_of
from devpi_forkbuilder.domain.tidy import Stored, TidyKind

PINNED_AGAIN = "pinned again"


def pinned_commits(xom: Any) -> frozenset[str]:
    """The commits that are pinned on any index."""
    with xom.keyfs.read_transaction():
        stages = [xom.model.getstage(user, name) for user, name in fork_indexes(xom)]
        return frozenset(pin.commit for stage in stages for pin in settings_of(stage).pins)


class SupersededShelf:
    """Files of superseded builds. Uploaded files are nobody's build, and stay."""

    kind = TidyKind.SUPERSEDED

    def __init__(self, xom: Any) -> None:
        self.place = Path(xom.config.server_path)
        self._xom = xom

    def stored(self) -> Iterator[Stored]:
        """All of them; they count as used when they were published."""
        with self._xom.keyfs.read_transaction():
            for user, name in fork_indexes(self._xom):
                stage = self._xom.model.getstage(user, name)
                for project in stage.list_projects_perstage():
                    for link in _superseded(stage, project):
                        yield Stored(link.relpath, link.entry.file_size() or 0, _published(link))

    def remove(self, stored: Stored) -> str:
        """See `Shelf.remove`. The project stays registered, so that no public one takes its place."""
        user, name, _ = stored.name.split("/", 2)
        with self._xom.keyfs.write_transaction():
            stage = self._xom.model.getstage(user, name)
            entry = self._xom.filestore.get_file_entry(stored.name)
            if stage is None or entry is None or not entry.meta:
                return ""
            project, version = entry.project, entry.version
            if stored.name not in {link.relpath for link in _superseded(stage, project)}:
                return PINNED_AGAIN
            stage.del_entry(entry, cleanup=False)
            if not list(stage.get_linkstore_perstage(project, version).get_links()):
                stage.del_versiondata(project, version, cleanup=False)
            if not SEVEN:
                stage._regen_simplelinks(project)
        return ""


def _superseded(stage: Any, project: str) -> Iterator[Any]:
    """devpi's links of a project's superseded files."""
    names = superseded_files(stage, project, settings_of(stage))
    for version in list(stage.list_versions_perstage(project)) if names else ():
        for link in stage.get_linkstore_perstage(project, version).get_links(rel=Rel.ReleaseFile):
            if link.basename in names:
                yield link


def _published(link: Any) -> float | None:
    """When it was first built, in seconds since the epoch (UTC)."""
    times = [tuple(log["when"]) for log in link.get_logs() if log.get("what") == WHAT and log.get("when")]
    return float(calendar.timegm(time.struct_time((*min(times)[:6], 0, 1, 0)))) if times else None
