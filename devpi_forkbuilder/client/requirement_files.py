"""Requirements files, lock files and project files from the disk, all faults kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from devpi_forkbuilder.domain.pins.pins import Fault, redacted
from devpi_forkbuilder.domain.requirements_files.gitlines import GitLine
from devpi_forkbuilder.domain.requirements_files.locks.readers import reader_for
from devpi_forkbuilder.domain.requirements_files.requirements import Requirements, read_file, read_requirements

ARGUMENTS = "argument"
"""What stands for the file's name where requirements are given as arguments."""


def read_all(names: Iterable[str], environ: Mapping[str, str]) -> Requirements:
    """The git requirements of the files and of what they include. Never raises: an unreadable file is a fault."""
    return together(_read(name, environ) for name in names)


def read_arguments(arguments: Sequence[str], environ: Mapping[str, str]) -> Requirements:
    """Git requirements given as arguments; anything else among them is a fault."""
    lines: list[GitLine] = []
    faults: list[Fault] = []
    for number, text in enumerate(arguments, 1):
        found = read_file(text, ARGUMENTS, environ=environ)
        if not found.git_lines and not found.faults:
            fix = "write git+URL@REF#egg=NAME, or -r FILE for a file"
            faults.append(Fault(number, redacted(text), "not a git requirement", fix, ARGUMENTS))
        lines += (replace(line, place=replace(line.place, line=number, last=number)) for line in found.git_lines)
        faults += (replace(fault, line=number) for fault in found.faults)
    return Requirements(tuple(lines), tuple(faults))


def together(requirements: Iterable[Requirements]) -> Requirements:
    """Several as one; a file that is reached twice counts once."""
    lines, faults, files = {}, {}, {}
    for one in requirements:
        lines.update(dict.fromkeys(one.git_lines))
        faults.update(dict.fromkeys(one.faults))
        files.update({file.name: file for file in one.files if file.name not in files})
    return Requirements(tuple(lines), tuple(faults), tuple(files.values()))


def read_text(path: Path) -> str:
    """A file's text with its own line ends and byte order mark. Raises OSError and UnicodeError."""
    with path.open(encoding="utf-8", newline="") as file:
        return file.read()


def _read(name: str, environ: Mapping[str, str]) -> Requirements:
    try:
        text = read_text(Path(name))
    except (OSError, UnicodeError) as error:
        return Requirements(faults=(Fault(0, "", _why(error), "name a file that can be read", name),))
    reader = reader_for(name)
    return reader(text, name) if reader is not None else read_requirements(text, name, _included, environ)


def _included(name: str, by: str) -> str:  # noqa: ARG001  (`name` is joined to the folder of `by` already)
    return read_text(Path(name))


def _why(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "not UTF-8 text"
    return f"cannot be read ({error.strerror})"
