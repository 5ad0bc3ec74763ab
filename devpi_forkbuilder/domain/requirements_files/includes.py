"""`-r` and `-c` lines: which file they name."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass

from devpi_forkbuilder.domain.requirements_files.gitsyntax import expand

INCLUDE = re.compile(
    r"(?:(?P<short>-[rc])\s*|(?P<long>--requirement|--constraint)(?:\s*=\s*|\s+))"
    r"(?:\"(?P<double>[^\"]+)\"|'(?P<single>[^']+)'|(?P<plain>[^\s\"']\S*))(?:\s.*)?",
    re.DOTALL,
)


def same_file(name: str) -> str:
    """What two names of one file have in common; a URL is its own."""
    return name if "://" in name else posixpath.normpath(name)


@dataclass(frozen=True, slots=True)
class Include:
    """An included file: its name joined to the folder of the including one, and whether it is a constraints file."""

    name: str
    constraint: bool


def read_include(text: str, file: str, environ: Mapping[str, str]) -> Include | None:
    """The include in a logical line of `file`, or None; `/` separates folders, as in every requirements file."""
    found = INCLUDE.fullmatch(text)
    if found is None:
        return None
    written, _ = expand(found["double"] or found["single"] or found["plain"], environ)
    constraint = found["short"] == "-c" or found["long"] == "--constraint"
    if "://" in written:
        return Include(written, constraint)
    return Include(same_file(posixpath.join(posixpath.dirname(file), written)), constraint)
