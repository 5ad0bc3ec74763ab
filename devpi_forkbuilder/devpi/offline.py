"""What a devpi-server with `--offline-mode` has of its mirrors, and what it only knows of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devpi_forkbuilder.domain.simple.offline import HiddenFile

MIRROR = "mirror"


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
        mirrors = [base for base in bases if base.ixconfig["type"] == MIRROR]
        own = [base for base in bases if base.ixconfig["type"] != MIRROR]
        if not mirrors or any(base.has_project_perstage(project) for base in own):
            return None
        pages = [mirror.key_projsimplelinks(project).get() for mirror in mirrors]
        if not any(pages):
            raise LookupError(project)
        return tuple(file for page in pages if page for file in _files(page))

    def lacks(self, user: str, index: str, path: str) -> bool:
        """Whether a file could only come from elsewhere; `path` (`USER/INDEX/+f/...`) may be of its metadata."""
        stage = self._xom.model.getstage(user, index)
        if stage is None or stage.ixconfig.get("mirror_use_external_urls"):
            return False
        key = self._xom.filestore.get_key_from_relpath(path.removesuffix(".metadata"))
        if key is None or not key.exists():
            return bool(stage.ixconfig["type"] == MIRROR)
        entry = self._xom.filestore.get_file_entry_from_key(key)
        fetchable = stage.ixconfig["type"] == MIRROR or self._xom.is_replica()
        return bool(fetchable and entry.meta and not entry.file_exists())


def _files(page: Any) -> Iterator[HiddenFile]:
    """The files of what devpi keeps of a mirror's page."""
    wanted = [*page.get("requires_python", ()), *([None] * len(page["links"]))]
    for (filename, href), python in zip(page["links"], wanted, strict=False):
        path, _, fragment = str(href).partition("#")
        kind, _, digest = fragment.partition("=")
        yield HiddenFile(str(filename), f"/{path}", digest if kind == "sha256" else "", str(python or ""))
