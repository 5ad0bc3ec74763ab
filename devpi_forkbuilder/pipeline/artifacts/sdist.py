"""Source distributions: whether one is sound and the one that was pinned, and the same bytes for the same content.

Format: packaging.python.org, "Source distribution format". Nothing is ever unpacked to a folder.
"""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from packaging.utils import canonicalize_name, parse_sdist_filename
from packaging.version import Version

from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.results import Artefact
from devpi_forkbuilder.pipeline.artifacts.archive_limits import LIMITS, ArchiveLimits
from devpi_forkbuilder.pipeline.artifacts.core_metadata import Metadata, read_metadata
from devpi_forkbuilder.pipeline.artifacts.fault_list import Faults, shown_values
from devpi_forkbuilder.pipeline.artifacts.match_pin import agree
from devpi_forkbuilder.pipeline.artifacts.tar_reader import read_tar_members, unpacked
from devpi_forkbuilder.pipeline.artifacts.wheel import digest
from devpi_forkbuilder.pipeline.process.atomic_write import placed
from devpi_forkbuilder.pipeline.process.command import MEBIBYTE

SUFFIX = ".tar.gz"
LONGEST_METADATA = 4 * MEBIBYTE
LATEST = 2**32 - 1
"""The last second that a gzip header holds (RFC 1952)."""


@dataclass(frozen=True, slots=True)
class Sdist:
    """A source distribution that passed every check; `members`, `sha256` (hex) and `size` (bytes) are the file's."""

    path: Path
    filename: str
    name: str
    project: str
    version: Version
    members: tuple[str, ...]
    metadata: Mapping[str, str | list[str]]
    sha256: str
    size: int


def read_sdist(path: Path, limits: ArchiveLimits = LIMITS) -> Sdist:
    """The source distribution at `path`; raises MismatchError or LimitsError with every fault that could be found."""
    faults = Faults(path.name)
    name, version = _read_filename(path.name, faults)
    with unpacked(path, faults, limits) as file:
        members = read_tar_members(file, faults, limits)
        faults.check()
        metadata = _read_info(file, members, _top(members, name, version, faults), faults)
    if metadata is not None and (canonicalize_name(metadata.project), metadata.version) != (name, version):
        faults.add(
            "name-disagrees", f"PKG-INFO is of {metadata.project} {metadata.version}, which is not its file name"
        )
    faults.check()
    assert metadata is not None  # noqa: S101  (None comes with a fault, so the check above has raised)
    with path.open("rb") as source:
        sha256, size = digest(source)
    names = tuple(member.name for member in members)
    return Sdist(path, path.name, name, metadata.project, version, names, metadata.fields, sha256, size)


def artefact_of_sdist(path: Path, pin: Pin) -> Artefact:
    """The source distribution at `path`, checked, as the pin's artefact. Raises as `read_sdist` and `agree` do."""
    sdist = read_sdist(path)
    agree(sdist, pin)
    return Artefact(
        path=path, filename=sdist.filename, sha256=sdist.sha256, size=sdist.size, version=str(sdist.version),
        pure=True, metadata=dict(sdist.metadata),
    )  # fmt: skip


def repack_sdist(path: Path, into: Path, epoch: int, limits: ArchiveLimits = LIMITS) -> Path:
    """Write the source distribution at `path` into the folder `into` so that equal content gives equal bytes.

    Members are sorted, belong to nobody, are dated `epoch` (seconds since the epoch) and have one of two permissions;
    hard links become files. `into` is not the folder of `path`. Raises MismatchError or LimitsError for an unsafe
    archive, InfrastructureError when it cannot be written.
    """
    faults = Faults(path.name)
    moment = min(max(epoch, 0), LATEST)
    with unpacked(path, faults, limits) as file:
        members = read_tar_members(file, faults, limits)
        faults.check()
        target = into / path.name
        # no file name in the gzip header: it would be that of the temporary file
        with placed(target) as part, part.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, moment) as packed:
            _write(file, members, packed, moment)
    return target


def _write(file: IO[bytes], members: Iterable[tarfile.TarInfo], packed: gzip.GzipFile, moment: int) -> None:
    by_name = {member.name: member for member in members}
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive:
        for name, member in sorted(by_name.items()):
            source = by_name[member.linkname] if member.islnk() else member
            info = tarfile.TarInfo(name)
            info.type = tarfile.REGTYPE if source.isreg() else source.type
            info.size, info.linkname, info.mtime = source.size, source.linkname, moment
            info.mode = _mode(source)
            file.seek(source.offset_data)
            archive.addfile(info, file)


def _mode(member: tarfile.TarInfo) -> int:
    if member.issym():
        return 0o777
    return 0o755 if member.isdir() or member.mode & 0o111 else 0o644


def _read_filename(filename: str, faults: Faults) -> tuple[str, Version]:
    try:
        if filename.isascii() and filename.endswith(SUFFIX):
            return parse_sdist_filename(filename)
    except ValueError:
        pass  # reported below, with the names that are refused before they are parsed
    faults.add("filename-invalid", "its file name is not that of a source distribution (NAME-VERSION.tar.gz)")
    faults.check()
    raise AssertionError  # the check has raised


def _top(members: Iterable[tarfile.TarInfo], name: str, version: Version, faults: Faults) -> str:
    tops = sorted({member.name.partition("/")[0] for member in members})
    if len(tops) != 1:
        there = ", ".join(map(shown_values, tops[:4])) or "none"
        faults.add("sdist-top", f"one folder NAME-VERSION is needed at the top, there is {there}")
    elif not _named(tops[0], name, version):
        faults.add("sdist-top", f"the folder {shown_values(tops[0])} and the file name do not agree")
    faults.check()
    return tops[0]


def _named(top: str, name: str, version: Version) -> bool:
    try:
        return parse_sdist_filename(top + SUFFIX) == (name, version)
    except ValueError:
        return False


def _read_info(file: IO[bytes], members: Iterable[tarfile.TarInfo], top: str, faults: Faults) -> Metadata | None:
    info = next((member for member in members if member.name == f"{top}/PKG-INFO" and member.isreg()), None)
    if info is None:
        faults.add("sdist-info", f"there is no file PKG-INFO in {shown_values(top)}")
    elif info.size > LONGEST_METADATA:
        faults.limit("member-too-large", f"PKG-INFO has {info.size} bytes, {LONGEST_METADATA} are allowed")
    else:
        file.seek(info.offset_data)
        return read_metadata(file.read(info.size), "PKG-INFO", faults)
    return None
