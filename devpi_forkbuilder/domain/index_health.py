"""What an index says of build requirements when it is asked directly, and which of its files could meet them (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from devpi_forkbuilder.domain.simple.simplepage import ListedFile


@dataclass(frozen=True, slots=True)
class IndexHealth:
    """`fault` names an index and what is wrong with it, as a sentence; `unmet` are the names of projects of which no
    index has a wheel in a version that fits. Both empty: nothing is known against the indexes.
    """

    fault: str = ""
    unmet: tuple[str, ...] = ()


def specifiers(lines: Iterable[str]) -> dict[str, SpecifierSet]:
    """Return the versions that constraint lines allow, by normalized name; other lines are left out."""
    allowed: dict[str, SpecifierSet] = {}
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        name = canonicalize_name(requirement.name)
        allowed[name] = allowed.get(name, SpecifierSet()) & requirement.specifier
    return allowed


def fitting_wheels(files: Iterable[ListedFile], allowed: SpecifierSet) -> list[ListedFile]:
    """Return the wheels among `files` whose version is allowed, the newest first; wheels for everybody before others of
    the same version.
    """
    found: list[tuple[Version, bool, ListedFile]] = []
    for file in files:
        try:
            _, version, _, tags = parse_wheel_filename(file.filename)
        except InvalidWheelFilename:
            continue
        if allowed.contains(version, prereleases=True) and not file.yanked:
            found.append((version, any(tag.platform == "any" for tag in tags), file))
    return [file for _, _, file in sorted(found, key=lambda one: one[:2], reverse=True)]


def portable(file: ListedFile) -> bool:
    """Return whether `file` is a wheel for every platform."""
    return file.filename.endswith("-none-any.whl")


def python_allows(file: ListedFile, environment: Mapping[str, str]) -> bool:
    """Return whether `file` is for the interpreter that `environment` (markers' variables) describes."""
    version = environment.get("python_full_version")
    try:
        return version is None or SpecifierSet(file.requires_python).contains(version, prereleases=True)
    except ValueError:
        return True
