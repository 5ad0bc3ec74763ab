"""`pdm.lock`: the packages with a `git` key or the URL of a git host's archive."""

from __future__ import annotations

from devpi_forkbuilder.domain.requirements_files.gitlines import Written, fragment
from devpi_forkbuilder.domain.requirements_files.locks.tables import (
    Gathered,
    Table,
    location,
    tables,
    toml,
    word,
    words,
)
from devpi_forkbuilder.domain.requirements_files.requirements import Requirements


def read_pdmlock(text: str, name: str) -> Requirements:
    """The git requirements of a PDM lock file."""
    gathered = Gathered(text, name)
    for package in tables(toml(gathered).get("package")):
        url = location(package.get("git"), package.get("url"))
        if url is not None:
            _take(gathered, package, url)
    return gathered.done()


def _take(gathered: Gathered, package: Table, url: str) -> None:
    project = word(package.get("name")) or ""
    written = Written(
        location=url,
        ref=word(package.get("revision")) or word(package.get("ref")),
        fragment=fragment(project, word(package.get("version")), word(package.get("subdirectory"))),
        extras=words(package.get("extras")),
        marker=word(package.get("marker")),
        editable=package.get("editable") is True,
    )
    gathered.take(written, gathered.place(f"{project}: git {url}", f'\nname = "{project}"', url))
