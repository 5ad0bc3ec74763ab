"""`pylock.toml` (PEP 751): the packages whose source is a git repository."""

from __future__ import annotations

from devpi_forkbuilder.domain.requirements_files.gitlines import Written, fragment
from devpi_forkbuilder.domain.requirements_files.locks.tables import (
    Gathered,
    Table,
    location,
    table,
    tables,
    toml,
    word,
)
from devpi_forkbuilder.domain.requirements_files.requirements import Requirements


def read_pylock(text: str, name: str) -> Requirements:
    """The git requirements of a pylock file."""
    gathered = Gathered(text, name)
    for package in tables(toml(gathered).get("packages")):
        vcs = table(package.get("vcs"))
        archive = location(None, table(package.get("archive")).get("url"))
        if vcs.get("type") == "git":
            _take(gathered, package, vcs)
        elif archive is not None:
            _take(gathered, package, {**table(package.get("archive")), "url": archive})
    return gathered.done()


def _take(gathered: Gathered, package: Table, vcs: Table) -> None:
    project, url = word(package.get("name")) or "", word(vcs.get("url"))
    commit = word(vcs.get("commit-id"))
    place = gathered.place(f"{project}: git {url or word(vcs.get('path')) or ''}", f'\nname = "{project}"', project)
    if url is None:
        gathered.keep(
            place.faults([("a repository on a local path, without URL", "lock it from a URL that servers reach")])
        )
        return
    written = Written(
        location=url,
        ref=commit or word(vcs.get("requested-revision")),
        fragment=fragment(project, word(package.get("version")), word(vcs.get("subdirectory"))),
        marker=word(package.get("marker")),
    )
    gathered.take(written, place)
