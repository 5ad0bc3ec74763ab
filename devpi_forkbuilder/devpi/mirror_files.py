"""What devpi's store has of a mirror's pages: read without asking upstream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devpi_forkbuilder.devpi.names import SEVEN
from devpi_forkbuilder.domain.simple.offline import HiddenFile


def has_page(mirror: Any, project: str) -> bool:
    """Return whether a mirror ever had the page of `project` (normalized name). Needs a transaction."""
    if not SEVEN:
        return bool(mirror.key_projsimplelinks(project).get())
    known = mirror.key_project(project).exists(resolve_parents=True)
    return bool(known and mirror.key_remoteprojectinfo(project).with_resolved_parent().get())


def listed_files(mirror: Any, project: str) -> Iterator[HiddenFile]:
    """Yield the files of a mirror's page, those too whose bytes are not here. Needs a transaction."""
    if not SEVEN:
        page = mirror.key_projsimplelinks(project).get()
        yield from _files(page) if page else ()
        return
    if not has_page(mirror, project):
        return
    for key, link in mirror.key_simpledata(project).with_resolved_parent().iter_ulidkey_values():
        path, digest = f"/{mirror.name}/{link['relpath']}", link.get("hashes", {}).get("sha256", "")
        yield HiddenFile(str(key.params["filename"]), path, digest, str(link.get("requires_python") or ""))


def _files(page: Any) -> Iterator[HiddenFile]:
    """The files of what devpi-server 6 keeps of a mirror's page."""
    wanted = [*page.get("requires_python", ()), *([None] * len(page["links"]))]
    for (filename, href), python in zip(page["links"], wanted, strict=False):
        path, _, fragment = str(href).partition("#")
        kind, _, digest = fragment.partition("=")
        yield HiddenFile(str(filename), f"/{path}", digest if kind == "sha256" else "", str(python or ""))
