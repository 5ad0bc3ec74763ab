"""A project's build system: what `pyproject.toml` says, read, and then judged (PEP 517, PEP 518).

Reading touches files; judging is a pure function of the table, so that every fault can be reported without a project.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from devpi_forkbuilder.errors import BuildError

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover  (goes when 3.10 does)
    import tomli as tomllib

KEYS = ("requires", "build-backend", "backend-path")
LEGACY_BACKEND = "setuptools.build_meta:__legacy__"
LEGACY_REQUIRES = ("setuptools",)
SETUPTOOLS = ("setuptools.build_meta", LEGACY_BACKEND)
NEEDS_NO_WHEEL = Version("70.1")
"""The setuptools that makes wheels on its own; older ones ask for `wheel`."""
# What these answer does not depend on the project: they return an empty list, and always have.
ASK_FOR_NOTHING = ("poetry.core.masonry.api", "uv_build")
BACKEND = re.compile(r"\w+(?:\.\w+)*(?::\w+(?:\.\w+)*)?")  # PEP 517, "importable_part:object_path"
FIX = "Fix the [build-system] table in the fork and pin the new commit."
SIZE_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BuildSystem:
    """What a project is built with.

    `requires` are PEP 508 lines, `backend` is `module` or `module:object`, `backend_path` are folders inside the
    project (POSIX, relative) that are put in front of the import path.
    """

    requires: tuple[str, ...] = LEGACY_REQUIRES
    backend: str = LEGACY_BACKEND
    backend_path: tuple[str, ...] = ()

    @property
    def in_tree(self) -> bool:
        """Whether the back end may come from the project itself."""
        return bool(self.backend_path)


def read_build_system(project: Path) -> BuildSystem:
    """The build system of the project in the folder `project`.

    Raises BuildError: `project-missing` (the folder does not exist), `not-a-project` (neither `pyproject.toml` nor
    `setup.py`), `pyproject-invalid` (not TOML, or not UTF-8), `build-system-invalid` (the table breaks PEP 517 or
    PEP 518), `backend-path-escapes` (a folder of `backend-path` is not inside the project).
    """
    if not project.is_dir():
        what = "The pinned subdirectory does not exist in the commit."
        raise BuildError("project-missing", what, next_step="Fix &subdirectory= in the pin.")
    document = _read_pyproject(project)
    if document is None and not (project / "setup.py").is_file():
        raise BuildError("not-a-project", "There is neither pyproject.toml nor setup.py.", next_step=_where(project))
    if document is None or "build-system" not in document:
        return BuildSystem()
    system = judge_build_system(document["build-system"])
    _check_backend_path(project, system.backend_path)
    return system


def judge_build_system(table: object) -> BuildSystem:
    """The build system that a `[build-system]` table describes; raises BuildError with all faults of the table."""
    if not isinstance(table, Mapping):
        raise _invalid(["build-system is not a table"])
    faults = [*_key_faults(table), *_requires_faults(table), *_backend_faults(table), *_path_faults(table)]
    if faults:
        raise _invalid(faults)
    return BuildSystem(
        requires=tuple(table["requires"]),
        backend=table.get("build-backend", LEGACY_BACKEND),
        backend_path=tuple(table.get("backend-path", ())),
    )


def asks_for_nothing(system: BuildSystem, project: Path, setuptools: Version | None) -> bool:
    """Whether `get_requires_for_build_wheel` is known to answer with nothing, so that it need not be run.

    `setuptools` is the version in the environment. It asks for `setup_requires` only, which it takes from `setup.py`
    and `setup.cfg` and not from `pyproject.toml` (its `Distribution`, `_install_setup_requires`).
    """
    if system.in_tree:
        return False
    if system.backend in ASK_FOR_NOTHING:
        return True
    if system.backend not in SETUPTOOLS or setuptools is None or setuptools < NEEDS_NO_WHEEL:
        return False
    return not (project / "setup.py").exists() and not _has_setup_requires(project / "setup.cfg")


def _has_setup_requires(path: Path) -> bool:
    try:
        return re.search(rb"setup[-_]requires", path.read_bytes(), re.IGNORECASE) is not None
    except FileNotFoundError:
        return False
    except OSError:  # not a file, or not to be read: let setuptools say so
        return True


def _read_pyproject(project: Path) -> dict[str, Any] | None:
    path = project / "pyproject.toml"
    if not path.is_file():
        return None
    if path.stat().st_size > SIZE_LIMIT:
        raise BuildError("pyproject-invalid", "pyproject.toml is larger than 4 MiB.", next_step=FIX)
    try:
        document: dict[str, Any] = tomllib.loads(path.read_bytes().decode("utf-8"))
    except UnicodeDecodeError:
        raise BuildError("pyproject-invalid", "pyproject.toml is not UTF-8.", next_step=FIX) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        what = f"pyproject.toml is not valid TOML: {error}."
        raise BuildError("pyproject-invalid", what, next_step="Fix it in the fork and pin the new commit.") from None
    return document


def _where(project: Path) -> str:
    """The fix for a folder that is not a project: often the project is one folder further down."""
    below = sorted(
        child.name
        for child in project.iterdir()
        if child.is_dir() and any((child / name).is_file() for name in ("pyproject.toml", "setup.py"))
    )
    if below:
        return f"Add &subdirectory= to the pin; projects are in: {', '.join(below[:5])}."
    return "Add &subdirectory= to the pin, or make the fork a Python project."


def _invalid(faults: list[str]) -> BuildError:
    what = f"The [build-system] table of pyproject.toml is not valid: {'; '.join(faults)}."
    return BuildError("build-system-invalid", what, next_step=FIX)


def _key_faults(table: Mapping[str, object]) -> list[str]:
    faults = []
    for key in table:
        if key in KEYS:
            continue
        close = difflib.get_close_matches(key, KEYS, n=1)
        mean = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(KEYS)}"
        faults.append(f"unknown key {key!r} ({mean})")
    return faults


def _requires_faults(table: Mapping[str, object]) -> list[str]:
    requires = table.get("requires")
    if requires is None:
        return ["requires is missing"]
    if not _strings(requires):
        return ["requires is not a list of strings"]
    return [f"requires has {line!r}, which is not a requirement" for line in requires if not _is_requirement(line)]


def _is_requirement(line: str) -> bool:
    try:
        Requirement(line)
    except InvalidRequirement:
        return False
    return True


def _backend_faults(table: Mapping[str, object]) -> list[str]:
    backend = table.get("build-backend", LEGACY_BACKEND)
    if not isinstance(backend, str):
        return ["build-backend is not a string"]
    if not BACKEND.fullmatch(backend):
        return [f"build-backend {backend!r} is not 'module' or 'module:object'"]
    return []


def _path_faults(table: Mapping[str, object]) -> list[str]:
    folders = table.get("backend-path", [])
    if not _strings(folders):
        return ["backend-path is not a list of strings"]
    if folders and "build-backend" not in table:
        return ["backend-path without build-backend"]
    return []


def _strings(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _check_backend_path(project: Path, folders: tuple[str, ...]) -> None:
    """PEP 517: directories of `backend-path` must, after following links, be inside the source tree."""
    root = os.path.realpath(project)
    for folder in folders:
        real = os.path.realpath(project / folder)
        inside = real == root or real.startswith(root + os.sep)
        if PurePosixPath(folder).is_absolute() or not inside or not Path(real).is_dir():
            what = f"backend-path has {folder!r}, which is not a folder inside the project."
            raise BuildError("backend-path-escapes", what, next_step=FIX)
