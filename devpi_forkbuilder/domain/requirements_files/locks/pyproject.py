"""`pyproject.toml`: direct references in dependency lists, `[tool.uv.sources]` and Poetry's git dependencies."""

from __future__ import annotations

from collections.abc import Iterator

from devpi_forkbuilder.domain.requirements_files.gitlines import Written, fragment
from devpi_forkbuilder.domain.requirements_files.gitsyntax import read_git_line
from devpi_forkbuilder.domain.requirements_files.locks.tables import (
    Gathered,
    Table,
    location,
    table,
    tables,
    toml,
    word,
    words,
)
from devpi_forkbuilder.domain.requirements_files.requirements import Requirements

REFS = ("rev", "tag", "branch")
UV_LISTS = ("dev-dependencies", "constraint-dependencies", "override-dependencies")


def read_pyproject(text: str, name: str) -> Requirements:
    """The git requirements of a project file; those of `[build-system]` are not part of what is installed."""
    gathered = Gathered(text, name)
    parsed = toml(gathered)
    for requirement in _lists(parsed):
        gathered.keep(read_git_line(requirement, gathered.place(requirement, requirement), {}))
    tool = table(parsed.get("tool"))
    for project, source in table(table(tool.get("uv")).get("sources")).items():
        for entry in tables(source):
            _take(gathered, project, entry, "marker")
    for project, dependency in _poetry(table(tool.get("poetry"))):
        for entry in tables(dependency):
            _take(gathered, project, entry, "markers")
    return gathered.done()


def _lists(parsed: Table) -> Iterator[str]:
    """Every requirement that stands as text (PEP 621, PEP 735, the own lists of uv and PDM)."""
    tool = table(parsed.get("tool"))
    project, uv = table(parsed.get("project")), table(tool.get("uv"))
    yield from words(project.get("dependencies"))
    pdm = table(tool.get("pdm")).get("dev-dependencies")
    for groups in (project.get("optional-dependencies"), parsed.get("dependency-groups"), pdm):
        for group in table(groups).values():
            yield from words(group)
    for key in UV_LISTS:
        yield from words(uv.get(key))


def _poetry(poetry: Table) -> Iterator[tuple[str, object]]:
    """Poetry's dependencies, of the project and of each group."""
    for group in (poetry, *map(table, table(poetry.get("group")).values())):
        for key in ("dependencies", "dev-dependencies"):
            yield from table(group.get(key)).items()


def _take(gathered: Gathered, project: str, entry: Table, marker: str) -> None:
    url = location(entry.get("git"), entry.get("url"))
    if url is None:
        return
    written = Written(
        location=url,
        ref=next((ref for key in REFS if (ref := word(entry.get(key)))), None),
        fragment=fragment(project, subdirectory=word(entry.get("subdirectory"))),
        extras=words(entry.get("extras")),
        marker=word(entry.get(marker)),
        editable=entry.get("develop") is True,
    )
    gathered.take(written, gathered.place(f"{project}: git {url}", f"{project} = ", f'"{project}" = ', url))
