"""A pylock.toml (PEP 751) of forks: each package with the URL, size and hash of its wheels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tomlkit

from devpi_forkbuilder.client.models import ForkState
from devpi_forkbuilder.domain.requirements_files.gitlines import GitLine


def pylock(forks: Iterable[tuple[GitLine, ForkState]]) -> str:
    """The lock file's text; all pins must have files. Packages are sorted by name and version."""
    document = tomlkit.document()
    document["lock-version"] = "1.0"
    document["created-by"] = "devpi-forkbuilder"
    packages = tomlkit.aot()
    rows = {(state.name, str(state.release.version)): (line, state) for line, state in forks if state.release}
    for (name, version), (line, state) in sorted(rows.items(), key=lambda row: row[0]):
        package = tomlkit.table()
        package["name"] = name
        package["version"] = version
        if line.marker:
            package["marker"] = line.marker
        package["wheels"] = _wheels(state)
        packages.append(package)
    document["packages"] = packages
    return tomlkit.dumps(document)


def _wheels(state: ForkState) -> Any:
    wheels = tomlkit.array().multiline(True)
    for file in state.newest:
        if file.filename.endswith(".whl"):
            wheel = tomlkit.inline_table()
            wheel.update({"name": file.filename, "url": file.url})
            if file.size is not None:
                wheel.update({"size": file.size})
            wheel.update({"hashes": {"sha256": file.sha256}})
            wheels.append(wheel)
    return wheels
