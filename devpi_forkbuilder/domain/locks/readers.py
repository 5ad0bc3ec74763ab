"""Which reader a file's name asks for."""

from __future__ import annotations

import re

from devpi_forkbuilder.domain.locks.pipfilelock import read_pipfilelock
from devpi_forkbuilder.domain.locks.poetrylock import read_poetrylock
from devpi_forkbuilder.domain.locks.pylock import read_pylock
from devpi_forkbuilder.domain.locks.pyproject import read_pyproject
from devpi_forkbuilder.domain.locks.tables import Reader
from devpi_forkbuilder.domain.locks.uvlock import read_uvlock

PYLOCK = re.compile(r"pylock(?:\.[^.]+)?\.toml")  # PEP 751, "File Name"
READERS: dict[str, Reader] = {
    "uv.lock": read_uvlock,
    "poetry.lock": read_poetrylock,
    "Pipfile.lock": read_pipfilelock,
    "pyproject.toml": read_pyproject,
}


def reader_for(filename: str) -> Reader | None:
    """The reader of a lock or project file, by the last part of its name; None: it is a requirements file."""
    name = re.split(r"[/\\]", filename)[-1]
    return read_pylock if PYLOCK.fullmatch(name) else READERS.get(name)
