"""A requirements file with its git lines replaced by released versions and their hashes; all else stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from devpi_forkbuilder.domain.pins.pins import Fault, PinsRefusedError
from devpi_forkbuilder.domain.pins.urls import Problem
from devpi_forkbuilder.domain.requirements_files.gitlines import GitLine
from devpi_forkbuilder.domain.requirements_files.requirements import RequirementsFile

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FrozenRelease:
    """What a git line was built to: its version, the SHA-256 (hex) of each of its files, the project's name.

    The name is for lines without one.
    """

    version: str
    sha256: tuple[str, ...]
    project: str = ""


def frozen(file: RequirementsFile, releases: Mapping[GitLine, FrozenRelease]) -> str:
    """The file's text, each git line replaced by `NAME[EXTRAS]==VERSION ; MARKER --hash=sha256:...`.

    The marker stands before the hashes, as pip reads it. Several hashes stand on a line each, with the file's own line
    ends. Raises PinsRefusedError with the faults of reading, and for every git line without a release to put there.
    """
    faults = [*file.faults, *(fault for line in file.git_lines for fault in _faults(line, releases.get(line)))]
    if faults:
        raise PinsRefusedError(faults)
    text = str(file)
    newline = "\r\n" if "\r\n" in text else "\n"
    pieces, end = [], 0
    for line in file.git_lines:
        begin, after = line.place.span
        pieces += [text[end:begin], requirement(line, releases[line], newline, extras=not file.constraint)]
        end = after
    return "".join([*pieces, text[end:]])


def requirement(line: GitLine, release: FrozenRelease, newline: str = "\n", *, extras: bool = True) -> str:
    """The line that installs `release` in place of the git line; pip takes no `extras` in a constraints file."""
    names = f"[{','.join(line.extras)}]" if line.extras and extras else ""
    marker = f" ; {line.marker}" if line.marker else ""
    hashes = [f"--hash=sha256:{digest}" for digest in dict.fromkeys(release.sha256)]
    separator = f" \\{newline}    " if len(hashes) > 1 else " "
    return separator.join([f"{line.project or release.project}{names}=={release.version}{marker}", *hashes])


def _faults(line: GitLine, release: FrozenRelease | None) -> Iterable[Fault]:
    return line.place.faults(list(_problems(line, release)))


def _problems(line: GitLine, release: FrozenRelease | None) -> Iterable[Problem]:
    if release is None or not release.sha256:
        yield (
            f"{line.label} has no file on the index",
            f"'devpi forks build {line.project or '--all'} --wait' builds it",
        )
        return
    try:
        Version(release.version)
    except InvalidVersion:
        yield f"the index gave {release.version[:80]!r}, which is not a version", "check 'devpi forks list'"
    if not all(SHA256.fullmatch(digest) for digest in release.sha256):
        yield "the index gave something that is not a SHA-256", "check 'devpi forks list'"
