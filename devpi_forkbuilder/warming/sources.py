"""What an installer needs in order to build a source distribution: the static part, read from the archive.

Nothing is unpacked and no code is run; what a back end asks for in addition when it runs is not known here.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from typing import IO, Any

from packaging.requirements import InvalidRequirement, Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT = ("setuptools>=40.8.0",)
"""What pip and uv take where the project names nothing (PEP 517; pip's manual, "Build System Interface")."""
MOST = 1024 * 1024


def build_requirements(archive: IO[bytes], filename: str) -> tuple[str, ...]:
    """The `build-system.requires` of a source distribution (PEP 518); the default where there is none to be read."""
    archive.seek(0)
    try:
        text = _of_zip(archive) if filename.endswith(".zip") else _of_tar(archive)
    except (OSError, tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError):
        return DEFAULT
    return required(text) if text is not None else DEFAULT


def required(pyproject: bytes) -> tuple[str, ...]:
    """The `build-system.requires` in the bytes of a `pyproject.toml`."""
    try:
        document: Any = tomllib.loads(pyproject.decode("utf-8"))
        system = document.get("build-system")
        wanted = system.get("requires") if isinstance(system, dict) else None
    except (ValueError, AttributeError):
        return DEFAULT
    if not isinstance(wanted, list):
        return DEFAULT
    return tuple(line for line in wanted if isinstance(line, str) and _is_requirement(line))


def _is_requirement(line: str) -> bool:
    try:
        return Requirement(line).url is None
    except InvalidRequirement:
        return False


def _of_tar(archive: IO[bytes]) -> bytes | None:
    with tarfile.open(fileobj=archive, mode="r:*") as tar:
        for member in tar:
            if _is_project_file(member.name) and member.isfile():
                file = tar.extractfile(member)
                return file.read(MOST) if file is not None else None
    return None


def _of_zip(archive: IO[bytes]) -> bytes | None:
    with zipfile.ZipFile(archive) as packed:
        name = _first(packed.namelist())
        if name is None:
            return None
        with packed.open(name) as file:
            return file.read(MOST)


def _first(names: Iterable[str]) -> str | None:
    return next((name for name in names if _is_project_file(name)), None)


def _is_project_file(name: str) -> bool:
    parts = name.removeprefix("./").split("/")
    return len(parts) == 2 and parts[1] == "pyproject.toml"
