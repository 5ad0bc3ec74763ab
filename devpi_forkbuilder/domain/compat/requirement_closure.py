"""What a build requires, as names to look up: requirements whose markers hold, each name once (PEP 508)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from packaging.markers import InvalidMarker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from devpi_forkbuilder.domain.compat.targets import Client


class RequirementClosure:
    """Names still to be looked up. `environment` overrides markers' variables of the running interpreter."""

    def __init__(self, requirements: Iterable[str], environment: Mapping[str, str]) -> None:
        self._environment = {**environment, "extra": ""}
        self._specifiers: dict[str, SpecifierSet] = {}
        self._left: list[str] = []
        self.add(requirements)

    def add(self, requirements: Iterable[str]) -> None:
        """Look up these as well; lines that are not requirements are left out."""
        for line in requirements:
            try:
                requirement = Requirement(line)
            except InvalidRequirement:
                continue
            name = canonicalize_name(requirement.name)
            if requirement.url is not None or not self._holds(requirement):
                continue
            if name not in self._specifiers:
                self._left.append(name)
            self._specifiers[name] = self._specifiers.get(name, SpecifierSet()) & requirement.specifier

    def next(self) -> str | None:
        """A normalized name that was not given yet; None when there is none."""
        return self._left.pop(0) if self._left else None

    def specifier(self, name: str) -> SpecifierSet:
        """The versions that `name` is wanted in."""
        return self._specifiers[name]

    def allows(self, name: str, version: Version | None) -> bool:
        """Whether the version, when it is known, is one that `name` is wanted in."""
        return version is None or self._specifiers[name].contains(version, prereleases=True)

    def _holds(self, requirement: Requirement) -> bool:
        try:
            return requirement.marker is None or requirement.marker.evaluate(self._environment)
        except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName):
            return True


def environment_of(client: Client | None) -> dict[str, str]:
    """The variables of markers that depend on the interpreter; its micro version is taken for 0."""
    if client is None:
        return {}
    version = f"{client.python[0]}.{client.python[1]}"
    return {
        "python_version": version,
        "python_full_version": f"{version}.0",
        "implementation_name": client.implementation,
        "platform_python_implementation": "CPython" if client.implementation == "cpython" else "PyPy",
    }
