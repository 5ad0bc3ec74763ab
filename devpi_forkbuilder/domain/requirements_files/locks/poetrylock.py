"""`poetry.lock`: the packages with a `[package.source]` of type git, or with the URL of a git host's archive."""

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


def read_poetrylock(text: str, name: str) -> Requirements:
    """The git requirements of a Poetry lock file."""
    gathered = Gathered(text, name)
    for package in tables(toml(gathered).get("package")):
        source = table(package.get("source"))
        url = word(source.get("url"))
        if source.get("type") == "git" or (source.get("type") == "url" and location(None, url)):
            _take(gathered, package, source)
    return gathered.done()


def _take(gathered: Gathered, package: Table, source: Table) -> None:
    project, url = word(package.get("name")) or "", word(source.get("url")) or ""
    written = Written(
        location=url,
        ref=word(source.get("resolved_reference")) or word(source.get("reference")),
        fragment=fragment(project, word(package.get("version")), word(source.get("subdirectory"))),
        # one marker, or one for each dependency group, which no single requirement can say
        marker=word(package.get("markers")),
        editable=package.get("develop") is True,
    )
    gathered.take(written, gathered.place(f"{project}: git {url}", f'\nname = "{project}"', url))
