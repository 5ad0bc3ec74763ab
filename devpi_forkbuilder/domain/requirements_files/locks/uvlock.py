"""`uv.lock`: the packages whose source is `{ git = "URL?rev=...&subdirectory=...#COMMIT" }`, or an archive's `url`."""

from __future__ import annotations

from urllib.parse import parse_qs

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


def read_uvlock(text: str, name: str) -> Requirements:
    """The git requirements of a uv lock file."""
    gathered = Gathered(text, name)
    for package in tables(toml(gathered).get("package")):
        found = table(package.get("source"))
        source = location(found.get("git"), found.get("url"))
        if source is not None:
            _take(gathered, package, source)
    return gathered.done()


def _take(gathered: Gathered, package: Table, source: str) -> None:
    project = word(package.get("name")) or ""
    before, _, commit = source.partition("#")
    url, _, query = before.partition("?")
    asked = {key: values[-1] for key, values in parse_qs(query).items()}
    ref = commit or asked.get("rev") or asked.get("tag") or asked.get("branch")
    written = Written(url, ref, fragment(project, word(package.get("version")), asked.get("subdirectory")))
    gathered.take(written, gathered.place(f"{project}: git {source}", f'\nname = "{project}"', source))
