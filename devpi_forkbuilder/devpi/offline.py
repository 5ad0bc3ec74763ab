"""What a devpi-server with `--offline-mode` has of its mirrors, and what it only knows of."""

from __future__ import annotations

from typing import Any

from devpi_forkbuilder.devpi.mirror_files import has_page, listed_files
from devpi_forkbuilder.devpi.names import is_mirror, mirror_setting
from devpi_forkbuilder.domain.simple.offline import HiddenFile


def is_offline(registry: Any) -> bool:
    """Whether the server of this pyramid registry was started with `--offline-mode`."""
    return bool(getattr(registry["xom"].config.args, "offline_mode", False))


class MirrorContents:
    """Looks at mirrors in the current transaction, and never at the network."""

    def __init__(self, xom: Any) -> None:
        self._xom = xom

    def links(self, user: str, index: str, project: str) -> tuple[HiddenFile, ...] | None:
        """All files of a public project (normalized name) that the mirrors behind an index know of, cached or not.

        None: mirrors have no say in this page, for the index has none, or a project of its own by that name. Raises
        LookupError when no mirror ever had the page.
        """
        stage = self._xom.model.getstage(user, index)
        bases = list(stage.sro()) if stage is not None else []
        mirrors = [base for base in bases if is_mirror(base)]
        own = [base for base in bases if not is_mirror(base)]
        if not mirrors or any(base.has_project_perstage(project) for base in own):
            return None
        if not any(has_page(mirror, project) for mirror in mirrors):
            raise LookupError(project)
        return tuple(file for mirror in mirrors for file in listed_files(mirror, project))

    def lacks(self, user: str, index: str, path: str) -> bool:
        """Whether a file could only come from elsewhere; `path` (`USER/INDEX/+f/...`) may be of its metadata."""
        stage = self._xom.model.getstage(user, index)
        if stage is None or stage.ixconfig.get(mirror_setting("use_external_urls")):
            return False
        entry = self._xom.filestore.get_file_entry(path.removesuffix(".metadata"))
        if entry is None or not entry.meta:
            return is_mirror(stage)
        fetchable = is_mirror(stage) or self._xom.is_replica()
        return bool(fetchable and not entry.file_exists())
