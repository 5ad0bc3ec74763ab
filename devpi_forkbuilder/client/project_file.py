"""A `pyproject.toml` with its git sources replaced by versions from an index, everything else as it is written.

uv reads `[[tool.uv.index]]` and `[tool.uv.sources]` (its manual, "Using alternative package indexes"), Poetry
`[[tool.poetry.source]]` (its manual, "Repositories").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tomlkit
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from devpi_forkbuilder.domain.pins.pins import PinsRefusedError
from devpi_forkbuilder.domain.requirements_files.freeze import FrozenRelease
from devpi_forkbuilder.domain.requirements_files.gitlines import GitLine, LinePlace
from devpi_forkbuilder.domain.requirements_files.gitsyntax import read_git_line
from devpi_forkbuilder.domain.requirements_files.locks.pyproject import UV_LISTS

GIT_KEYS = ("git", "url", "rev", "tag", "branch", "subdirectory", "develop")


@dataclass(frozen=True, slots=True)
class Declared:
    """The index as the file declares it: its name there, and its simple page's URL."""

    name: str
    url: str


def frozen_project(text: str, name: str, releases: Mapping[GitLine, FrozenRelease], index: Declared) -> str:
    """The text of the project file `name`; `releases` has one for each of its git requirements.

    Raises PinsRefusedError when one project has several: which one a dependency means is not said.
    """
    versions = _versions(releases)
    document: Any = tomlkit.parse(text)
    if not versions:
        return text
    tool = document.get("tool", {})
    for requirements in _lists(document):
        for number, requirement in enumerate(list(requirements)):
            if isinstance(requirement, str):
                requirements[number] = _frozen_requirement(requirement, name, versions)
    sources = tool.get("uv", {}).get("sources", {})
    for project in list(sources):
        if _is_git(sources[project]) and canonicalize_name(project) in versions:
            sources[project] = _inline(index=index.name)
    if poetry := tool.get("poetry"):
        _freeze_poetry(poetry, versions, index)
    if "poetry" not in tool or "uv" in tool or "dependencies" in document.get("project", {}):
        _declare_for_uv(document, index, versions)
    return tomlkit.dumps(document)


def _versions(releases: Mapping[GitLine, FrozenRelease]) -> dict[str, str]:
    found: dict[str, tuple[GitLine, str]] = {}
    for line, release in releases.items():
        name = canonicalize_name(line.project or release.project)
        other = found.setdefault(name, (line, release.version))
        if other[1] != release.version:
            problem = f"{name} has two versions, {other[1]} and {release.version}"
            raise PinsRefusedError(line.place.faults([(problem, "write the versions into the dependencies by hand")]))
    return {name: version for name, (_, version) in found.items()}


def _lists(document: Any) -> Iterator[Any]:
    """Every list of requirements that stand as text."""
    project, tool = document.get("project", {}), document.get("tool", {})
    uv = tool.get("uv", {})
    yield project.get("dependencies", [])
    pdm = tool.get("pdm", {}).get("dev-dependencies", {})
    for groups in (project.get("optional-dependencies", {}), document.get("dependency-groups", {}), pdm):
        yield from groups.values()
    for key in UV_LISTS:
        yield uv.get(key, [])


def _frozen_requirement(text: str, file: str, versions: Mapping[str, str]) -> str:
    """The requirement at its version; one that is not pinned stays as it is."""
    line = read_git_line(text, LinePlace(file), {})
    if isinstance(line, GitLine):
        name, extras, marker = line.project, line.extras, line.marker
    else:
        try:
            parsed = Requirement(text)
        except InvalidRequirement:
            return text
        name, extras = parsed.name, tuple(sorted(parsed.extras))
        marker = str(parsed.marker) if parsed.marker else None
    version = versions.get(canonicalize_name(name))
    if version is None:
        return text
    return f"{name}{f'[{chr(44).join(extras)}]' if extras else ''}=={version}{f' ; {marker}' if marker else ''}"


def _is_git(source: Any) -> bool:
    entries = source if isinstance(source, list) else [source]
    return any(isinstance(entry, Mapping) and "git" in entry for entry in entries)


def _freeze_poetry(poetry: Any, versions: Mapping[str, str], index: Declared) -> None:
    changed = False
    for group in (poetry, *poetry.get("group", {}).values()):
        for key in ("dependencies", "dev-dependencies"):
            dependencies = group.get(key, {})
            for project in list(dependencies):
                version = versions.get(canonicalize_name(project))
                if version is not None and _is_git(dependencies[project]):
                    kept = {key: value for key, value in dependencies[project].items() if key not in GIT_KEYS}
                    dependencies[project] = _inline(version=version, **kept, source=index.name)
                    changed = True
    declared = poetry.get("source", [])
    if changed and all(source.get("url") != index.url for source in declared):
        entry = tomlkit.table()
        entry.update({"name": index.name, "url": index.url, "priority": "explicit"})
        _append(poetry, "source", entry)


def _declare_for_uv(document: Any, index: Declared, versions: Mapping[str, str]) -> None:
    """Declare the index and that these projects come from it, so that a namesake elsewhere is never taken."""
    tool = document.setdefault("tool", tomlkit.table(is_super_table=True))
    uv = tool.setdefault("uv", tomlkit.table(is_super_table=True))
    sources = uv.setdefault("sources", tomlkit.table())
    for name in versions:
        if not any(canonicalize_name(known) == name for known in sources):
            sources[name] = _inline(index=index.name)
    if all(entry.get("url") != index.url for entry in uv.get("index", [])):
        entry = tomlkit.table()
        entry.update({"name": index.name, "url": index.url})
        _append(uv, "index", entry)


def _append(table: Any, key: str, entry: Any) -> None:
    if key not in table:
        table[key] = tomlkit.aot()
    table[key].append(entry)


def _inline(**values: Any) -> Any:
    table = tomlkit.inline_table()
    table.update(values)
    return table
