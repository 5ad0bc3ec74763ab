"""Which reader a file's name asks for."""

from __future__ import annotations

import re

from devpi_forkbuilder.domain.pins.pins import Fault
from devpi_forkbuilder.domain.requirements_files.locks.pdmlock import read_pdmlock
from devpi_forkbuilder.domain.requirements_files.locks.pipfile import read_pipfile
from devpi_forkbuilder.domain.requirements_files.locks.pipfilelock import read_pipfilelock
from devpi_forkbuilder.domain.requirements_files.locks.poetrylock import read_poetrylock
from devpi_forkbuilder.domain.requirements_files.locks.pylock import read_pylock
from devpi_forkbuilder.domain.requirements_files.locks.pyproject import read_pyproject
from devpi_forkbuilder.domain.requirements_files.locks.tables import Reader
from devpi_forkbuilder.domain.requirements_files.locks.uvlock import read_uvlock
from devpi_forkbuilder.domain.requirements_files.requirements import Requirements

SUFFIXES = (".toml", ".json", ".yaml", ".yml", ".py", ".cfg", ".ini", ".whl", ".zip", ".gz")
"""Endings of files that are not requirements files."""
PYLOCK = re.compile(r"pylock(?:\.[^.]+)?\.toml")  # PEP 751, "File Name"
READERS: dict[str, Reader] = {
    "uv.lock": read_uvlock,
    "poetry.lock": read_poetrylock,
    "Pipfile": read_pipfile,
    "Pipfile.lock": read_pipfilelock,
    "pdm.lock": read_pdmlock,
    "pyproject.toml": read_pyproject,
}


def reader_for(filename: str) -> Reader | None:
    """The reader of a lock or project file, by the last part of its name; None: it is a requirements file."""
    name = re.split(r"[/\\]", filename)[-1]
    if PYLOCK.fullmatch(name):
        return read_pylock
    return READERS.get(name) or (_refuse if name.endswith(SUFFIXES) else None)


def _refuse(text: str, name: str) -> Requirements:  # noqa: ARG001  (a Reader)
    fix = f"name a requirements file, or one of {', '.join(READERS)}, pylock.toml"
    return Requirements(faults=(Fault(0, "", "not a file that git requirements are read from", fix, name),))
