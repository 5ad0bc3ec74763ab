"""Which files of a page an installer takes for one release: the best wheel for it, or else a source distribution."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import (
    BuildTag,
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from devpi_forkbuilder.domain.compat.targets import Client
from devpi_forkbuilder.domain.simple.simplepage import ListedFile

LAST_PATCH = 99


@dataclass(frozen=True, slots=True)
class WantedRelease:
    """A project (normalized name) in one version."""

    name: NormalizedName
    version: Version

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class FileChoice:
    """The files of a release for one client; `built`: there is no wheel for it, so it builds the source distribution.

    Without files nothing fits.
    """

    files: tuple[ListedFile, ...] = ()
    built: bool = False


def choose_file(
    page: Sequence[ListedFile],
    release: WantedRelease,
    client: Client,
    hashes: Collection[str] = (),
    *,
    sources: bool = False,
) -> FileChoice:
    """What `client` takes of a page, as pip and uv choose (PEP 425, PEP 427, PEP 503).

    `hashes` are the SHA-256 that the requirement allows (none: all); `sources` adds the source distribution.
    """
    own = [file for file in page if release_of(file.filename) == release and _suits(file, client)]
    if any(file.sha256 in hashes for file in own):
        own = [file for file in own if file.sha256 in hashes]
    wheels = [(rank, file) for file in own if (rank := client.rank(file.filename)) is not None]
    archives = sorted((file for file in own if not file.filename.endswith(".whl")), key=_preference)
    if not wheels:
        return FileChoice(tuple(archives[:1]), built=bool(archives))
    best = min(rank for rank, _ in wheels)
    equal = [file for rank, file in wheels if rank == best]
    return FileChoice((max(equal, key=_build_tag), *(archives[:1] if sources else ())))


def release_of(filename: str) -> WantedRelease | None:
    """The release that a file belongs to; None when its name says none (PEP 427, PEP 625)."""
    try:
        if filename.endswith(".whl"):
            name, version, _, _ = parse_wheel_filename(filename)
        else:
            name, version = parse_sdist_filename(filename)
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None
    return WantedRelease(name, version)


def _suits(file: ListedFile, client: Client) -> bool:
    """Whether the file's `requires-python` has some patch release of the client's interpreter; odd ones are ignored."""
    try:
        wanted = SpecifierSet(file.requires_python)
    except InvalidSpecifier:
        return True
    major, minor = client.python
    return any(wanted.contains(f"{major}.{minor}.{patch}", prereleases=True) for patch in (0, LAST_PATCH))


def _build_tag(file: ListedFile) -> BuildTag:
    return parse_wheel_filename(file.filename)[2]


def _preference(file: ListedFile) -> tuple[bool, str]:
    return not file.filename.endswith(".tar.gz"), file.filename
