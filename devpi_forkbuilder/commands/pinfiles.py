"""Requirements files into pins, for commands."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from devpi_forkbuilder.domain.pins import Pin
from devpi_forkbuilder.domain.requirements import Requirements, pins_of, read_requirements
from devpi_forkbuilder.errors import RefusedError


def read_pins(files: Sequence[str]) -> tuple[Pin, ...]:
    """The pins in the git lines of requirements files and of what they include.

    Raises RefusedError for a file that cannot be read, PinsRefusedError with the faults of all files.
    """
    read = [read_requirements(_text(name), name, _included, os.environ) for name in files]
    return pins_of(
        Requirements(
            tuple(line for one in read for line in one.git_lines),
            tuple(fault for one in read for fault in one.faults),
            tuple(file for one in read for file in one.files),
        )
    )


def _included(name: str, by: str) -> str:  # noqa: ARG001  (`name` is joined to the folder of `by` already)
    return _read(Path(name))


def _text(name: str) -> str:
    try:
        return _read(Path(name))
    except (OSError, UnicodeError) as error:
        raise RefusedError("file-unreadable", f"{name} cannot be read: {error}.") from error


def _read(path: Path) -> str:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return file.read()
